// Cuts a byte stream into lines, with an upper limit for each.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace lockstep::control {

// A request has at most 128 settings and a few paths.
constexpr std::size_t max_request_bytes = 256U << 10;
// A snapshot with many volumes takes some 3 KiB each.
constexpr std::size_t max_message_bytes = 64U << 20;

class line_buffer {
public:
    explicit line_buffer(std::size_t max_line_bytes) : max_line_bytes_(max_line_bytes) {}

    void append(std::string_view bytes);
    // The next line without its line feed, empty lines included; nothing if none is complete.
    std::optional<std::string> next_line();
    // A line longer than the limit has begun: the stream is of no further use.
    bool too_long() const;
    // Bytes of an unfinished line.
    std::size_t pending() const { return bytes_.size() - start_; }

private:
    std::size_t max_line_bytes_;
    std::string bytes_;
    std::size_t start_ = 0;   // of the first line not yet taken
    std::size_t scanned_ = 0; // no line feed before here
};

} // namespace lockstep::control
