#include "agent/drbdsetup/wrapped_text.hpp"

namespace lockstep::drbdsetup {

void wrapped_text::add(int indent, std::string_view piece) {
    add(indent, piece, piece.size());
}

void wrapped_text::add(int indent, std::string_view piece, std::size_t visible) {
    const auto width = static_cast<long>(visible);
    if (columns_ > 0 && column_ > 0 && column_ + width > static_cast<long>(columns_)) {
        end_line();
    }
    if (begin_) {
        const std::size_t spaces = piece.find_first_not_of(' ');
        piece.remove_prefix(spaces == std::string_view::npos ? piece.size() : spaces);
        text_.append(static_cast<std::size_t>(indent), ' ');
        begin_ = false;
        // The original counts a first piece from one column to the left of the margin; texts break
        // at the same places only if this does too.
        column_ = -1;
    }
    text_ += piece;
    column_ += static_cast<long>(visible);
}

void wrapped_text::end_line() {
    text_ += '\n';
    column_ = 0;
    begin_ = true;
}

} // namespace lockstep::drbdsetup
