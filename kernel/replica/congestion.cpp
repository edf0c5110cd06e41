#include "kernel/replica/congestion.hpp"

#include <fmt/format.h>

#include "kernel/replica/machinery.hpp"

namespace lockstep::replica {

using state::connection;

namespace {

// How long a node stays Ahead at least, and how often it looks whether the peer has caught up.
constexpr instant ahead_time = nanoseconds_per_second;

// Empty if there is room.
std::string threshold_reached(const volume& target, const options::net_options& net) {
    if (net.congestion_fill_sectors != 0 &&
        target.application_in_flight_sectors >= net.congestion_fill_sectors) {
        return fmt::format("{} KiB in flight (congestion-fill)",
                           target.application_in_flight_sectors / 2);
    }
    if (target.disk->log != nullptr && target.disk->log->used() >= net.congestion_extents) {
        return fmt::format("{} extents in use (congestion-extents)", target.disk->log->used());
    }
    return {};
}

} // namespace

void congestion::check(volume& target) {
    // Without good data of our own there is nothing to be ahead with.
    if (all_.net.on_congestion == options::on_congestion::block ||
        !all_.link.rules.has_ahead_behind() || target.state.connection != connection::connected ||
        !target.has_disk(state::disk::up_to_date)) {
        return;
    }
    const std::string why = threshold_reached(target, all_.net);
    if (why.empty()) {
        return;
    }
    if (all_.net.on_congestion == options::on_congestion::disconnect) {
        all_.states.disconnect_at_once("congestion: " + why);
        return;
    }
    all_.log(log_level::info, target, "congestion: " + why);
    all_.states.change(target, state::state_change{}.with(connection::ahead),
                       state::change_kind::hard);
    if (target.state.connection == connection::ahead) {
        // Before the first OUT_OF_SYNC, which the peer expects only when it is Behind.
        all_.states.send_state(target);
        target.resync_timer.arm(all_.now() + ahead_time);
    }
}

void congestion::entered(app_request& write) {
    write.counted_in_flight = true;
    write.target->application_in_flight_sectors += write.sectors();
}

void congestion::left(app_request& write) {
    if (write.counted_in_flight) {
        write.counted_in_flight = false;
        write.target->application_in_flight_sectors -= write.sectors();
    }
}

void congestion::tick(volume& target) {
    if (target.state.connection != connection::ahead) {
        return;
    }
    if (target.application_in_flight_sectors == 0 && target.counters.unacked == 0) {
        all_.resync.start_source(target);
        return;
    }
    target.resync_timer.arm(all_.now() + ahead_time);
}

} // namespace lockstep::replica
