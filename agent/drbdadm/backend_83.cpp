// 8.3's calls: `disk`, `syncer` and `net` of one device, with its spelling of the options.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "agent/drbdadm/backend.hpp"
#include "kernel/options/legacy.hpp"

namespace lockstep::drbdadm {

namespace {

using options::legacy_option;

struct source {
    const config::option_list* list;
    options::section section;
};

struct found_option {
    const legacy_option* old;
    const config::option* row;
};

const legacy_option* legacy_of(options::command_83 command, const source& from,
                               const config::option& row) {
    for (const legacy_option& old : options::legacy_options(command)) {
        if (old.section == from.section && old.name == row.name) {
            return &old;
        }
    }
    return nullptr;
}

// As 8.3 has them: what was inherited first, backwards, then the own ones as they were written.
bool comes_before(const found_option& a, const found_option& b) {
    if (a.row->inherited != b.row->inherited || a.row->at.file != b.row->at.file) {
        return a.row->inherited && !b.row->inherited;
    }
    return a.row->inherited ? a.row->at.line > b.row->at.line : a.row->at.line < b.row->at.line;
}

void add_options(command_words& words, options::command_83 command,
                 std::span<const source> sources) {
    std::vector<found_option> found;
    for (const source& from : sources) {
        for (const config::option& row : *from.list) {
            if (const legacy_option* old = legacy_of(command, from, row)) {
                found.push_back({old, &row});
            }
        }
    }
    std::stable_sort(found.begin(), found.end(), comes_before);
    words.insert(words.end(), {"--set-defaults", "--create-device"});
    for (const auto& [old, row] : found) {
        if (old->implied_value.empty()) {
            words.push_back(fmt::format("--{}={}", old->old_name, row->value.value_or("")));
        } else if (row->value == old->implied_value) {
            words.push_back(fmt::format("--{}", old->old_name));
        }
    }
}

} // namespace

command_words backend::disk_83(const config::resource& owner, const config::volume& row) const {
    command_words words = start("disk", row);
    words.insert(words.end(), {row.disk.value_or(""), row.metadata_device(),
                               row.meta_index.value_or("internal")});
    const std::array sources{source{&owner.disk_options, options::section::disk}};
    add_options(words, options::command_83::disk, sources);
    add_passed(words);
    return words;
}

command_words backend::syncer_83(const config::resource& owner, const config::volume& row) const {
    command_words words = start("syncer", row);
    // The volume's own list has the minor for resync-after, in the place of a resource's name.
    config::option_list disk = owner.disk_options;
    for (config::option& one : disk) {
        const config::option* translated = config::find_last_option(row.disk_options, one.name);
        if (one.name == "resync-after" && translated != nullptr) {
            one.value = translated->value;
        }
    }
    const std::array sources{source{&disk, options::section::disk},
                             source{&owner.net_options, options::section::net},
                             source{&owner.resource_options, options::section::resource}};
    add_options(words, options::command_83::syncer, sources);
    add_passed(words);
    return words;
}

command_words backend::net_83(const config::resource& owner, const config::volume& row) const {
    command_words words = start("net", row);
    const command_words modern = connect(owner);
    words.insert(words.end(), modern.begin() + 3, modern.begin() + 5); // the two addresses
    const config::option* protocol = config::find_last_option(owner.net_options, "protocol");
    words.push_back(protocol == nullptr ? "C" : protocol->value.value_or("C"));
    const std::array sources{source{&owner.net_options, options::section::net}};
    add_options(words, options::command_83::net, sources);
    add_passed(words);
    return words;
}

} // namespace lockstep::drbdadm
