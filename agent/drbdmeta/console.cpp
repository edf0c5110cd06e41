#include "agent/drbdmeta/console.hpp"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <iterator>

#include <fmt/format.h>

namespace lockstep::drbdmeta {

void console::print(std::string_view text) const {
    std::fwrite(text.data(), 1, text.size(), stdout);
}

void console::remark(std::string_view text) const {
    // Both streams often end in one terminal or file: keep the order of events.
    std::fflush(stdout);
    std::fwrite(text.data(), 1, text.size(), stderr);
}

bool console::confirmed(std::string_view question) const {
    remark(fmt::format("\n{}\n", question));
    if (forced_) {
        remark("*** confirmation forced via --force option ***\n");
        return true;
    }
    if (isatty(STDIN_FILENO) == 0) {
        remark("stdin not a TTY, not waiting for confirmation\n");
        return false;
    }
    remark("[need to type 'yes' to confirm] ");
    std::array<char, 64> answer = {};
    const bool read = std::fgets(answer.data(), answer.size(), stdin) != nullptr;
    remark("\n");
    return read && std::string_view(answer.data()) == "yes\n";
}

console::progress::~progress() {
    if (last_percent_ != 0) {
        owner_.remark("\r100%\n");
    }
}

void console::progress::show(unsigned long long done, unsigned long long total) {
    const auto percent = static_cast<unsigned>(total < 100 ? 0 : done / (total / 100));
    if (percent != last_percent_ && percent < 100) {
        owner_.remark(fmt::format("\r{}%", percent));
        last_percent_ = percent;
    }
}

tl::unexpected<error> stop(int exit_code, std::string text) {
    return fail(std::move(text), {}, {}, exit_code);
}

std::string pretty_size(unsigned long long kib) {
    constexpr std::array units = {'K', 'M', 'G', 'T', 'P', 'E'};
    std::size_t unit = 0;
    while (kib >= 10000 && unit + 1 < std::size(units)) {
        kib = (kib >> 10U) + ((kib >> 9U) & 1U);
        ++unit;
    }
    return fmt::format("{} {}B", kib, units[unit]);
}

} // namespace lockstep::drbdmeta
