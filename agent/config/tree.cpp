#include "agent/config/tree.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace lockstep::config {

const option* find_option(const option_list& list, std::string_view name) {
    const auto found =
        std::find_if(list.begin(), list.end(), [&](const option& row) { return row.name == name; });
    return found == list.end() ? nullptr : &*found;
}

const option* find_last_option(const option_list& list, std::string_view name) {
    const auto found = std::find_if(list.rbegin(), list.rend(),
                                    [&](const option& row) { return row.name == name; });
    return found == list.rend() ? nullptr : &*found;
}

std::string socket_address::setup_text() const {
    return family == "ipv6" ? fmt::format("{}:[{}]:{}", family, host, port)
                            : fmt::format("{}:{}:{}", family, host, port);
}

bool host_section::has_name(std::string_view name) const {
    return std::find(names.begin(), names.end(), name) != names.end();
}

std::string host_section::names_text(char separator) const {
    if (names.empty()) {
        return "UNKNOWN";
    }
    std::string out;
    for (const std::string& name : names) {
        out += out.empty() ? std::string{} : std::string(1, separator);
        out += name;
    }
    return out;
}

const volume* host_section::find_volume(unsigned number) const {
    const auto found = std::find_if(volumes.begin(), volumes.end(),
                                    [&](const volume& row) { return row.number == number; });
    return found == volumes.end() ? nullptr : &*found;
}

resource* document::find_resource(std::string_view name) const {
    const auto found = std::find_if(resources.begin(), resources.end(),
                                    [&](const auto& row) { return row->name == name; });
    return found == resources.end() ? nullptr : found->get();
}

} // namespace lockstep::config
