#include "agent/drbdmeta/console.hpp"

#include <unistd.h>

#include <algorithm>
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
    if (!last_.empty()) {
        // What failed in the middle is not done.
        owner_.remark(finished_ ? fmt::format("\r{:<{}}\n", "100%", last_.size()) : "\n");
    }
}

void console::progress::show(unsigned long long bytes_done, unsigned long long bytes_in_all) {
    finished_ = bytes_done >= bytes_in_all;
    const std::string text = progress_text(bytes_done, bytes_in_all,
                                           std::chrono::duration_cast<std::chrono::milliseconds>(
                                               std::chrono::steady_clock::now() - began_));
    // Work that is soon over is not worth a word.
    const bool is_news = text != last_ && !(last_.empty() && text == "0%");
    if (!finished_ && is_news) {
        owner_.remark(fmt::format("\r{:<{}}", text, last_.size()));
        last_ = text;
    }
}

std::string progress_text(unsigned long long bytes_done, unsigned long long bytes_in_all,
                          std::chrono::milliseconds elapsed) {
    const unsigned long long percent =
        bytes_in_all < 100 ? 0 : std::min(bytes_done / (bytes_in_all / 100), 100ULL);
    const auto milliseconds = static_cast<unsigned long long>(elapsed.count());
    if (milliseconds < 1000 || bytes_done == 0 || bytes_done > bytes_in_all) {
        return fmt::format("{}%", percent);
    }
    const unsigned long long kib = bytes_done / 1024;
    // In KiB: the bytes of the largest bitmap times the milliseconds of a day overflow.
    const unsigned long long seconds_left =
        kib == 0 ? 0 : (bytes_in_all - bytes_done) / 1024 * milliseconds / kib / 1000;
    return fmt::format("{}%, {}/s, {}:{:02} left", percent, pretty_size(kib * 1000 / milliseconds),
                       seconds_left / 60, seconds_left % 60);
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
