#include "kernel/control/event_stream.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "kernel/control/protocol/state_words.hpp"
#include "kernel/state/types.hpp"

namespace lockstep::control {

namespace {

std::string_view yes_no(bool value) {
    return value ? "yes" : "no";
}

class field_list {
public:
    void info(std::string_view key, std::string_view value) { add(key, value, false, false); }
    void statistic(std::string_view key, std::string_view value) { add(key, value, true, false); }
    // Printed with the statistics, when it changed.
    void quiet(std::string_view key, std::string_view value) { add(key, value, true, true); }

    std::vector<event_field> take() { return std::move(fields_); }

private:
    void add(std::string_view key, std::string_view value, bool statistic, bool quiet) {
        fields_.push_back({std::string(key), std::string(value), true, statistic, quiet});
    }

    std::vector<event_field> fields_;
};

event resource_event(const snapshot& from) {
    const promotion chance = promotion_of(from);
    field_list fields;
    fields.info("role", state::name(from.role));
    fields.info("suspended", suspended_words(from));
    fields.info("may_promote", yes_no(chance.possible));
    fields.info("promotion_score", fmt::format("{}", chance.score));
    const char ordering = from.volumes.empty() ? 'f' : from.volumes.front().write_ordering;
    fields.quiet("write-ordering", write_ordering_word(ordering));
    event made;
    made.object = event_object::resource;
    made.fields = fields.take();
    return made;
}

event connection_event(const snapshot& from) {
    const bool congested = std::any_of(from.volumes.begin(), from.volumes.end(),
                                       [](const volume_snapshot& v) { return v.congested; });
    field_list fields;
    fields.info("connection", connection_word(from.connection));
    fields.info("role", state::name(from.peer_role));
    fields.quiet("congested", yes_no(congested));
    event made;
    made.object = event_object::connection;
    made.has_connection = from.has_net;
    made.fields = fields.take();
    return made;
}

event device_event(const snapshot& whole, const volume_snapshot& from) {
    field_list fields;
    fields.info("backing_dev", backing_device_word(from));
    fields.info("disk", state::name(from.state.disk));
    fields.info("client", yes_no(from.client));
    fields.info("quorum", "yes");
    fields.info("open", open_word(from));
    fields.statistic("size", fmt::format("{}", from.size_sectors / 2));
    fields.statistic("read", fmt::format("{}", from.read_kib));
    fields.statistic("written", fmt::format("{}", from.written_kib));
    fields.statistic("al-writes", fmt::format("{}", from.al_writes));
    fields.statistic("bm-writes", fmt::format("{}", from.bm_writes));
    fields.statistic("upper-pending", fmt::format("{}", from.upper_pending));
    fields.statistic("lower-pending", fmt::format("{}", from.lower_pending));
    fields.quiet("al-suspended", yes_no(from.al_suspended));
    fields.quiet("blocked", blocked_words(whole));
    event made;
    made.object = event_object::device;
    made.volume = from.volume;
    made.minor = from.minor;
    made.fields = fields.take();
    return made;
}

event peer_device_event(const snapshot& whole, const volume_snapshot& from) {
    field_list fields;
    fields.info("replication", replication_word(from.state.connection));
    fields.info("peer-disk", state::name(from.state.peer_disk));
    fields.info("peer-client", "no");
    fields.info("resync-suspended", resync_suspended_words(from));
    // In the very first moment it is not known yet how much there is to do.
    const bool running = from.progress.running && from.progress.total_bits != 0;
    if (running) {
        fields.info("done", percent_done(from.progress));
    }
    fields.statistic("received", fmt::format("{}", from.received_kib));
    fields.statistic("sent", fmt::format("{}", from.sent_kib));
    fields.statistic("out-of-sync", fmt::format("{}", from.out_of_sync_kib));
    fields.statistic("pending", fmt::format("{}", from.pending));
    fields.statistic("unacked", fmt::format("{}", from.unacked));
    if (running) {
        const std::uint64_t left = from.progress.seconds_left;
        fields.statistic(
            "dbdt1", fmt::format("{:.2f}", static_cast<double>(from.progress.speed_kib) / 1024.0));
        fields.statistic("eta", left == ~std::uint64_t{0} ? "nan" : fmt::format("{}", left));
    }
    event made;
    made.object = event_object::peer_device;
    made.has_connection = whole.has_net;
    made.volume = from.volume;
    made.fields = fields.take();
    return made;
}

std::string identity(const event& what) {
    return fmt::format("{}/{:05}", static_cast<int>(what.object), what.volume.value_or(0));
}

const event_field* find_field(const event& in, const std::string& key) {
    const auto found = std::find_if(in.fields.begin(), in.fields.end(),
                                    [&](const event_field& field) { return field.key == key; });
    return found == in.fields.end() ? nullptr : &*found;
}

// "12.30" and "12.90" are the same full percent.
std::string whole_percent(const std::string& done) {
    return done.substr(0, done.find('.'));
}

// Marks what differs from the event before, and says whether that is worth an event. A field that
// is not reported keeps the value it was last reported with, so that small steps add up.
bool compare(const event& before, event& now) {
    bool notable = now.minor != before.minor;
    for (event_field& field : now.fields) {
        const event_field* old = find_field(before, field.key);
        field.changed = old == nullptr || old->value != field.value;
        const bool small_step = field.key == "done" && old != nullptr &&
                                whole_percent(old->value) == whole_percent(field.value);
        notable = notable || (field.changed && !field.statistic && !small_step);
    }
    return notable;
}

// 8.4's kernel lists a connection and its peer devices from new-resource on, but they are created
// and destroyed with the addresses.
bool is_nameless(const event& what) {
    const bool of_peer =
        what.object == event_object::connection || what.object == event_object::peer_device;
    return of_peer && !what.has_connection;
}

void order_of_destruction(std::vector<event>& events) {
    std::stable_sort(events.begin(), events.end(), [](const event& a, const event& b) {
        return static_cast<int>(a.object) > static_cast<int>(b.object);
    });
}

} // namespace

promotion promotion_of(const snapshot& from) {
    promotion chance;
    bool all_have_disks = true;
    std::uint32_t up_to_date = 0;
    std::uint32_t fewest_copies = from.volumes.empty() ? 0 : 99;
    for (const volume_snapshot& volume : from.volumes) {
        const state::disk disk = volume.state.disk;
        const bool local = disk == state::disk::up_to_date;
        const bool remote = volume.state.peer_disk == state::disk::up_to_date;
        all_have_disks = all_have_disks && (local || disk == state::disk::consistent ||
                                            disk == state::disk::inconsistent);
        up_to_date += local ? 1 : 0;
        fewest_copies = std::min(fewest_copies, (local ? 1U : 0U) + (remote ? 1U : 0U));
    }
    if (fewest_copies == 0) {
        return chance;
    }
    chance.possible = from.role != state::role::primary && from.peer_role != state::role::primary;
    chance.score =
        (all_have_disks ? 10000U : 0U) + 100U * std::min(up_to_date, 99U) + fewest_copies;
    return chance;
}

std::vector<event> describe(const snapshot& from, std::int64_t time_us) {
    std::vector<event> events;
    events.push_back(resource_event(from));
    events.push_back(connection_event(from));
    for (const volume_snapshot& volume : from.volumes) {
        events.push_back(device_event(from, volume));
    }
    for (const volume_snapshot& volume : from.volumes) {
        events.push_back(peer_device_event(from, volume));
    }
    for (event& each : events) {
        each.kind = event_kind::exists;
        each.resource = from.resource;
        each.time_us = time_us;
    }
    return events;
}

void event_stream::start(const snapshot& now) {
    known_.clear();
    for (event& each : describe(now, 0)) {
        if (!is_nameless(each)) {
            known_.emplace(identity(each), std::move(each));
        }
    }
}

std::vector<event> event_stream::step(const snapshot& now, std::int64_t time_us) {
    std::vector<event> out;
    std::map<std::string, event> gone = std::move(known_);
    known_.clear();
    for (event& each : describe(now, time_us)) {
        if (is_nameless(each)) {
            continue;
        }
        const std::string id = identity(each);
        const auto before = gone.find(id);
        if (before == gone.end()) {
            each.kind = event_kind::create;
            out.push_back(each);
            known_.emplace(id, std::move(each));
            continue;
        }
        const bool notable = compare(before->second, each);
        if (notable) {
            each.kind = event_kind::change;
            out.push_back(each);
        }
        known_.emplace(id, notable ? std::move(each) : std::move(before->second));
        gone.erase(before);
    }
    std::vector<event> ends;
    for (auto& [id, each] : gone) {
        each.kind = event_kind::destroy;
        each.time_us = time_us;
        each.fields.clear();
        ends.push_back(std::move(each));
    }
    order_of_destruction(ends);
    out.insert(out.begin(), ends.begin(), ends.end());
    return out;
}

} // namespace lockstep::control
