// Things that may be used once: resource names, minors, addresses, sections.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>

#include "agent/config/diagnostics.hpp"

namespace lockstep::config {

class unique_register {
public:
    // Remembers the place of the first use of `what` `name`; gives the place of the earlier one if
    // there was one.
    std::optional<position> claim(const std::string& what, const std::string& name,
                                  const position& at);
    // Where it was claimed.
    std::optional<position> find(const std::string& what, const std::string& name) const;
    void clear() { places_.clear(); }

private:
    std::unordered_map<std::string, position> places_;
};

} // namespace lockstep::config
