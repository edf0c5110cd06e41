#include "agent/drbdsetup/wrapped_text.hpp"

namespace lockstep::drbdsetup {

void wrapped_text::add(int indent, std::string_view piece) {
    add(indent, piece, piece.size());
}

void wrapped_text::add(int indent, std::string_view piece, std::size_t visible) {
    if (columns_ > 0 && !begin_ && column_ + visible > columns_) {
        end_line();
    }
    if (begin_) {
        const std::size_t first = piece.find_first_not_of(' ');
        const std::size_t spaces = first == std::string_view::npos ? piece.size() : first;
        piece.remove_prefix(spaces);
        visible -= spaces;
        text_.append(static_cast<std::size_t>(indent), ' ');
        begin_ = false;
        column_ = static_cast<std::size_t>(indent);
    }
    text_ += piece;
    column_ += visible;
}

void wrapped_text::end_line() {
    text_ += '\n';
    column_ = 0;
    begin_ = true;
}

} // namespace lockstep::drbdsetup
