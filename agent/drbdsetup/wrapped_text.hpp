// Text in pieces that are broken between, never within, to fit a width; as drbd-utils' tools write
// their usage and status.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace lockstep::drbdsetup {

class wrapped_text {
public:
    // 0: lines of any length.
    explicit wrapped_text(std::size_t columns) : columns_(columns) {}

    // A piece on the current line if it fits, else on a new one. At the begin of a line it is
    // indented and loses its leading spaces. `visible`: the columns that it takes, if not its
    // length (colours).
    void add(int indent, std::string_view piece);
    void add(int indent, std::string_view piece, std::size_t visible);
    void end_line();

    const std::string& text() const { return text_; }

private:
    std::size_t columns_;
    std::string text_;
    std::size_t column_ = 0;
    bool begin_ = true;
};

} // namespace lockstep::drbdsetup
