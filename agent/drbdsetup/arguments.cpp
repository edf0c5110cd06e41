#include "agent/drbdsetup/arguments.hpp"

#include <getopt.h>

#include <algorithm>

#include <fmt/format.h>

#include "agent/drbdmeta/minor.hpp"
#include "agent/drbdsetup/address.hpp"
#include "agent/drbdsetup/usage.hpp"
#include "kernel/control/protocol/runtime_directory.hpp"

namespace lockstep::drbdsetup {

namespace {

constexpr std::string_view program = "drbdsetup";
// Marks "-1", an old name of internal metadata, as no option while getopt looks at it.
constexpr char no_option = '\1';

tl::unexpected<error> wrong(const command_row& row, std::string what) {
    return fail(std::move(what), {}, command_usage(row, program));
}

// What getopt_long is told: one entry for each name, whose `val` is its place in the list.
class option_names {
public:
    explicit option_names(const command_row& row) : row_(row) {
        for (const own_option& option : row.options) {
            const bool optional = option.kind == option_kind::boolean || option.argument_may_lack;
            const int argument = option.kind == option_kind::flag ? no_argument
                                 : optional                       ? optional_argument
                                                                  : required_argument;
            add(option.name, argument);
            if (!option.alias.empty()) {
                add(option.alias, argument);
            }
            if (option.short_name != 0) {
                shorts_ += option.short_name;
                shorts_ += argument == no_argument         ? ""
                           : argument == optional_argument ? "::"
                                                           : ":";
            }
        }
        if (row.section) {
            for (const options::option_row& option : options::rows(row.section->section)) {
                if (takes(row, option)) {
                    add(option.name, option.kind == options::kind::boolean ? optional_argument
                                                                           : required_argument);
                }
            }
        }
        if (row.set_defaults) {
            add("set-defaults", no_argument);
        }
        for (std::size_t at = 0; at < names_.size(); ++at) {
            list_.push_back(
                {names_[at].c_str(), arguments_[at], nullptr, first_long + static_cast<int>(at)});
        }
        list_.push_back({nullptr, 0, nullptr, 0});
    }

    const option* list() const { return list_.data(); }
    const char* shorts() const { return shorts_.c_str(); }
    // The full name of what getopt_long returned.
    std::string name_of(int code) const {
        if (code >= first_long) {
            return names_[static_cast<std::size_t>(code - first_long)];
        }
        for (const own_option& each : row_.options) {
            if (each.short_name == code) {
                return std::string(each.name);
            }
        }
        return {};
    }

private:
    static constexpr int first_long = 1000;

    void add(std::string_view name, int argument) {
        names_.emplace_back(name);
        arguments_.push_back(argument);
    }

    const command_row& row_;
    std::string shorts_ = ":"; // a missing argument is told apart from an unknown option
    std::vector<std::string> names_;
    std::vector<int> arguments_;
    std::vector<option> list_;
};

bool is_negative_number(const std::string& word) {
    return word.size() > 1 && word[0] == '-' &&
           std::all_of(word.begin() + 1, word.end(), [](char c) { return c >= '0' && c <= '9'; });
}

result<> take_own(const command_row& row, const own_option& option, std::string value, bool given,
                  invocation& into) {
    if (!option.refused.empty()) {
        return fail(fmt::format("Option --{} is not offered: {}", option.name, option.refused));
    }
    if (option.kind == option_kind::boolean) {
        value = given ? value : "yes";
        if (value != "yes" && value != "no") {
            return wrong(row, fmt::format("Option --{}: invalid argument '{}'; expected yes or no",
                                          option.name, value));
        }
    } else if (option.kind == option_kind::number) {
        const result<std::int64_t> number = options::parse_number(value, option.scale);
        if (!number || *number < option.min || *number > option.max) {
            return wrong(row, fmt::format("Option --{}: invalid argument '{}'; expected a number "
                                          "from {} to {}, or with a suffix K, M, G or s",
                                          option.name, value, option.min, option.max));
        }
        value = fmt::format("{}", *number);
    }
    into.options.push_back({&option, value});
    return {};
}

result<> take_option(const command_row& row, const std::string& name, const char* value,
                     invocation& into) {
    if (name == "set-defaults") {
        into.set_defaults = true;
        return {};
    }
    const std::string text = value == nullptr ? std::string() : std::string(value);
    if (const own_option* option = find_option(row, name)) {
        return take_own(row, *option, text, value != nullptr, into);
    }
    const options::option_row* option = options::find(row.section->section, name);
    const result<std::string> normal = options::normalise(*option, text);
    if (!normal) {
        return fail(fmt::format("Option --{}: invalid argument '{}'", name, text),
                    normal.error().what, normal.error().remedy);
    }
    into.settings.push_back({name, *normal});
    return {};
}

// Sorts options from the other words.
result<std::vector<std::string>>
take_options(const command_row& row, const std::vector<std::string>& words, invocation& into) {
    const option_names names(row);
    std::vector<std::string> copies = words;
    for (std::string& word : copies) {
        if (is_negative_number(word)) {
            word.insert(word.begin(), no_option);
        }
    }
    std::vector<char*> pointers;
    pointers.reserve(copies.size() + 1);
    for (std::string& word : copies) {
        pointers.push_back(word.data());
    }
    pointers.push_back(nullptr);
    const int count = static_cast<int>(copies.size());
    ::opterr = 0;
    ::optind = 0;
    for (;;) {
        const int code =
            ::getopt_long(count, pointers.data(), names.shorts(), names.list(), nullptr);
        if (code == -1) {
            break;
        }
        const std::string word =
            ::optind > 0 ? pointers[static_cast<std::size_t>(::optind) - 1] : "";
        if (code == '?') {
            return wrong(row, fmt::format("{} has no option '{}'", row.name, word));
        }
        if (code == ':') {
            return wrong(row, fmt::format("Option '{}' needs a value", word));
        }
        const result<> taken = take_option(row, names.name_of(code), ::optarg, into);
        if (!taken) {
            return tl::unexpected<error>(taken.error());
        }
    }
    std::vector<std::string> rest;
    for (int at = ::optind; at < count; ++at) {
        std::string word = pointers[static_cast<std::size_t>(at)];
        if (!word.empty() && word[0] == no_option) {
            word.erase(0, 1);
        }
        rest.push_back(std::move(word));
    }
    return rest;
}

result<> take_object(const command_row& row, const std::string& word, invocation& into) {
    into.object = word;
    if (word == "all") {
        if ((row.contexts & on_all) == 0 && !row.all_is_ours) {
            return wrong(row, "command does not accept argument 'all'");
        }
        into.object_kind = on_all;
        return {};
    }
    if ((row.contexts & on_minor) != 0) {
        if (const std::optional<unsigned> minor = drbdmeta::minor_of(word)) {
            into.object_kind = on_minor;
            into.minor = *minor;
            return {};
        }
        if ((row.contexts & on_resource) == 0) {
            return wrong(row,
                         fmt::format("Cannot determine minor device number of device '{}'", word));
        }
    }
    if (const std::string_view problem = control::name_problem(word); !problem.empty()) {
        return wrong(row, fmt::format("'{}' is no resource: {}", word, problem));
    }
    into.object_kind = on_resource;
    return {};
}

result<> take_addresses(const command_row& row, std::vector<std::string>& rest, invocation& into) {
    if (rest.size() < 2) {
        return wrong(row, "Missing connection endpoint argument: the local and the peer's address "
                          "are expected");
    }
    for (std::string* address : {&into.local_address, &into.peer_address}) {
        const result<std::string> normal = normal_address(rest.front());
        if (!normal) {
            return tl::unexpected<error>(normal.error());
        }
        *address = *normal;
        rest.erase(rest.begin());
    }
    if (into.object.empty()) {
        into.object = fmt::format("{} {}", into.local_address, into.peer_address);
    }
    return {};
}

} // namespace

bool invocation::has(std::string_view option) const {
    return std::any_of(options.begin(), options.end(), [&](const given_option& each) {
        return each.option->name == option && each.value != "no";
    });
}

std::string invocation::value(std::string_view option, std::string_view fallback) const {
    std::string found(fallback);
    for (const given_option& each : options) {
        if (each.option->name == option) {
            found = each.value;
        }
    }
    return found;
}

result<invocation> parse_arguments(const std::vector<std::string>& words) {
    invocation made;
    made.row = words.empty() ? nullptr : find_command(words.front());
    if (made.row == nullptr) {
        return fail("invalid command", {}, general_usage(program));
    }
    const command_row& row = *made.row;
    result<std::vector<std::string>> rest = take_options(row, words, made);
    if (!rest) {
        return tl::unexpected<error>(rest.error());
    }
    if ((row.contexts & (on_minor | on_resource | on_all)) != 0) {
        if (rest->empty() && (row.contexts & on_all) == 0) {
            return wrong(row, fmt::format("Missing first argument: {}", first_argument(row)));
        }
        const result<> object = take_object(row, rest->empty() ? "all" : rest->front(), made);
        if (!object) {
            return tl::unexpected<error>(object.error());
        }
        if (!rest->empty()) {
            rest->erase(rest->begin());
        }
    }
    // Not in the original: a resource has one connection, so its name is enough.
    if (row.contexts == on_connection && rest->size() == 1) {
        const result<> object = take_object(row, rest->front(), made);
        if (!object) {
            return tl::unexpected<error>(object.error());
        }
        rest->clear();
    } else if ((row.contexts & on_connection) != 0) {
        const result<> addresses = take_addresses(row, *rest, made);
        if (!addresses) {
            return tl::unexpected<error>(addresses.error());
        }
    }
    if (rest->size() < row.arguments.size()) {
        return wrong(row, fmt::format("Missing argument '{}'", row.arguments[rest->size()]));
    }
    if (rest->size() > row.arguments.size()) {
        return wrong(
            row,
            fmt::format("Excess arguments: {}",
                        fmt::join(rest->begin() + static_cast<std::ptrdiff_t>(row.arguments.size()),
                                  rest->end(), " ")));
    }
    made.arguments = std::move(*rest);
    return made;
}

} // namespace lockstep::drbdsetup
