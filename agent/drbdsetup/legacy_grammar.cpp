#include "agent/drbdsetup/legacy_grammar.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "agent/drbdmeta/minor.hpp"
#include "agent/drbdsetup/command_table.hpp"
#include "kernel/options/legacy.hpp"

namespace lockstep::drbdsetup {

namespace {

using words_of_command = std::vector<std::string>;
using commands_84 = std::vector<words_of_command>;

// Short options of the commands that are not in kernel/options/legacy.
struct short_option {
    std::string_view command;
    char letter;
    std::string_view name; // 8.4's
};

constexpr std::array short_options = {
    short_option{"primary", 'o', "force"},
    short_option{"primary", 'f', "force"},
    short_option{"resize", 's', "size"},
    short_option{"resize", 'f', "assume-peer-has-space"},
    short_option{"resize", 'c', "assume-clean"},
    short_option{"detach", 'f', "force"},
    short_option{"disconnect", 'F', "force"},
    short_option{"verify", 's', "start"},
    short_option{"verify", 'S', "stop"},
    short_option{"new-current-uuid", 'c', "clear-bitmap"},
    short_option{"wait-connect", 't', "wfc-timeout"},
    short_option{"wait-connect", 'd', "degr-wfc-timeout"},
    short_option{"wait-connect", 'o', "outdated-wfc-timeout"},
    short_option{"wait-connect", 'w', "wait-after-sb"},
    short_option{"wait-sync", 't', "wfc-timeout"},
    short_option{"wait-sync", 'd', "degr-wfc-timeout"},
    short_option{"wait-sync", 'o', "outdated-wfc-timeout"},
    short_option{"wait-sync", 'w', "wait-after-sb"},
    short_option{"net", 'D', "discard-my-data"},
    short_option{"net", 'n', "tentative"},
};

// Those of the net command that 8.4's connect has as options of its own.
constexpr std::array<std::string_view, 3> connect_flags = {"discard-my-data", "dry-run",
                                                           "tentative"};

std::optional<options::command_83> configuring(std::string_view command) {
    if (command == "disk") {
        return options::command_83::disk;
    }
    if (command == "net") {
        return options::command_83::net;
    }
    return command == "syncer" ? std::optional(options::command_83::syncer) : std::nullopt;
}

// One option as 8.4 spells it, and where it belongs.
struct taken_option {
    std::optional<options::section> section; // none: the command's own
    std::string word;                        // "--resync-rate=50M"
};

class translation {
public:
    translation(const std::vector<std::string>& words, std::string owner, std::uint32_t minor)
        : command_(words[1]), words_(words), owner_(std::move(owner)),
          minor_(fmt::format("{}", minor)) {}

    // Sorts the words after the command into arguments and options.
    result<> sort();
    result<commands_84> commands() const;

private:
    result<> take_long(const std::string& word, std::size_t& at);
    result<> take_short(const std::string& word, std::size_t& at);
    result<> take_configuring(const options::legacy_option& option,
                              std::optional<std::string> value, std::size_t& at);
    result<std::string> next_word(std::string_view option, std::size_t& at) const;
    words_of_command with_options(words_of_command command,
                                  std::optional<options::section> only) const;
    bool has_options_of(options::section section) const;
    result<commands_84> disk() const;
    result<commands_84> net() const;
    commands_84 syncer() const;

    std::string command_;
    const std::vector<std::string>& words_;
    std::string owner_;
    std::string minor_;
    std::vector<std::string> arguments_;
    std::vector<taken_option> options_;
    bool set_defaults_ = false;
    bool all_devices_ = false; // of events
};

bool is_option(const std::string& word) {
    const bool number = word.size() > 1 && word[0] == '-' &&
                        word.find_first_not_of("0123456789", 1) == std::string::npos;
    return word.size() > 1 && word[0] == '-' && !number;
}

tl::unexpected<error> unknown(const std::string& command, std::string_view option) {
    return fail(fmt::format("{} has no option {}", command, option), {},
                "This is the command line of DRBD 8.3 (DEVICE COMMAND); drbdsetup help COMMAND "
                "shows that of 8.4.");
}

result<> translation::sort() {
    for (std::size_t at = 2; at < words_.size(); ++at) {
        const std::string& word = words_[at];
        result<> taken;
        if (!is_option(word)) {
            arguments_.push_back(word);
        } else if (word.compare(0, 2, "--") == 0) {
            taken = take_long(word, at);
        } else {
            taken = take_short(word, at);
        }
        if (!taken) {
            return taken;
        }
    }
    return {};
}

result<std::string> translation::next_word(std::string_view option, std::size_t& at) const {
    if (at + 1 >= words_.size()) {
        return fail(fmt::format("Option {} needs a value", option));
    }
    return words_[++at];
}

result<> translation::take_configuring(const options::legacy_option& option,
                                       std::optional<std::string> value, std::size_t& at) {
    std::string text(option.implied_value);
    if (option.implied_value.empty()) {
        const result<std::string> given =
            value ? result<std::string>(*value) : next_word(option.old_name, at);
        if (!given) {
            return tl::unexpected<error>(given.error());
        }
        text = *given;
    }
    options_.push_back({option.section, fmt::format("--{}={}", option.name, text)});
    return {};
}

result<> translation::take_long(const std::string& word, std::size_t& at) {
    const std::size_t equals = word.find('=');
    const std::string name = word.substr(2, equals == std::string::npos ? equals : equals - 2);
    std::optional<std::string> value;
    if (equals != std::string::npos) {
        value = word.substr(equals + 1);
    }
    if (name == "create-device") {
        return {};
    }
    if (name == "set-defaults") {
        set_defaults_ = true;
        return {};
    }
    if (command_ == "events" && (name == "all-devices" || name == "unfiltered")) {
        all_devices_ = all_devices_ || name == "all-devices";
        return {};
    }
    const auto which = configuring(command_);
    const bool own =
        std::find(connect_flags.begin(), connect_flags.end(), name) != connect_flags.end();
    if (!which || (which == options::command_83::net && own)) {
        options_.push_back({std::nullopt, word});
        return {};
    }
    if (name == "use-bmbv" || name == "max-bio-bvecs") {
        // They speak of the kernel's way to split requests, and mean nothing to 8.4 either.
        return name == "use-bmbv" || value ? result<>()
                                           : result<>(next_word(name, at).map([](auto) {}));
    }
    const options::legacy_option* option = options::find_legacy(*which, name);
    if (option == nullptr) {
        return unknown(command_, word);
    }
    return take_configuring(*option, value, at);
}

result<> translation::take_short(const std::string& word, std::size_t& at) {
    const char letter = word[1];
    std::optional<std::string> value;
    if (word.size() > 2) {
        value = word.substr(2);
    }
    for (const short_option& each : short_options) {
        if (each.command == command_ && each.letter == letter) {
            const command_row* row = find_command(command_ == "net" ? "connect" : command_);
            const own_option* option = find_option(*row, each.name);
            std::string text = fmt::format("--{}", each.name);
            const bool needs_value =
                option->kind == option_kind::number ||
                (option->kind == option_kind::text && !option->argument_may_lack);
            if (needs_value) {
                const result<std::string> given =
                    value ? result<std::string>(*value) : next_word(word, at);
                if (!given) {
                    return tl::unexpected<error>(given.error());
                }
                text += "=" + *given;
            }
            options_.push_back({std::nullopt, text});
            return {};
        }
    }
    if (command_ == "events" && (letter == 'a' || letter == 'u')) {
        all_devices_ = all_devices_ || letter == 'a';
        return {};
    }
    const auto which = configuring(command_);
    if (which == options::command_83::disk && letter == 'b') {
        return {};
    }
    if (which) {
        for (const options::legacy_option& option : options::legacy_options(*which)) {
            if (option.short_option == letter) {
                return take_configuring(option, value, at);
            }
        }
    }
    return unknown(command_, word);
}

words_of_command translation::with_options(words_of_command command,
                                           std::optional<options::section> only) const {
    for (const taken_option& option : options_) {
        if (!option.section || !only || option.section == only) {
            command.push_back(option.word);
        }
    }
    return command;
}

bool translation::has_options_of(options::section section) const {
    return std::any_of(options_.begin(), options_.end(),
                       [&](const taken_option& option) { return option.section == section; });
}

result<commands_84> translation::disk() const {
    if (arguments_.size() != 3) {
        return fail(fmt::format("disk takes three arguments, and got {}", arguments_.size()), {},
                    "They are the data device, the metadata device (the same for internal), and "
                    "internal, flexible or a slot number.");
    }
    return commands_84{with_options({"attach", minor_, arguments_[0], arguments_[1], arguments_[2]},
                                    std::nullopt)};
}

result<commands_84> translation::net() const {
    if (arguments_.size() != 3) {
        return fail(fmt::format("net takes three arguments, and got {}", arguments_.size()), {},
                    "They are the local address, the peer's address, and the protocol: A, B or C.");
    }
    return commands_84{with_options({"connect", owner_, arguments_[0], arguments_[1],
                                     fmt::format("--protocol={}", arguments_[2])},
                                    std::nullopt)};
}

// What 8.3's one section set belongs to three of 8.4's. The options of the network are kept by the
// engine for a connection that is yet to come.
commands_84 translation::syncer() const {
    commands_84 all;
    const auto add = [&](options::section section, words_of_command command) {
        if (has_options_of(section) || set_defaults_) {
            if (set_defaults_) {
                command.emplace_back("--set-defaults");
            }
            all.push_back(with_options(std::move(command), section));
        }
    };
    add(options::section::disk, {"disk-options", minor_});
    add(options::section::net, {"net-options", owner_});
    add(options::section::resource, {"resource-options", owner_});
    return all;
}

result<commands_84> translation::commands() const {
    if (command_ == "disk") {
        return disk();
    }
    if (command_ == "net") {
        return net();
    }
    if (command_ == "syncer") {
        return syncer();
    }
    if (command_ == "events") {
        return commands_84{{"events", all_devices_ ? "all" : minor_, "--minors-only"}};
    }
    words_of_command same = {command_};
    const bool of_resource = command_ == "down" || command_ == "disconnect" || command_ == "status";
    same.push_back(of_resource ? owner_ : minor_);
    same.insert(same.end(), arguments_.begin(), arguments_.end());
    return commands_84{with_options(same, std::nullopt)};
}

} // namespace

bool is_legacy(const std::vector<std::string>& words) {
    if (words.size() < 2 || find_command(words[0]) != nullptr) {
        return false;
    }
    return find_command(words[1]) != nullptr || configuring(words[1]);
}

result<std::vector<std::vector<std::string>>>
translate_legacy(const std::vector<std::string>& words, const owner_of_minor& owner) {
    const std::string& device = words[0];
    const std::optional<unsigned> minor = drbdmeta::minor_of(device);
    if (!minor) {
        // 8.4's commands with their first two words exchanged: "r0 down".
        std::vector<std::string> swapped = words;
        std::swap(swapped[0], swapped[1]);
        return commands_84{swapped};
    }
    const std::optional<std::string> owned_by = owner(*minor);
    const bool creates = configuring(words[1]).has_value();
    if (!owned_by && words[1] == "down") {
        return commands_84{};
    }
    const std::string name = owned_by.value_or(fmt::format("drbd{}", *minor));
    translation translated(words, name, *minor);
    const result<> sorted = translated.sort();
    if (!sorted) {
        return tl::unexpected<error>(sorted.error());
    }
    result<commands_84> all = translated.commands();
    if (all && !owned_by && creates) {
        const std::string number = fmt::format("{}", *minor);
        const commands_84 first = {{"new-resource", name}, {"new-minor", name, number, "0"}};
        all->insert(all->begin(), first.begin(), first.end());
    }
    return all;
}

} // namespace lockstep::drbdsetup
