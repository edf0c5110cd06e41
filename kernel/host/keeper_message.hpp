// What engine and keeper say to each other, over a SOCK_SEQPACKET pair: one message, one packet,
// with up to `message_fds_max` descriptors. Both are the same program, so the numbers are in the
// host's byte order; everything is checked all the same, so that a damaged message is an error and
// not a crash.
//
//   u32 magic | u16 kind | u16 number of texts | u64 id | s32 error | u32 limit_ms
//   texts: each u32 length, then the bytes
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernel/base/bytes.hpp"
#include "kernel/base/error.hpp"
#include "kernel/base/owned_fd.hpp"

namespace lockstep::host {

constexpr std::size_t message_bytes_max = 16384;
constexpr std::size_t message_fds_max = 4;

struct keeper_message {
    enum class kind : std::uint16_t {
        call = 1,     // engine: texts = operation, arguments
        answer = 2,   // keeper: texts = sentence, values; error is 0 or an errno value
        remember = 3, // job: texts = key, operation, arguments: what undoes it
        forget = 4,   // job: texts = key
        stop = 5,     // engine: an orderly end
        cancel = 6,   // engine: kill the job of this id
        limit = 7,    // engine: the job of this id has limit_ms from now on
    };

    keeper_message::kind what = kind::call;
    std::uint64_t id = 0;
    std::int32_t error = 0;
    std::uint32_t limit_ms = 0; // 0: none
    std::vector<std::string> texts;
};

// The encoded message, or an error if it would be longer than message_bytes_max.
result<std::vector<std::byte>> encode(const keeper_message& message);
result<keeper_message> decode(const_byte_span bytes);

struct received_message {
    keeper_message message;
    std::vector<owned_fd> fds;
};

std::vector<int> numbers_of(const std::vector<owned_fd>& fds);

// Blocking unless flags has MSG_DONTWAIT. The descriptors stay the caller's.
result<> send_message(int socket, const keeper_message& message, const std::vector<int>& fds,
                      int flags = 0);
// Empty: the other side is gone. With MSG_DONTWAIT and nothing there: an error with code EAGAIN.
result<std::optional<received_message>> receive_message(int socket, int flags = 0);

} // namespace lockstep::host
