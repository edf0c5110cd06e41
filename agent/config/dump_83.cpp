// The layout of drbdadm 8.3: protocol first, syncer {} for what 8.4 moved to disk {}, net {} and
// options {}, and bare flags. What 8.3 cannot say is printed as a comment.
#include <algorithm>
#include <array>
#include <vector>

#include <fmt/format.h>

#include "agent/config/dump.hpp"
#include "agent/config/escape.hpp"
#include "agent/config/writer.hpp"
#include "kernel/options/legacy.hpp"

namespace lockstep::config {

namespace {

using options::command_83;
using options::legacy_option;

const legacy_option* legacy_of(command_83 command, const option& row, options::section section) {
    for (const legacy_option& old : options::legacy_options(command)) {
        if (old.section == section && old.name == row.name) {
            return &old;
        }
    }
    return nullptr;
}

// 8.3's flags have one direction; the other one is what is meant without the flag.
void print_option(writer& out, const legacy_option& old, const option& row) {
    if (old.implied_value.empty()) {
        out.pair(old.old_name, config_word(row.value.value_or("")));
    } else if (row.value == old.implied_value) {
        out.line(fmt::format("{};", old.old_name));
    }
}

struct source {
    const option_list* list;
    options::section section;
};

struct found_option {
    const legacy_option* old;
    const option* row;
};

// In the order of the file: 8.4 keeps what stood in one syncer {} in three places.
void print_section(writer& out, std::string_view name, command_83 command,
                   std::span<const source> sources) {
    std::vector<found_option> found;
    for (const source& from : sources) {
        for (const option& row : *from.list) {
            if (const legacy_option* old = legacy_of(command, row, from.section)) {
                found.push_back({old, &row});
            }
        }
    }
    if (found.empty()) {
        return;
    }
    std::stable_sort(found.begin(), found.end(), [](const found_option& a, const found_option& b) {
        return a.row->at.file == b.row->at.file && a.row->at.line < b.row->at.line;
    });
    out.open(name);
    for (const found_option& one : found) {
        print_option(out, *one.old, *one.row);
    }
    out.close();
}

void print_unknown(writer& out, const source& from, command_83 home) {
    for (const option& row : *from.list) {
        if (row.name == "protocol" || legacy_of(home, row, from.section) != nullptr ||
            legacy_of(command_83::syncer, row, from.section) != nullptr) {
            continue;
        }
        out.line(fmt::format("# not in 8.3: {} {{ {} {}; }}", options::section_name(from.section),
                             row.name, config_word(row.value.value_or(""))));
    }
}

void protocol(writer& out, const resource& owner) {
    if (const option* row = find_option(owner.net_options, "protocol")) {
        out.pair("protocol", *row->value);
    }
}

void print_sections(writer& out, const resource& owner) {
    const std::array disk{source{&owner.disk_options, options::section::disk}};
    const std::array net{source{&owner.net_options, options::section::net}};
    const std::array syncer{source{&owner.disk_options, options::section::disk},
                            source{&owner.net_options, options::section::net},
                            source{&owner.resource_options, options::section::resource}};
    print_section(out, "net", command_83::net, net);
    print_section(out, "disk", command_83::disk, disk);
    print_section(out, "syncer", command_83::syncer, syncer);
    print_unknown(out, disk[0], command_83::disk);
    print_unknown(out, net[0], command_83::net);
    options_section(out, "startup", startup_options(owner));
    options_section(out, "handlers", owner.handlers);
}

void print_host(writer& out, const host_section& row) {
    out.open(fmt::format("on {}", row.names_text()));
    for (const volume& one : row.volumes) {
        if (!one.implicit) {
            out.line(fmt::format("# not in 8.3: volume {}", one.number));
        }
        const std::string device = one.device ? config_word(*one.device) + " " : std::string{};
        out.line(fmt::format("device{:11}{}minor {};", "", device, one.minor.value_or(0)));
        out.pair("disk", config_word(one.disk.value_or("")));
        if (row.address) {
            out.wide_pair("address", address_text(*row.address));
        }
        if (one.meta_index == "internal") {
            out.pair("meta-disk", "internal");
        } else if (one.meta_index == "flexible") {
            out.wide_pair("flexible-meta-disk", config_word(one.meta_disk.value_or("")));
        } else {
            out.wide_pair("meta-disk",
                          fmt::format("{} [{}]", config_word(one.meta_disk.value_or("")),
                                      one.meta_index.value_or("")));
        }
    }
    out.close();
}

} // namespace

std::string dump_header_83(const document& doc) {
    writer out;
    out.line(fmt::format("# {}", doc.files.front()->path));
    const global_options& global = doc.global;
    if (global.minor_count != 0 || global.disable_ip_verification ||
        global.dialog_refresh_s != default_globals.dialog_refresh_s) {
        out.open("global");
        if (global.disable_ip_verification) {
            out.line("disable-ip-verification;");
        }
        if (global.minor_count != 0) {
            out.line(fmt::format("minor-count {};", global.minor_count));
        }
        if (global.dialog_refresh_s != default_globals.dialog_refresh_s) {
            out.line(fmt::format("dialog-refresh {};", global.dialog_refresh_s));
        }
        out.close();
        out.blank();
    }
    if (doc.common) {
        out.open("common");
        protocol(out, *doc.common);
        print_sections(out, *doc.common);
        out.close();
        out.blank();
    }
    return out.take();
}

std::string dump_resource_83(const resource& owner, const std::string& node_name) {
    writer out;
    out.line(resource_comment(owner, node_name));
    out.open(fmt::format("resource {}", config_word(owner.name)));
    protocol(out, owner);
    for (const auto& row : owner.hosts) {
        print_host(out, *row);
    }
    print_sections(out, owner);
    out.close();
    out.blank();
    return out.take();
}

} // namespace lockstep::config
