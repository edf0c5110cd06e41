#include "agent/drbdsetup/console.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

namespace lockstep::drbdsetup {

namespace {

bool write_all(int descriptor, std::string_view text) {
    while (!text.empty()) {
        const ssize_t written = ::write(descriptor, text.data(), text.size());
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            return false;
        }
        text.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
}

class process_console final : public console {
public:
    bool print(std::string_view text) override { return write_all(STDOUT_FILENO, text); }
    void complain(std::string_view text) override { write_all(STDERR_FILENO, text); }
    bool output_is_terminal() const override { return ::isatty(STDOUT_FILENO) == 1; }
    bool error_is_terminal() const override { return ::isatty(STDERR_FILENO) == 1; }
    std::size_t columns() const override {
        winsize size = {};
        const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
        return known ? size.ws_col : 0;
    }
    int output_descriptor() const override { return STDOUT_FILENO; }
    int input_descriptor() const override { return STDIN_FILENO; }
};

} // namespace

console& standard_console() {
    static process_console only;
    return only;
}

} // namespace lockstep::drbdsetup
