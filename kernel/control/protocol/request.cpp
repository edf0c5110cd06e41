// Each command lists the fields that it takes; the same list drives both directions, so that a
// field cannot be sent that the other side would refuse.
#include "kernel/control/protocol/request.hpp"

#include <algorithm>
#include <array>
#include <span>

#include <fmt/format.h>

#include "kernel/control/protocol/json_fields.hpp"

namespace lockstep::control {

namespace {

enum field : std::uint32_t {
    none = 0,
    minor_field = 1U << 0,
    volume_field = 1U << 1,
    disk_fields = 1U << 2,
    address_fields = 1U << 3,
    settings_field = 1U << 4,
    defaults_field = 1U << 5,
    force_field = 1U << 6,
    connect_flags = 1U << 7,
    clear_bitmap_field = 1U << 8,
    resize_fields = 1U << 9,
    verify_fields = 1U << 10,
    detach_field = 1U << 11,
};

struct command_row {
    command what;
    std::string_view name;
    std::uint32_t fields;
};

constexpr std::array<command_row, 25> rows = {{
    {command::status, "status", none},
    {command::events, "events", none},
    {command::new_minor, "new-minor", minor_field | volume_field},
    {command::del_minor, "del-minor", minor_field},
    {command::del_resource, "del-resource", none},
    {command::down, "down", force_field},
    {command::attach, "attach", minor_field | disk_fields | settings_field},
    {command::detach, "detach", minor_field | force_field | detach_field},
    {command::disk_options, "disk-options", minor_field | settings_field | defaults_field},
    {command::resize, "resize", minor_field | resize_fields},
    {command::connect, "connect", address_fields | settings_field | connect_flags},
    {command::disconnect, "disconnect", force_field},
    {command::net_options, "net-options", settings_field | defaults_field},
    {command::resource_options, "resource-options", settings_field | defaults_field},
    {command::primary, "primary", minor_field | force_field},
    {command::secondary, "secondary", minor_field | force_field},
    {command::invalidate, "invalidate", minor_field},
    {command::invalidate_remote, "invalidate-remote", minor_field},
    {command::pause_sync, "pause-sync", minor_field},
    {command::resume_sync, "resume-sync", minor_field},
    {command::suspend_io, "suspend-io", minor_field},
    {command::resume_io, "resume-io", minor_field},
    {command::outdate, "outdate", minor_field},
    {command::verify, "verify", minor_field | verify_fields},
    {command::new_current_uuid, "new-current-uuid", minor_field | clear_bitmap_field},
}};

const command_row& row_of(command what) {
    return rows[static_cast<std::size_t>(what)];
}

void put_flag(json& into, const char* key, bool value) {
    if (value) {
        into[key] = true;
    }
}

json settings_json(const std::vector<option_setting>& settings) {
    json list = json::array();
    for (const option_setting& entry : settings) {
        list.push_back(json::array({entry.name, entry.value}));
    }
    return list;
}

void take_settings(json_fields& fields, std::vector<option_setting>& into) {
    fields.array("settings", max_settings, [&](const json& pair) {
        const bool good = pair.is_array() && pair.size() == 2 && pair[0].is_string() &&
                          pair[1].is_string() &&
                          pair[0].get_ref<const std::string&>().size() <= 64 &&
                          pair[1].get_ref<const std::string&>().size() <= max_path_bytes;
        if (!good) {
            fields.wrong("settings", "an array of pairs of option and value");
            return;
        }
        into.push_back({pair[0].get<std::string>(), pair[1].get<std::string>()});
    });
}

void take_disk(json_fields& fields, request& into) {
    into.backing_device = fields.text("backing-device", "", max_path_bytes);
    into.meta_device = fields.text("meta-device", "", max_path_bytes);
    into.meta_index = fields.text("meta-index", "", 16);
    if (into.backing_device.empty() || into.backing_device[0] != '/') {
        fields.wrong("backing-device", "an absolute path");
    }
    if (into.meta_device.empty() || into.meta_device[0] != '/') {
        fields.wrong("meta-device", "an absolute path");
    }
    const std::string& index = into.meta_index;
    const bool number =
        !index.empty() && index.size() <= 9 &&
        std::all_of(index.begin(), index.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!number && index != "internal" && index != "flexible") {
        fields.wrong("meta-index", "\"internal\", \"flexible\" or a number from 0 to 999999999");
    }
}

void take_addresses(json_fields& fields, request& into) {
    into.local_address = fields.text("local-address", "", max_address_bytes);
    into.peer_address = fields.text("peer-address", "", max_address_bytes);
    if (into.local_address.empty()) {
        fields.wrong("local-address", "an address");
    }
    if (into.peer_address.empty()) {
        fields.wrong("peer-address", "an address");
    }
}

void take_fields(json_fields& fields, std::uint32_t which, request& into) {
    if ((which & minor_field) != 0) {
        if (!fields.has("minor")) {
            fields.wrong("minor", fmt::format("given: a number from 0 to {}", max_minor));
        }
        into.minor = static_cast<std::uint32_t>(fields.number("minor", 0, max_minor));
    }
    if ((which & volume_field) != 0) {
        into.volume = static_cast<std::uint32_t>(fields.number("volume", 0, max_volume));
    }
    if ((which & disk_fields) != 0) {
        take_disk(fields, into);
    }
    if ((which & address_fields) != 0) {
        take_addresses(fields, into);
    }
    if ((which & settings_field) != 0) {
        take_settings(fields, into.settings);
    }
    if ((which & defaults_field) != 0) {
        into.set_defaults = fields.boolean("set-defaults", false);
    }
    if ((which & force_field) != 0) {
        into.force = fields.boolean("force", false);
    }
    if ((which & detach_field) != 0) {
        into.by_intention = fields.boolean("by-intention", false);
    }
    if ((which & connect_flags) != 0) {
        into.discard_my_data = fields.boolean("discard-my-data", false);
        into.tentative = fields.boolean("tentative", false);
    }
    if ((which & clear_bitmap_field) != 0) {
        into.clear_bitmap = fields.boolean("clear-bitmap", false);
    }
    if ((which & resize_fields) != 0) {
        into.assume_clean = fields.boolean("assume-clean", false);
        into.assume_peer_has_space = fields.boolean("assume-peer-has-space", false);
        into.size_sectors = fields.number("size-sectors", 0);
    }
    if ((which & verify_fields) != 0) {
        into.start_sector = fields.number("start-sector", where_it_stopped);
        into.stop_sector = fields.number("stop-sector", whole_device);
    }
}

void put_fields(json& into, std::uint32_t which, const request& value) {
    if ((which & minor_field) != 0) {
        into["minor"] = value.minor;
    }
    if ((which & volume_field) != 0) {
        into["volume"] = value.volume;
    }
    if ((which & disk_fields) != 0) {
        into["backing-device"] = value.backing_device;
        into["meta-device"] = value.meta_device;
        into["meta-index"] = value.meta_index;
    }
    if ((which & address_fields) != 0) {
        into["local-address"] = value.local_address;
        into["peer-address"] = value.peer_address;
    }
    if ((which & settings_field) != 0 && !value.settings.empty()) {
        into["settings"] = settings_json(value.settings);
    }
    put_flag(into, "set-defaults", (which & defaults_field) != 0 && value.set_defaults);
    put_flag(into, "force", (which & force_field) != 0 && value.force);
    put_flag(into, "by-intention", (which & detach_field) != 0 && value.by_intention);
    put_flag(into, "discard-my-data", (which & connect_flags) != 0 && value.discard_my_data);
    put_flag(into, "tentative", (which & connect_flags) != 0 && value.tentative);
    put_flag(into, "clear-bitmap", (which & clear_bitmap_field) != 0 && value.clear_bitmap);
    if ((which & resize_fields) != 0) {
        put_flag(into, "assume-clean", value.assume_clean);
        put_flag(into, "assume-peer-has-space", value.assume_peer_has_space);
        into["size-sectors"] = value.size_sectors;
    }
    if ((which & verify_fields) != 0) {
        into["start-sector"] = value.start_sector;
        into["stop-sector"] = value.stop_sector;
    }
}

} // namespace

std::string_view name(command what) {
    return row_of(what).name;
}

std::optional<command> command_named(std::string_view text) {
    const auto found = std::find_if(rows.begin(), rows.end(),
                                    [&](const command_row& row) { return row.name == text; });
    return found == rows.end() ? std::nullopt : std::optional(found->what);
}

bool needs_minor(command what) {
    return (row_of(what).fields & minor_field) != 0;
}

std::string encode(const request& value) {
    const command_row& row = row_of(value.what);
    json object = {{"id", value.id}, {"command", row.name}};
    put_fields(object, row.fields, value);
    return to_line(object);
}

result<request> decode_request(std::string_view line) {
    const result<json> object = parse_object(line, "request");
    if (!object) {
        return tl::unexpected<error>(object.error());
    }
    json_fields head(*object, "request");
    const std::string spelled = head.text("command", "", 64);
    const std::optional<command> what = command_named(spelled);
    if (head.ok() && !what) {
        return fail(fmt::format("\"{}\" is no command", spelled), "request");
    }
    const std::string where =
        what ? fmt::format("request \"{}\"", spelled) : std::string("request");
    json_fields fields(*object, where);
    request taken;
    taken.id = fields.number("id", 0);
    fields.text("command", "", 64);
    if (what) {
        taken.what = *what;
        take_fields(fields, row_of(*what).fields, taken);
    }
    const result<> good = fields.finish(false);
    if (!good) {
        return tl::unexpected<error>(good.error());
    }
    return taken;
}

} // namespace lockstep::control
