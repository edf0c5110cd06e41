// What to write instead of a word that does not belong where it stands.
#pragma once

#include <string>
#include <string_view>

#include "agent/config/parser.hpp"

namespace lockstep::config {

// "did you mean 'protocol'?", "'ping-int' belongs into net { }"; empty if nothing comes to mind.
std::string advice_on(const option_section& section, std::string_view word);

// The same where one of "on | disk | net" has to stand.
std::string advice_on(std::string_view keywords, std::string_view word);

} // namespace lockstep::config
