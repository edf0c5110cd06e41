#include "kernel/replica/machinery.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace lockstep::replica {
namespace {

// How long a demotion waits for the last requests.
constexpr instant idle_wait_max = 10 * nanoseconds_per_second;

} // namespace

machinery::machinery(std::string given_name, ports& out, memory_pools pools,
                     const options::resource_options& given)
    : name(std::move(given_name)), world(out), incarnation(out.now() | 1), memory(pools),
      resource_options(given), application_pool(pools.application_requests_max),
      peer_pool(pools.peer_requests_max), link(*this), receiver(*this), keepalive(*this),
      states(*this), helpers(*this), fencing(*this), disks(*this),
      epochs(*this, pools.application_requests_max), writes(*this), congestion(*this), reads(*this),
      peers(*this), handshake(*this), moves(*this), sizes(*this), exchange(*this), resync(*this),
      order(*this), verify(*this), commands(*this), removal(*this),
      idle_deadline_(clock, [this] { answer_idle(false); }) {}

bool machinery::idle() const {
    return epochs.drained() && std::ranges::all_of(volumes, [](const auto& entry) {
               return write_path::idle(*entry.second);
           });
}

void machinery::wait_idle(std::function<void(bool)> done) {
    epochs.hurry();
    waiting_idle_.push_back(std::move(done));
    if (!idle() && common.suspended() && !fencing.superseded()) {
        answer_idle(false);
    } else if (!idle_deadline_.armed()) {
        idle_deadline_.arm(now() + idle_wait_max);
    }
}

void machinery::answer_idle(bool reached) {
    idle_deadline_.cancel();
    auto waiting = std::move(waiting_idle_);
    waiting_idle_.clear();
    for (auto& each : waiting) {
        each(reached);
    }
}

volume* machinery::find(volume_number number) const {
    const auto found = volumes.find(number);
    return found == volumes.end() ? nullptr : found->second.get();
}

bool machinery::all_volumes_met() const {
    return std::ranges::all_of(volumes, [](const auto& entry) { return entry.second->met(); });
}

bool machinery::awaits_data() const {
    return resource_options.on_no_data_accessible == options::on_no_data::suspend_io &&
           std::ranges::any_of(volumes, [](const auto& entry) {
               return entry.second->state.primary_without_data();
           });
}

void machinery::settle() {
    if (settling_) {
        return;
    }
    settling_ = true;
    bool again = true;
    while (again) {
        while (!deferred_.empty()) {
            auto action = std::move(deferred_.front());
            deferred_.pop_front();
            action();
        }
        for (auto& [number, each] : volumes) {
            writes.settle(*each);
            disks.maybe_release(*each);
            moves.proceed(*each);
        }
        if (!waiting_idle_.empty() && idle()) {
            answer_idle(true);
        }
        handshake.settle();
        removal.settle();
        peers.serve_waiting_reads();
        link.resume_receiving();
        again = !deferred_.empty() || std::ranges::any_of(volumes, [](const auto& entry) {
            const volume& each = *entry.second;
            return each.check_gate || each.retry_overlaps || each.retry_slots || each.retry_data ||
                   each.retry_pump || each.retry_written;
        });
    }
    std::erase_if(buried_, [](const auto& disk) { return disk->outstanding() == 0; });
    settling_ = false;
}

void machinery::submit_disk(local_disk& disk, disk_request& request) {
    LOCKSTEP_CHECK(request.finished != nullptr && request.disk == &disk);
    world.submit(request);
}

void machinery::disk_done(disk_request& request, int error) {
    LOCKSTEP_CHECK(request.disk != nullptr);
    request.disk->ended(request);
    request.finished(request, error);
}

void machinery::bury(std::unique_ptr<local_disk> disk) {
    if (disk != nullptr) {
        disk->abandon();
        buried_.push_back(std::move(disk));
    }
}

bool machinery::is_buried(volume_number number) const {
    return std::ranges::any_of(buried_, [&](const auto& disk) {
        return disk->number() == number && disk->outstanding() > 0;
    });
}

void machinery::log(log_level level, std::string_view text) const {
    world.log(level, fmt::format("{}: {}", name, text));
}

void machinery::log(log_level level, const volume& about, std::string_view text) const {
    world.log(level, fmt::format("{}/{} drbd{}: {}", name, about.number, about.minor, text));
}

} // namespace lockstep::replica
