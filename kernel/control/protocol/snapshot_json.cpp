// The snapshot as JSON. One table for both directions: each number, flag and text of a volume is
// named once. Options travel by their 8.4 names, those that differ from their default only.
#include <tuple>

#include "kernel/control/protocol/message_json.hpp"
#include "kernel/options/table.hpp"

namespace lockstep::control {

namespace {

template <class Owner, class Value>
struct named {
    const char* key;
    Value Owner::*member;
};
template <class Owner, class Value>
named(const char*, Value Owner::*) -> named<Owner, Value>;

constexpr auto progress_table = std::make_tuple(
    named{"running", &progress_snapshot::running}, named{"total", &progress_snapshot::total_bits},
    named{"left", &progress_snapshot::left_bits},
    named{"permille", &progress_snapshot::done_permille},
    named{"seconds-left", &progress_snapshot::seconds_left},
    named{"speed", &progress_snapshot::speed_kib},
    named{"average", &progress_snapshot::average_kib}, named{"want", &progress_snapshot::want_kib},
    named{"stalled", &progress_snapshot::stalled});

constexpr auto volume_table = std::make_tuple(
    named{"volume", &volume_snapshot::volume}, named{"minor", &volume_snapshot::minor},
    named{"attached", &volume_snapshot::attached}, named{"client", &volume_snapshot::client},
    named{"open", &volume_snapshot::open}, named{"open-is-known", &volume_snapshot::open_is_known},
    named{"was-degraded", &volume_snapshot::was_degraded},
    named{"backing-device", &volume_snapshot::backing_device},
    named{"meta-device", &volume_snapshot::meta_device},
    named{"meta-index", &volume_snapshot::meta_index},
    named{"size-sectors", &volume_snapshot::size_sectors},
    named{"current-uuid", &volume_snapshot::current_uuid},
    named{"bitmap-uuid", &volume_snapshot::bitmap_uuid},
    named{"metadata-flags", &volume_snapshot::metadata_flags},
    named{"sent", &volume_snapshot::sent_kib}, named{"received", &volume_snapshot::received_kib},
    named{"written", &volume_snapshot::written_kib}, named{"read", &volume_snapshot::read_kib},
    named{"al-writes", &volume_snapshot::al_writes},
    named{"bm-writes", &volume_snapshot::bm_writes},
    named{"lower-pending", &volume_snapshot::lower_pending},
    named{"pending", &volume_snapshot::pending}, named{"unacked", &volume_snapshot::unacked},
    named{"upper-pending", &volume_snapshot::upper_pending},
    named{"ap-in-flight", &volume_snapshot::application_in_flight_sectors},
    named{"rs-in-flight", &volume_snapshot::resync_in_flight_sectors},
    named{"epochs", &volume_snapshot::epochs},
    named{"out-of-sync", &volume_snapshot::out_of_sync_kib},
    named{"al-suspended", &volume_snapshot::al_suspended},
    named{"congested", &volume_snapshot::congested},
    named{"disk-silent-ms", &volume_snapshot::disk_silent_ms},
    named{"waiting-for", &volume_snapshot::waiting_for});

constexpr auto resource_table = std::make_tuple(
    named{"resource", &snapshot::resource}, named{"suspended-user", &snapshot::suspended_user},
    named{"suspended-no-data", &snapshot::suspended_no_data},
    named{"suspended-fencing", &snapshot::suspended_fencing}, named{"has-net", &snapshot::has_net},
    named{"local-address", &snapshot::local_address},
    named{"peer-address", &snapshot::peer_address}, named{"wire-version", &snapshot::wire_version},
    named{"peer-is-lockstep", &snapshot::peer_is_lockstep});

constexpr std::size_t max_text_bytes = 4096;

template <class Owner, class Table>
void put_all(json& into, const Owner& from, const Table& table) {
    std::apply([&](const auto&... row) { ((into[row.key] = from.*row.member), ...); }, table);
}

void take_one(json_fields& from, const char* key, bool& value) {
    value = from.boolean(key, value);
}
void take_one(json_fields& from, const char* key, std::uint32_t& value) {
    value = from.small<std::uint32_t>(key, value);
}
void take_one(json_fields& from, const char* key, std::uint64_t& value) {
    value = from.number(key, value);
}
void take_one(json_fields& from, const char* key, std::string& value) {
    value = from.text(key, value, max_text_bytes);
}

template <class Owner, class Table>
void take_all(json_fields& from, Owner& into, const Table& table) {
    std::apply([&](const auto&... row) { (take_one(from, row.key, into.*row.member), ...); },
               table);
}

template <class Options>
json options_json(const Options& from) {
    json object = json::object();
    for (const options::setting& entry : options::changed(from)) {
        object[std::string(entry.row->name)] = entry.text;
    }
    return object;
}

template <class Options>
void take_options(json_fields& from, const char* key, Options& into) {
    const json* object = from.member(key);
    if (object == nullptr) {
        return;
    }
    if (!object->is_object()) {
        from.wrong(key, "an object of options");
        return;
    }
    for (auto at = object->begin(); at != object->end(); ++at) {
        if (!at.value().is_string()) {
            from.wrong(key, "an object of texts");
            return;
        }
        const result<> done = options::set(into, at.key(), at.value().get<std::string>());
        if (!done) {
            from.adopt(done.error());
        }
    }
}

json state_json(const state::volume_state& value) {
    return state::pack(value);
}

json volume_json(const volume_snapshot& value) {
    json object;
    put_all(object, value, volume_table);
    object["state"] = state_json(value.state);
    object["disk"] = options_json(value.disk);
    object["history-uuid"] = json::array({value.history_uuid[0], value.history_uuid[1]});
    object["write-ordering"] = std::string(1, value.write_ordering);
    json progress;
    put_all(progress, value.progress, progress_table);
    object["progress"] = std::move(progress);
    return object;
}

void take_progress(json_fields& from, progress_snapshot& into) {
    const json* object = from.member("progress");
    if (object == nullptr || !object->is_object()) {
        return;
    }
    json_fields fields(*object, "progress");
    take_all(fields, into, progress_table);
    const result<> good = fields.finish(true);
    if (!good) {
        from.adopt(good.error());
    }
}

void take_history(json_fields& from, volume_snapshot& into) {
    std::size_t at = 0;
    from.array("history-uuid", 2, [&](const json& element) {
        if (!element.is_number_unsigned()) {
            from.wrong("history-uuid", "an array of numbers");
            return;
        }
        into.history_uuid[at++] = element.get<std::uint64_t>();
    });
}

result<volume_snapshot> volume_from_json(const json& object) {
    if (!object.is_object()) {
        return fail("Field \"volumes\" must be an array of objects", "snapshot");
    }
    json_fields fields(object, "snapshot of a volume");
    volume_snapshot taken;
    take_all(fields, taken, volume_table);
    taken.state = state::unpack(fields.small<std::uint32_t>("state", 0));
    take_options(fields, "disk", taken.disk);
    take_history(fields, taken);
    const std::string ordering = fields.text("write-ordering", "f", 1);
    taken.write_ordering = ordering.empty() ? 'f' : ordering[0];
    take_progress(fields, taken.progress);
    const result<> good = fields.finish(true);
    if (!good) {
        return tl::unexpected<error>(good.error());
    }
    return taken;
}

} // namespace

json to_json(const snapshot& value) {
    json object;
    put_all(object, value, resource_table);
    state::volume_state common;
    common.role = value.role;
    common.peer_role = value.peer_role;
    common.connection = value.connection;
    object["state"] = state_json(common);
    object["net"] = options_json(value.net);
    object["options"] = options_json(value.options);
    json volumes = json::array();
    for (const volume_snapshot& volume : value.volumes) {
        volumes.push_back(volume_json(volume));
    }
    object["volumes"] = std::move(volumes);
    return object;
}

result<snapshot> snapshot_from_json(const json& object) {
    if (!object.is_object()) {
        return fail("Field \"state\" must be an object", "reply");
    }
    json_fields fields(object, "snapshot");
    snapshot taken;
    take_all(fields, taken, resource_table);
    const state::volume_state common = state::unpack(fields.small<std::uint32_t>("state", 0));
    taken.role = common.role;
    taken.peer_role = common.peer_role;
    taken.connection = common.connection;
    take_options(fields, "net", taken.net);
    take_options(fields, "options", taken.options);
    fields.array("volumes", 65536, [&](const json& element) {
        result<volume_snapshot> volume = volume_from_json(element);
        if (volume) {
            taken.volumes.push_back(std::move(*volume));
        } else {
            fields.adopt(volume.error());
        }
    });
    const result<> good = fields.finish(true);
    if (!good) {
        return tl::unexpected<error>(good.error());
    }
    return taken;
}

} // namespace lockstep::control
