// Errors are values: what failed, where, and what to do next. No exception crosses a room.
#pragma once

#include <string>
#include <tl/expected.hpp>

namespace lockstep {

// A failure that can happen in operation. `code` is the number that the user's command reports
// (DRBD's 101..176 for refused configuration, -1..-28 for refused state changes), 0 where none is
// defined.
struct error {
    std::string what;   // one sentence: what failed and why
    std::string where;  // file:line, device and offset, packet and field; may be empty
    std::string remedy; // what to do next; may be empty
    int code = 0;

    // One or more lines for a person: "where: what", then the remedy.
    std::string text() const;
};

template <class T = void>
using result = tl::expected<T, error>;

tl::unexpected<error> fail(std::string what, std::string where = {}, std::string remedy = {},
                           int code = 0);

// `what` with the text of an errno value appended.
tl::unexpected<error> fail_errno(int errno_value, std::string what, std::string where = {},
                                 std::string remedy = {});

} // namespace lockstep
