#include "agent/drbdadm/driver_version.hpp"

#include <charconv>
#include <cstdlib>

#include <fmt/format.h>

#include "agent/drbdadm/exit_code.hpp"

namespace lockstep::drbdadm {

namespace {

constexpr unsigned largest_component = 255; // the code has a byte for each

std::optional<config::version_numbers> parse(std::string_view text) {
    config::version_numbers out{};
    for (std::size_t field = 0; field < out.size(); ++field) {
        const char* const end = text.data() + text.size();
        const auto [rest, failed] = std::from_chars(text.data(), end, out[field]);
        const bool last = field + 1 == out.size();
        if (failed != std::errc{} || out[field] > largest_component ||
            (last ? rest != end : rest == end || *rest != '.')) {
            return std::nullopt;
        }
        text.remove_prefix(static_cast<std::size_t>(rest - text.data()) + (last ? 0 : 1));
    }
    return out;
}

} // namespace

result<config::version_numbers> driver_version() {
    const char* pretended = ::getenv("DRBD_DRIVER_VERSION_OVERRIDE");
    if (pretended == nullptr || *pretended == '\0') {
        return config::compatible_version;
    }
    if (const auto version = parse(pretended)) {
        return *version;
    }
    return fail(fmt::format("DRBD_DRIVER_VERSION_OVERRIDE: '{}' is no version", pretended), {},
                "set it to three numbers, like 8.4.11, or unset it", exit_usage);
}

std::string version_text(const config::version_numbers& version) {
    return fmt::format("{}", fmt::join(version, "."));
}

std::string version_code(const config::version_numbers& version) {
    return fmt::format("0x{:02x}{:02x}{:02x}", version[0], version[1], version[2]);
}

bool is_8_3(const config::version_numbers& version) {
    return version[0] == 8 && version[1] <= 3;
}

} // namespace lockstep::drbdadm
