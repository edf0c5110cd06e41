// The bitmap as dump-md writes it: 64-bit words, most significant digit first, four in a line;
// runs of equal words as "N times 0x...;"; a comment every 8 MiB of data.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "kernel/base/bytes.hpp"

namespace lockstep::drbdmeta {

// Takes the bitmap in pieces and writes "{ ... }" as it goes. The text depends on where the pieces
// end (a run is looked for within a piece), so for the same text as the original tool each piece
// but the last has piece_bytes.
class bitmap_writer {
public:
    using sink = std::function<void(std::string_view)>;
    static constexpr std::uint64_t piece_bytes = 32U << 20U;

    // `total_bytes` of bitmap will be fed, a multiple of 4096.
    bitmap_writer(std::uint64_t total_bytes, sink out);

    void feed(const_byte_span piece);
    void finish();

    std::uint64_t bits_set() const { return bits_set_; }

private:
    void begin_line();
    void write_group(const_byte_span group);
    void write_run();
    void pass_on(std::size_t limit);

    std::uint64_t total_bytes_;
    sink out_;
    std::string text_;
    std::uint64_t position_ = 0;   // bytes of bitmap written or counted in the run
    std::uint64_t run_groups_ = 0; // of four words each
    std::uint32_t run_word_ = 0;
    std::uint64_t bits_set_ = 0;
};

} // namespace lockstep::drbdmeta
