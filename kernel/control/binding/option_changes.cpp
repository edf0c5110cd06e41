#include "kernel/control/binding/option_changes.hpp"

#include <fmt/format.h>

namespace lockstep::control {

namespace {

constexpr int code_cpu_mask = 143;

// "f" or "1,00000000", as the kernel writes the masks of CPUs; empty for all.
result<> check_cpu_mask(const std::string& text) {
    if (text.find_first_not_of("0123456789abcdefABCDEF,") != std::string::npos) {
        return fail(fmt::format("\"{}\" is no CPU mask", text), "cpu-mask",
                    "Give a hexadecimal number with a bit for each CPU, for example 3 for the "
                    "first two.",
                    code_cpu_mask);
    }
    return {};
}

template <class Options>
result<> apply(Options& into, const option_setting& setting) {
    if (setting.name == "cpu-mask") {
        if (auto checked = check_cpu_mask(setting.value); !checked) {
            return checked;
        }
    }
    result<> done = options::set(into, setting.name, setting.value);
    if (!done && done.error().code == 0) {
        done.error().code = code_invalid_request;
    }
    return done;
}

template <class Options>
result<> apply_at_run_time(options::section where, Options& into, const option_setting& setting) {
    const options::option_row* row = options::find(where, setting.name);
    if (row != nullptr && !row->at_run_time) {
        return fail(fmt::format("Option {} can not be changed now", setting.name),
                    std::string(options::section_name(where)),
                    where == options::section::disk
                        ? "It takes effect with the next attach (drbdadm detach, drbdadm attach)."
                        : "It takes effect with the next connect (drbdadm disconnect, drbdadm "
                          "connect).",
                    code_invalid_request);
    }
    return apply(into, setting);
}

} // namespace

template <class Options>
result<Options> options_from(const std::vector<option_setting>& settings) {
    Options made;
    for (const option_setting& setting : settings) {
        const result<> done = apply(made, setting);
        if (!done) {
            return tl::unexpected<error>(done.error());
        }
    }
    return made;
}

template <class Options>
result<Options> changed_options(options::section where, Options current, bool set_defaults,
                                const std::vector<option_setting>& settings) {
    for (const options::option_row& row : options::rows(where)) {
        if (set_defaults && row.at_run_time) {
            const result<> done =
                apply(current, {std::string(row.name), std::string(row.default_text)});
            if (!done) {
                return tl::unexpected<error>(done.error());
            }
        }
    }
    for (const option_setting& setting : settings) {
        const result<> done = apply_at_run_time(where, current, setting);
        if (!done) {
            return tl::unexpected<error>(done.error());
        }
    }
    return current;
}

std::vector<std::string> without_effect(options::section where,
                                        const std::vector<option_setting>& settings) {
    std::vector<std::string> told;
    for (const option_setting& setting : settings) {
        const options::option_row* row = options::find(where, setting.name);
        if (row != nullptr && row->effect == options::effect::meaningless_here &&
            !options::same_value(*row, setting.value, row->default_text)) {
            told.push_back(fmt::format("{} has no effect here: {}", row->name, row->reason));
        }
    }
    return told;
}

template result<options::disk_options> options_from(const std::vector<option_setting>&);
template result<options::net_options> options_from(const std::vector<option_setting>&);
template result<options::resource_options> options_from(const std::vector<option_setting>&);
template result<options::disk_options> changed_options(options::section, options::disk_options,
                                                       bool, const std::vector<option_setting>&);
template result<options::net_options> changed_options(options::section, options::net_options, bool,
                                                      const std::vector<option_setting>&);
template result<options::resource_options> changed_options(options::section,
                                                           options::resource_options, bool,
                                                           const std::vector<option_setting>&);

} // namespace lockstep::control
