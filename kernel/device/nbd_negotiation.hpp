// The part of an NBD connection before the first request: fixed newstyle negotiation, sans I/O.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "kernel/base/bytes.hpp"
#include "kernel/device/nbd_export.hpp"
#include "kernel/device/nbd_protocol.hpp"

namespace lockstep::device {

//   phase      bytes awaited            goes on to
//   greeting   client flags (4)         option; ended if a flag is unknown
//   option     option header and data   option; transmission after EXPORT_NAME or GO;
//                                       ended after ABORT, a bad magic, an unknown EXPORT_NAME
//   skipping   the rest of an option    option
//              that is too long
class nbd_negotiation {
public:
    enum class phase : std::uint8_t { greeting, option, skipping, transmission, ended };

    explicit nbd_negotiation(nbd_exports& exports);

    // Takes what is complete at the front of `bytes`; returns how much. What is left belongs to an
    // option of which more must come (at most option_bytes_max in all), or to the transmission; or
    // there is too much output, and the rest is taken when that has been sent.
    std::size_t receive(const_byte_span bytes);
    // What is to be sent; the caller empties it. The greeting is there from the beginning.
    std::vector<std::byte>& output() { return output_; }

    phase now() const { return phase_; }
    // Set in phase transmission.
    nbd_export* chosen() const { return chosen_; }

    // A client that asks and asks and reads no answers does not make this grow without end.
    static constexpr std::size_t output_bytes_max = 64U << 10;
    // Header and data of the longest option that is looked at.
    static constexpr std::size_t option_bytes_max = nbd::option_header_bytes + 8192;

private:
    std::size_t receive_flags(const_byte_span bytes);
    std::size_t receive_option(const_byte_span bytes);
    void handle(nbd::option which, const_byte_span data);
    void list(const_byte_span data);
    void export_name(const_byte_span data);
    void info_or_go(nbd::option which, const_byte_span data);
    void describe(nbd::option which, const nbd_export& what, bool want_name, bool want_description);
    void reply(nbd::option to, nbd::option_reply type, const_byte_span data = {});
    void refuse(nbd::option to, nbd::option_reply type, std::string_view why);

    nbd_exports* exports_;
    nbd_export* chosen_ = nullptr;
    std::vector<std::byte> output_;
    phase phase_ = phase::greeting;
    bool no_zeroes_ = false;
    std::uint32_t skip_ = 0;
};

} // namespace lockstep::device
