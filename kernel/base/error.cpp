#include "kernel/base/error.hpp"

#include <system_error>

namespace lockstep {

std::string error::text() const {
    std::string out = where.empty() ? what : where + ": " + what;
    if (!remedy.empty()) {
        out += "\n  -> " + remedy;
    }
    return out;
}

tl::unexpected<error> fail(std::string what, std::string where, std::string remedy, int code) {
    return tl::unexpected(error{std::move(what), std::move(where), std::move(remedy), code});
}

tl::unexpected<error> fail_errno(int errno_value, std::string what, std::string where,
                                 std::string remedy) {
    what += ": " + std::generic_category().message(errno_value);
    return fail(std::move(what), std::move(where), std::move(remedy));
}

} // namespace lockstep
