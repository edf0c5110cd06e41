#include "kernel/replica/resource.hpp"

#include <cstdlib>
#include <system_error>

#include "kernel/replica/machinery.hpp"
#include "kernel/replica/status_view.hpp"

namespace lockstep::replica {

outcome refused(int code, std::string text, std::string remedy) {
    outcome out;
    out.ok = false;
    out.code = code;
    out.text = std::move(text);
    out.remedy = std::move(remedy);
    return out;
}

resource::resource(std::string name, ports& ports, memory_pools memory,
                   const options::resource_options& options)
    : machinery_(std::make_unique<machinery>(std::move(name), ports, memory, options)) {}

resource::~resource() = default;

void resource::disk_done(disk_request& request, int error) {
    machinery_->disk_done(request, error);
    machinery_->settle();
}

void resource::link_established(bool resolve_conflicts) {
    if (machinery_->common.connection == state::connection::wf_connection) {
        machinery_->handshake.link_established(resolve_conflicts);
    }
    machinery_->settle();
}

void resource::link_lost(channel, int error) {
    machinery& all = *machinery_;
    if (all.common.connection == state::connection::disconnecting) {
        all.states.disconnect_at_once({});
    } else if (all.common.connection == state::connection::tear_down) {
        all.states.peer_left();
    } else {
        const std::string what = error == 0 ? "the peer closed the connection"
                                            : std::generic_category().message(std::abs(error));
        all.states.drop_link(error == 0 ? state::connection::broken_pipe
                                        : state::connection::network_failure,
                             what + std::string(all.handshake.where_it_ended()));
    }
    all.settle();
}

std::size_t resource::receive(channel which, const_byte_span bytes) {
    const std::size_t taken = machinery_->link.receive(which, bytes);
    machinery_->settle();
    return taken;
}

byte_span resource::receive_target(channel which) {
    return machinery_->link.receive_target(which);
}

void resource::received_in_place(channel which, std::size_t count) {
    machinery_->link.received_in_place(which, count);
    machinery_->settle();
}

std::size_t resource::gather(channel which, std::span<output_segment> segments) {
    return machinery_->link.gather(which, segments);
}

void resource::sent(channel which, std::size_t bytes) {
    machinery_->link.sent(which, bytes);
    machinery_->settle();
}

void resource::helper_done(std::uint64_t id, int exit_code) {
    machinery_->helpers.finished(id, exit_code);
    machinery_->settle();
}

instant resource::next_deadline() const {
    return machinery_->clock.next();
}

void resource::expire() {
    while (machinery_->clock.run_one(machinery_->now())) {
        machinery_->settle();
    }
}

void resource::submit(io_request& request) {
    machinery_->writes.submit(request);
    machinery_->settle();
}

resource_status resource::status() const {
    return view_status(*machinery_);
}

state::volume_state resource::state_of(volume_number number) const {
    const volume* found = machinery_->find(number);
    return found != nullptr ? found->state : machinery_->common;
}

} // namespace lockstep::replica
