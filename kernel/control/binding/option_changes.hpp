// The options of a command applied to what is set.
#pragma once

#include <string>
#include <vector>

#include "kernel/base/error.hpp"
#include "kernel/control/protocol/request.hpp"
#include "kernel/options/table.hpp"

namespace lockstep::control {

constexpr int code_invalid_request = 162; // ERR_INVALID_REQUEST

// For attach, connect and new-resource: the defaults with the settings applied. Errors have
// code_invalid_request.
template <class Options>
result<Options> options_from(const std::vector<option_setting>& settings);

// What to tell whoever gave these settings: those that are accepted and do nothing here.
std::vector<std::string> without_effect(options::section where,
                                        const std::vector<option_setting>& settings);

// For the ...-options commands: `current` with the settings applied; with set_defaults everything
// that can change at run time starts from its default, and the rest stays as it is. A setting that
// can not change at run time is an error.
template <class Options>
result<Options> changed_options(options::section where, Options current, bool set_defaults,
                                const std::vector<option_setting>& settings);

} // namespace lockstep::control
