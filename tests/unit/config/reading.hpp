// Reads configuration texts in tests.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "agent/config/reader.hpp"
#include "agent/config/resolve.hpp"

namespace config_tests {

struct reading {
    std::unique_ptr<lockstep::config::document> doc =
        std::make_unique<lockstep::config::document>();
    lockstep::config::diagnostics found;

    bool valid() const { return found.valid(); }
    std::string text() const { return found.text(); }
    lockstep::config::resource& first() const { return *doc->resources.front(); }
};

inline reading read(std::string_view text) {
    reading out;
    lockstep::config::reader(*out.doc, out.found).read_text("x.conf", "/etc/x.conf", text);
    return out;
}

// Read and resolved for the node alpha, with no address of its own.
inline reading read_for(std::string_view text, const std::string& node = "alpha") {
    reading out = read(text);
    const lockstep::config::node_identity me{
        node, [](const lockstep::config::socket_address&) { return false; }};
    lockstep::config::select_hosts(*out.doc, me, out.found);
    for (const auto& owner : out.doc->resources) {
        lockstep::config::select_peer(*owner, std::nullopt, false, out.found);
    }
    return out;
}

// Two hosts around `more`, which is said at resource level.
inline std::string pair_of(const std::string& more, const std::string& name = "r0",
                           const std::string& minor = "0") {
    const auto host = [&](const std::string& node, const std::string& last) {
        return "on " + node + " { device /dev/drbd" + minor + "; disk /dev/sda" + minor +
               "; meta-disk internal; address 10.0." + minor + "." + last + ":7789; }\n";
    };
    return "resource " + name + " {\n" + more + "\n" + host("alpha", "1") + host("beta", "2") +
           "}\n";
}

inline bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

inline std::string value(const lockstep::config::option_list& list, std::string_view name) {
    const lockstep::config::option* row = lockstep::config::find_option(list, name);
    return row == nullptr ? "(none)" : row->value.value_or("(bare)");
}

} // namespace config_tests
