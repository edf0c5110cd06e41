#include "kernel/control/protocol/line_buffer.hpp"

namespace lockstep::control {

void line_buffer::append(std::string_view bytes) {
    // Moving what is left to the front only when it is the smaller part keeps this linear.
    if (start_ > bytes_.size() / 2) {
        bytes_.erase(0, start_);
        scanned_ -= start_;
        start_ = 0;
    }
    bytes_.append(bytes);
}

std::optional<std::string> line_buffer::next_line() {
    const std::size_t end = bytes_.find('\n', scanned_);
    if (end == std::string::npos) {
        scanned_ = bytes_.size();
        return std::nullopt;
    }
    if (end - start_ > max_line_bytes_) {
        return std::nullopt;
    }
    std::string line = bytes_.substr(start_, end - start_);
    start_ = end + 1;
    scanned_ = start_;
    return line;
}

bool line_buffer::too_long() const {
    const std::size_t end = bytes_.find('\n', start_);
    return (end == std::string::npos ? bytes_.size() : end) - start_ > max_line_bytes_;
}

} // namespace lockstep::control
