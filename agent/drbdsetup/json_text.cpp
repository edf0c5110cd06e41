#include "agent/drbdsetup/json_text.hpp"

#include <cmath>

#include <nlohmann/json.hpp>

#include "kernel/control/protocol/state_words.hpp"
#include "kernel/options/table.hpp"

namespace lockstep::drbdsetup {

namespace {

using json = nlohmann::ordered_json;

double two_decimals(double value) {
    return std::round(value * 100.0) / 100.0;
}

double percent(std::uint64_t part, std::uint64_t whole) {
    if (whole == 0) {
        return 0.0;
    }
    return two_decimals(100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

json device_json(const control::volume_snapshot& from) {
    return {{"volume", from.volume},
            {"minor", from.minor},
            {"disk-state", state::name(from.state.disk)},
            {"client", from.client},
            // Not known counts as no, as in the original.
            {"open", from.open_is_known && from.open},
            {"quorum", true},
            {"size", from.size_sectors / 2},
            {"read", from.read_kib},
            {"written", from.written_kib},
            {"al-writes", from.al_writes},
            {"bm-writes", from.bm_writes},
            {"upper-pending", from.upper_pending},
            {"lower-pending", from.lower_pending}};
}

void add_progress(json& object, const control::volume_snapshot& from) {
    const control::progress_snapshot& progress = from.progress;
    const std::uint64_t done =
        progress.total_bits - std::min(progress.left_bits, progress.total_bits);
    object["rs-total"] = progress.total_bits * 8;
    object["want"] = two_decimals(static_cast<double>(progress.want_kib) / 1024.0);
    object["db1/dt1 [MiB/s]"] = two_decimals(static_cast<double>(progress.speed_kib) / 1024.0);
    if (progress.seconds_left != ~std::uint64_t{0}) {
        object["estimated-seconds-to-finish"] = progress.seconds_left;
    }
    object["db/dt [MiB/s]"] = two_decimals(static_cast<double>(progress.average_kib) / 1024.0);
    object["percent-resync-done"] = percent(done, progress.total_bits);
}

json peer_device_json(const control::volume_snapshot& from) {
    const std::uint64_t size_kib = from.size_sectors / 2;
    const bool verify = from.state.connection == state::connection::verify_s ||
                        from.state.connection == state::connection::verify_t;
    json object = {{"volume", from.volume},
                   {"replication-state", control::replication_word(from.state.connection)},
                   {"peer-disk-state", state::name(from.state.peer_disk)},
                   {"peer-client", false},
                   {"resync-suspended", control::resync_suspended_words(from)},
                   {"received", from.received_kib},
                   {"sent", from.sent_kib},
                   {"out-of-sync", from.out_of_sync_kib},
                   {"pending", from.pending},
                   {"unacked", from.unacked},
                   {"has-sync-details", from.progress.running},
                   {"has-online-verify-details", from.progress.running && verify},
                   {"percent-in-sync",
                    percent(size_kib - std::min(from.out_of_sync_kib, size_kib), size_kib)}};
    if (from.progress.running) {
        add_progress(object, from);
    }
    return object;
}

json address_json(const std::string& normal) {
    const std::size_t family_end = normal.find(':');
    const std::size_t port = normal.rfind(':');
    if (family_end == std::string::npos || port <= family_end) {
        return {{"address", normal}};
    }
    std::string host = normal.substr(family_end + 1, port - family_end - 1);
    if (host.size() > 2 && host.front() == '[') {
        host = host.substr(1, host.size() - 2);
    }
    return {{"address", host},
            {"port", std::strtoul(normal.c_str() + port + 1, nullptr, 10)},
            {"family", normal.substr(0, family_end)}};
}

json connection_json(const control::snapshot& from) {
    bool congested = false;
    std::uint64_t application_in_flight = 0; // sectors, as in DRBD 9
    std::uint64_t resync_in_flight = 0;
    json peer_devices = json::array();
    for (const control::volume_snapshot& volume : from.volumes) {
        congested = congested || volume.congested;
        application_in_flight += volume.application_in_flight_sectors;
        resync_in_flight += volume.resync_in_flight_sectors;
        peer_devices.push_back(peer_device_json(volume));
    }
    const bool established = from.connection >= state::connection::wf_report_params;
    json path = {{"this_host", address_json(from.local_address)},
                 {"remote_host", address_json(from.peer_address)},
                 {"established", established}};
    return {{"peer-node-id", 0},
            {"name", "peer"},
            {"connection-state", control::connection_word(from.connection)},
            {"congested", congested},
            {"peer-role", state::name(from.peer_role)},
            {"tls", false},
            {"ap-in-flight", application_in_flight},
            {"rs-in-flight", resync_in_flight},
            {"paths", json::array({path})},
            {"peer_devices", peer_devices}};
}

json resource_json(const control::snapshot& from) {
    json devices = json::array();
    for (const control::volume_snapshot& volume : from.volumes) {
        devices.push_back(device_json(volume));
        if (!volume.waiting_for.empty()) {
            devices.back()["waiting-for"] = volume.waiting_for;
        }
    }
    const char ordering = from.volumes.empty() ? 'f' : from.volumes.front().write_ordering;
    return {{"name", from.resource},
            {"node-id", -1},
            {"role", state::name(from.role)},
            {"suspended", from.suspended()},
            {"suspended-user", from.suspended_user},
            {"suspended-no-data", from.suspended_no_data},
            {"suspended-fencing", from.suspended_fencing},
            {"suspended-quorum", false},
            {"force-io-failures", false},
            {"write-ordering", control::write_ordering_word(ordering)},
            {"devices", devices},
            {"connections", from.has_net ? json::array({connection_json(from)}) : json::array()}};
}

template <class Options>
json options_json(const Options& from) {
    json object = json::object();
    for (const options::setting& entry : options::settings(from)) {
        const std::string key(entry.row->name);
        if (entry.row->kind == options::kind::boolean) {
            object[key] = entry.text == "yes";
        } else {
            const bool plain = entry.row->kind == options::kind::number &&
                               entry.text.find_first_not_of("-0123456789") == std::string::npos;
            object[key] =
                plain ? json(std::strtoll(entry.text.c_str(), nullptr, 10)) : json(entry.text);
        }
    }
    return object;
}

json shown_volume(const control::volume_snapshot& from) {
    json object = {{"volume_nr", from.volume}, {"device_minor", from.minor}};
    if (!from.backing_device.empty()) {
        const bool internal = from.meta_index == "internal";
        object["backing-disk"] = from.backing_device;
        object["meta-disk"] = internal ? std::string("internal") : from.meta_device;
        if (!internal && from.meta_index != "flexible") {
            object["meta-disk-index"] = std::strtol(from.meta_index.c_str(), nullptr, 10);
        }
        object["disk"] = options_json(from.disk);
    }
    return object;
}

json shown_resource(const control::snapshot& from) {
    json volumes = json::array();
    for (const control::volume_snapshot& volume : from.volumes) {
        volumes.push_back(shown_volume(volume));
    }
    json object = {{"resource", from.resource},
                   {"options", options_json(from.options)},
                   {"_this_host", {{"volumes", volumes}}},
                   {"connections", json::array()}};
    if (from.has_net) {
        json path = {{"_this_host", address_json(from.local_address)},
                     {"_remote_host", address_json(from.peer_address)}};
        object["connections"].push_back({{"paths", json::array({path})},
                                         {"_cstate", control::connection_word(from.connection)},
                                         {"net", options_json(from.net)}});
    }
    return object;
}

std::string array_of(const std::vector<control::snapshot>& resources,
                     json (*convert)(const control::snapshot&)) {
    json array = json::array();
    for (const control::snapshot& each : resources) {
        array.push_back(convert(each));
    }
    return array.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

} // namespace

std::string status_json(const std::vector<control::snapshot>& resources) {
    return array_of(resources, &resource_json);
}

std::string show_json(const std::vector<control::snapshot>& resources) {
    return array_of(resources, &shown_resource);
}

} // namespace lockstep::drbdsetup
