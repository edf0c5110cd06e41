#include <algorithm>
#include <cstdio>
#include <ctime>
#include <set>

#include <fmt/format.h>

#include "agent/config/dump.hpp"
#include "agent/config/escape.hpp"
#include "agent/drbdadm/actions.hpp"
#include "agent/drbdadm/exit_code.hpp"

namespace lockstep::drbdadm {

namespace {

constexpr unsigned fewest_minors = 32; // the module's minor_count
constexpr unsigned most_minors = 255;
constexpr int promotion_attempts = 5;

void print_resources(const session& run) {
    std::string out;
    for (const auto& owner : run.doc.resources) {
        if (!owner->ignored && owner->stacked == run.request.stacked) {
            out += out.empty() ? "" : " ";
            out += config::config_word(owner->name);
        }
    }
    if (!out.empty()) {
        fmt::print("{}\n", out);
    }
}

void print_module_parameters(const session& run) {
    std::size_t minors = 0;
    for (const auto& owner : run.doc.resources) {
        minors += owner->ignored ? 0 : owner->me->volumes.size();
    }
    const unsigned count =
        run.doc.global.minor_count != 0
            ? run.doc.global.minor_count
            : std::clamp(static_cast<unsigned>(minors) + 3, fewest_minors, most_minors);
    fmt::print("minor_count={}\n", count);
}

std::string without_dev(const std::string& path) {
    constexpr std::string_view prefix = "/dev/";
    return path.compare(0, prefix.size(), prefix) == 0 ? path.substr(prefix.size()) : path;
}

int print_udev(const session& run, const subject& on) {
    if (on.row == nullptr) {
        fmt::print(stderr, "volume not specified: name one as minor-N or RESOURCE/N\n");
        return exit_usage;
    }
    const config::volume& row = *on.row;
    const bool by_volume = !row.implicit || run.doc.global.udev_always_use_vnr;
    const std::string name =
        by_volume ? fmt::format("{}/{}", on.owner->name, row.number) : on.owner->name;
    fmt::print("RESOURCE={}\n", name);
    fmt::print("DEVICE={}\n", row.device && row.device->compare(0, 9, "/dev/drbd") == 0
                                  ? without_dev(*row.device)
                                  : fmt::format("drbd{}", row.minor.value_or(0)));
    // The rules of 8.4 make links of RESOURCE and DISK, those of 9 take the links as they are.
    const std::string disk = row.diskless() ? std::string{} : without_dev(row.disk.value_or(""));
    fmt::print("DISK={}\n", disk);
    fmt::print("SYMLINK=drbd/by-res/{}\nSYMLINK_BY_RES=drbd/by-res/{}\n", name, name);
    if (!disk.empty()) {
        fmt::print("SYMLINK_BY_DISK=drbd/by-disk/{}\n", disk);
    }
    return 0;
}

int print_lower(const session& run, const subject& on) {
    if (!run.request.stacked || !on.owner->stacked) {
        fmt::print(stderr, "'{}' {}\n", on.owner->name,
                   run.request.stacked ? "is not stacked on this host"
                                       : "has a lower resource in stacked mode (-S) only");
        return exit_usage;
    }
    fmt::print("{}\n", on.owner->me->lower->name);
    return 0;
}

// Right after connecting both nodes may become Primary at once, and one be refused for it.
int promote_if_listed(const session& run, const subject& on) {
    const auto& names = on.owner->become_primary_on;
    const bool listed = std::find(names.begin(), names.end(), "both") != names.end() ||
                        std::find(names.begin(), names.end(), run.node_name) != names.end();
    int code = 0;
    for (int attempt = 0; listed && attempt < promotion_attempts; ++attempt) {
        code = call(run, *on.owner, run.backend.setup("primary", *on.row));
        if (code == 0) {
            return 0;
        }
        timespec pause{1, 0};
        ::nanosleep(&pause, nullptr);
    }
    return code;
}

int print_status(const session& run) {
    if (!run.dry()) {
        print_shell_status_head(run);
    }
    for (const auto& owner : run.doc.resources) {
        if (owner->ignored) {
            continue;
        }
        fmt::print("_conf_res_name={}\n_conf_file_line={}\n\n", config::shell_word(owner->name),
                   config::shell_word(owner->start.path_text()));
        const config::resource* lower = owner->stacked ? owner->me->lower : nullptr;
        fmt::print("_stacked_on={}\n",
                   lower == nullptr ? std::string{} : config::shell_word(lower->name));
        if (lower == nullptr) {
            fmt::print("_stacked_on_device=\n_stacked_on_minor=\n");
        }
        for (const config::volume& row : owner->me->volumes) {
            const config::volume* below =
                lower == nullptr ? nullptr : lower->me->find_volume(row.number);
            if (below != nullptr) {
                fmt::print("_stacked_on_device={}\n_stacked_on_minor={}\n",
                           config::shell_word(below->device.value_or("")),
                           below->minor.value_or(0));
            }
            fmt::print("_conf_volume={}\n", row.number);
            std::fflush(stdout);
            const int code = call(run, *owner, run.backend.setup("sh-status", row));
            if (code != 0) {
                return code;
            }
        }
    }
    return 0;
}

void print_config_files(const session& run) {
    std::set<std::string> seen;
    for (const auto& file : run.doc.files) {
        if (seen.insert(file->path).second) {
            fmt::print("{}\n", file->path);
        }
    }
}

} // namespace

void print_shell_status_head(const session& run) {
    fmt::print("_drbd_version={}\n_drbd_api=1\n_config_file={}\n\n\n",
               config::shell_word(LOCKSTEP_VERSION), config::shell_word(run.config_path));
}

int perform_query(session& run, const command& what, const subject& on) {
    switch (what.action) {
    case action::dump:
        fmt::print("{}", run.layout_83 ? config::dump_resource_83(*on.owner, run.node_name)
                                       : config::dump_resource(*on.owner, run.node_name));
        return 0;
    case action::dump_xml:
        fmt::print("{}", config::dump_xml_resource(*on.owner));
        return 0;
    case action::sh_resources:
        print_resources(run);
        return 0;
    case action::sh_resource:
        fmt::print("{}\n", on.owner->name);
        return 0;
    case action::sh_mod_parms:
        print_module_parameters(run);
        return 0;
    case action::sh_dev:
        fmt::print("{}\n", on.row->device.value_or(""));
        return 0;
    case action::sh_udev:
        return print_udev(run, on);
    case action::sh_minor:
        fmt::print("{}\n", on.row->minor.value_or(0));
        return 0;
    case action::sh_ll_dev:
        fmt::print("{}\n", on.row->disk.value_or("none"));
        return 0;
    case action::sh_md_dev:
        fmt::print("{}\n", on.row->diskless() ? "none" : on.row->metadata_device());
        return 0;
    case action::sh_md_idx:
        fmt::print("{}\n", on.row->meta_index.value_or("none"));
        return 0;
    case action::sh_ip:
        fmt::print("{}\n", on.owner->me->address->host);
        return 0;
    case action::sh_lr_of:
        return print_lower(run, on);
    case action::sh_b_pri:
        return promote_if_listed(run, on);
    case action::sh_status:
        return print_status(run);
    case action::sh_list_config_file:
        print_config_files(run);
        return 0;
    default:
        return 0; // sh-nop: the configuration was read, that is all
    }
}

} // namespace lockstep::drbdadm
