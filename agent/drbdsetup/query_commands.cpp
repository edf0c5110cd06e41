#include "agent/drbdsetup/query_commands.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "agent/drbdmeta/generation_text.hpp"
#include "agent/drbdsetup/json_text.hpp"
#include "agent/drbdsetup/messages.hpp"
#include "agent/drbdsetup/proc_text.hpp"
#include "agent/drbdsetup/sh_status_text.hpp"
#include "agent/drbdsetup/show_text.hpp"
#include "agent/drbdsetup/status_text.hpp"
#include "kernel/format/superblock.hpp"

namespace lockstep::drbdsetup {

namespace {

struct chosen {
    std::vector<control::snapshot> resources;
    int exit_code = exit_ok; // of the worst engine that does not answer
};

result<control::snapshot> look_at(const result<client_pointer>& engine) {
    if (!engine) {
        return tl::unexpected<error>(engine.error());
    }
    return (*engine)->look();
}

// Everything that runs. An engine that does not answer is named; the others are shown.
chosen all_resources(const session& now) {
    chosen found;
    for (sighting& each : now.nodes.look_at_all()) {
        if (each.state) {
            found.resources.push_back(std::move(*each.state));
        } else {
            now.terminal.complain(fmt::format("{}: {}\n", each.resource, each.state.error().what));
            found.exit_code = exit_usage;
        }
    }
    return found;
}

const control::volume_snapshot* find_volume(const control::snapshot& in, std::uint32_t minor) {
    const auto found =
        std::find_if(in.volumes.begin(), in.volumes.end(),
                     [&](const control::volume_snapshot& each) { return each.minor == minor; });
    return found == in.volumes.end() ? nullptr : &*found;
}

// What a command for a minor looks at. Engines::of_minor() has seen the volume just before.
struct volume_view {
    control::snapshot resource;
    control::volume_snapshot volume;
};

result<volume_view> view_of_minor(const session& now) {
    result<control::snapshot> state = look_at(now.nodes.of_minor(now.asked.minor));
    if (!state) {
        return tl::unexpected<error>(state.error());
    }
    const control::volume_snapshot* volume = find_volume(*state, now.asked.minor);
    if (volume == nullptr) {
        return fail("Device minor not allocated", "unknown minor", {}, code_minor_invalid);
    }
    const control::volume_snapshot copy = *volume;
    return volume_view{std::move(*state), copy};
}

format::superblock superblock_of(const control::volume_snapshot& from) {
    format::superblock made;
    made.uuids.current = from.current_uuid;
    made.uuids.bitmap = from.bitmap_uuid;
    made.uuids.history = {from.history_uuid[0], from.history_uuid[1]};
    made.flags = from.metadata_flags;
    return made;
}

} // namespace

int run_word(const session& now) {
    const std::string_view command = now.asked.row->name;
    if (command == "state") {
        now.terminal.complain(
            fmt::format("'{} ... state' is deprecated, use '{} ... role' instead.\n", now.program,
                        now.program));
    }
    const result<volume_view> view = view_of_minor(now);
    if (!view) {
        return now.refuse(view.error());
    }
    const control::volume_snapshot& volume = view->volume;
    now.terminal.print(command == "cstate"   ? connection_text(volume)
                       : command == "dstate" ? disk_text(volume)
                                             : role_text(volume));
    return exit_ok;
}

int run_gi(const session& now) {
    const result<volume_view> view = view_of_minor(now);
    if (!view) {
        return now.refuse(view.error());
    }
    const state::volume_state& state = view->volume.state;
    if (state.disk == state::disk::diskless) {
        const bool unconfigured = state.connection == state::connection::standalone;
        now.terminal.complain(unconfigured ? "Device is unconfigured\n" : "Device has no disk\n");
        return 1;
    }
    const format::superblock shown = superblock_of(view->volume);
    now.terminal.print(now.asked.row->name == "get-gi" ? drbdmeta::generation_line(shown) + "\n"
                                                       : drbdmeta::generation_drawing(shown));
    return exit_ok;
}

int run_sh_status(const session& now) {
    chosen found;
    if (now.asked.object_kind == on_all) {
        found = all_resources(now);
    } else {
        const bool by_minor = now.asked.object_kind == on_minor;
        result<control::snapshot> state =
            look_at(by_minor ? now.nodes.of_minor(now.asked.minor)
                             : now.nodes.of_resource(now.asked.object));
        if (state) {
            found.resources.push_back(std::move(*state));
        } else if (state.error().code < 100) {
            return now.refuse(state.error());
        } else if (by_minor) {
            now.terminal.print(sh_status_unknown(now.asked.minor));
        }
    }
    std::string text;
    for (const control::snapshot& resource : found.resources) {
        for (const control::volume_snapshot& volume : resource.volumes) {
            if (now.asked.object_kind != on_minor || volume.minor == now.asked.minor) {
                text += sh_status_text(resource, volume);
            }
        }
    }
    now.terminal.print(text);
    return found.exit_code;
}

int run_show(const session& now) {
    chosen found;
    std::optional<std::uint32_t> only_minor;
    if (now.asked.object_kind == on_all) {
        found = all_resources(now);
    } else {
        if (now.asked.object_kind == on_minor) {
            only_minor = now.asked.minor;
        }
        result<control::snapshot> state = look_at(
            only_minor ? now.nodes.of_minor(*only_minor) : now.nodes.of_resource(now.asked.object));
        if (!state) {
            return now.refuse(state.error());
        }
        found.resources.push_back(std::move(*state));
    }
    now.terminal.print(
        now.asked.has("json")
            ? show_json(found.resources)
            : show_text(found.resources, now.asked.has("show-defaults"), only_minor));
    return found.exit_code;
}

int run_status(const session& now) {
    chosen found;
    if (now.asked.object_kind == on_all) {
        found = all_resources(now);
    } else {
        result<control::snapshot> state = look_at(now.nodes.of_resource(now.asked.object));
        if (!state && state.error().code == code_resource_unknown) {
            now.terminal.complain(fmt::format("{}: No such resource\nhint: {}\n", now.asked.object,
                                              find_code(code_resource_unknown)->remedy));
            return exit_refused;
        }
        if (!state) {
            return now.refuse(state.error());
        }
        found.resources.push_back(std::move(*state));
    }
    if (now.asked.has("json")) {
        now.terminal.print(status_json(found.resources));
        return found.exit_code;
    }
    const std::string colour = now.asked.value("color", "auto");
    status_style style;
    style.verbose = now.asked.has("verbose");
    style.statistics = now.asked.has("statistics");
    const bool terminal = now.terminal.output_is_terminal();
    style.colour = colour.empty() || colour == "always" || (colour == "auto" && terminal);
    // Wrapped without a terminal too, as the original does.
    const std::size_t columns = now.terminal.columns();
    style.columns = columns == 0 ? 80 : columns;
    std::string text;
    for (const control::snapshot& resource : found.resources) {
        text += status_text(resource, style);
    }
    if (found.resources.empty() && found.exit_code == exit_ok) {
        text = "# No currently configured DRBD found.\n";
    }
    now.terminal.print(text);
    return found.exit_code;
}

int run_proc(const session& now) {
    const chosen found = all_resources(now);
    now.terminal.print(proc_text(found.resources));
    return found.exit_code;
}

} // namespace lockstep::drbdsetup
