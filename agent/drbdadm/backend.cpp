#include "agent/drbdadm/backend.hpp"

#include <fmt/format.h>

namespace lockstep::drbdadm {

namespace {

std::string minor_text(const config::volume& row) {
    return std::to_string(row.minor.value_or(0));
}

void add_options(command_words& words, options::section where, const config::option_list& list,
                 bool at_run_time) {
    for (const config::option& row : list) {
        if (!goes_to_engine(where, row)) {
            continue;
        }
        const options::option_row* known = options::find(where, row.name);
        if (at_run_time && !known->at_run_time) {
            continue;
        }
        words.push_back(row.value ? fmt::format("--{}={}", row.name, *row.value)
                                  : fmt::format("--{}", row.name));
    }
}

std::string peer_text(const config::resource& owner) {
    if (owner.me->proxy && owner.me->proxy->inside) {
        return owner.me->proxy->inside->setup_text();
    }
    return owner.peer != nullptr && owner.peer->address ? owner.peer->address->setup_text() : "N/A";
}

void add_endpoints(command_words& words, const config::resource& owner) {
    words.push_back(owner.me->address ? owner.me->address->setup_text() : "N/A");
    words.push_back(peer_text(owner));
}

} // namespace

bool goes_to_engine(options::section where, const config::option& row) {
    return options::find(where, row.name) != nullptr;
}

command_words backend::start(std::string_view command) const {
    return {names_.drbdsetup, std::string(command)};
}

command_words backend::start(std::string_view command, const config::volume& row) const {
    if (legacy_) {
        return {names_.drbdsetup, minor_text(row), std::string(command)};
    }
    return {names_.drbdsetup, std::string(command), minor_text(row)};
}

void backend::add_passed(command_words& words) const {
    for (const setup_option& option : passed_) {
        words.push_back(option.text);
    }
}

command_words backend::new_resource(const config::resource& owner, scope how) const {
    command_words words = start(how == scope::create ? "new-resource" : "resource-options");
    words.push_back(owner.name);
    if (how == scope::reset) {
        words.emplace_back("--set-defaults");
    }
    if (how != scope::change) {
        add_options(words, options::section::resource, owner.resource_options, false);
    }
    add_passed(words);
    return words;
}

command_words backend::new_minor(const config::resource& owner, const config::volume& row) const {
    command_words words = start("new-minor");
    words.insert(words.end(), {owner.name, minor_text(row), std::to_string(row.number)});
    return words;
}

command_words backend::attach(const config::volume& row) const {
    command_words words = start("attach");
    words.insert(words.end(), {minor_text(row), row.disk.value_or(""), row.metadata_device(),
                               row.meta_index.value_or("internal")});
    add_options(words, options::section::disk, row.disk_options, false);
    add_passed(words);
    return words;
}

command_words backend::disk_options(const config::volume& row, scope how) const {
    command_words words = start("disk-options");
    words.push_back(minor_text(row));
    if (how == scope::reset) {
        words.emplace_back("--set-defaults");
        add_options(words, options::section::disk, row.disk_options, true);
    }
    add_passed(words);
    return words;
}

command_words backend::connect(const config::resource& owner) const {
    command_words words = start("connect");
    words.push_back(owner.name);
    add_endpoints(words, owner);
    if (owner.me->alternate_address && owner.peer != nullptr && owner.peer->alternate_address) {
        words.emplace_back("--alternate-address");
        words.push_back(owner.me->alternate_address->setup_text());
        words.emplace_back("--alternate-peer-address");
        words.push_back(owner.peer->alternate_address->setup_text());
    }
    add_options(words, options::section::net, owner.net_options, false);
    add_passed(words);
    return words;
}

command_words backend::net_options(const config::resource& owner, scope how) const {
    command_words words = start("net-options");
    add_endpoints(words, owner);
    if (how == scope::reset) {
        words.emplace_back("--set-defaults");
        add_options(words, options::section::net, owner.net_options, false);
    }
    add_passed(words);
    return words;
}

command_words backend::disconnect(const config::resource& owner) const {
    command_words words = start("disconnect");
    add_endpoints(words, owner);
    add_passed(words);
    return words;
}

command_words backend::resize(const config::resource& owner, const config::volume& row) const {
    command_words words = start("resize", row);
    const config::option* size = config::find_last_option(row.disk_options, "size");
    if (size == nullptr) {
        size = config::find_last_option(owner.disk_options, "size");
    }
    if (size != nullptr) {
        words.push_back(fmt::format("--size={}", *size->value));
    }
    add_passed(words);
    return words;
}

// In stacked mode two attempts to connect are waited for unless stacked-timeouts says otherwise:
// the lower pair must not hang at boot for a third node.
command_words backend::wait_connect(const config::resource& owner, const config::volume& row,
                                    bool stacked_mode) const {
    command_words words = start("wait-connect", row);
    if (stacked_mode && !owner.stacked_timeouts) {
        const config::option* interval = config::find_last_option(owner.net_options, "connect-int");
        const options::option_row* known = options::find(options::section::net, "connect-int");
        const std::int64_t seconds = options::number_of(
            *known, interval == nullptr ? known->default_text : *interval->value);
        words.insert(words.end(), {"--wfc-timeout", std::to_string(2 * seconds)});
        return words;
    }
    for (const config::option& option : owner.startup_options) {
        words.push_back(fmt::format("--{}={}", option.name, option.value.value_or("yes")));
    }
    return words;
}

command_words backend::show(const config::resource& owner) const {
    return {names_.drbdsetup, "show", owner.name};
}

command_words backend::setup(std::string_view command, const config::volume& row) const {
    command_words words = start(command, row);
    add_passed(words);
    return words;
}

command_words backend::setup(std::string_view command, const config::resource& owner) const {
    command_words words = start(command);
    words.push_back(owner.name);
    add_passed(words);
    return words;
}

command_words backend::check_resize(const config::volume& row) const {
    return start("check-resize", row);
}

command_words backend::apply_al(const config::volume& row) const {
    std::string index = row.meta_index.value_or("internal");
    if (index == "flexible") {
        index = "flex-external";
    }
    return {names_.drbdmeta, minor_text(row), "v08", row.metadata_device(), index, "apply-al"};
}

command_words backend::device_uuid(const config::volume& row,
                                   std::optional<std::uint64_t> number) const {
    command_words words = apply_al(row);
    words.back() = number ? "write-dev-uuid" : "read-dev-uuid";
    if (number) {
        words.push_back(fmt::format("{:016X}", *number));
    }
    return words;
}

command_words backend::meta(std::string_view command, const config::volume& row) const {
    command_words words = apply_al(row);
    words.back() = command;
    add_passed(words);
    return words;
}

} // namespace lockstep::drbdadm
