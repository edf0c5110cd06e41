#include "agent/config/unique.hpp"

namespace lockstep::config {

namespace {

std::string key_of(const std::string& what, const std::string& name) {
    return what + '\n' + name; // no word of a configuration contains a line feed
}

} // namespace

std::optional<position> unique_register::claim(const std::string& what, const std::string& name,
                                               const position& at) {
    const auto [found, is_new] = places_.emplace(key_of(what, name), at);
    return is_new ? std::nullopt : std::optional<position>(found->second);
}

std::optional<position> unique_register::find(const std::string& what,
                                              const std::string& name) const {
    const auto found = places_.find(key_of(what, name));
    return found == places_.end() ? std::nullopt : std::optional<position>(found->second);
}

} // namespace lockstep::config
