#include "node.hpp"

#include <cstdlib>

namespace lockstep::simulation {
namespace {

constexpr std::size_t client_pool_bytes = 4U << 20U;
// Few, so that a start is cheap and that they run out now and then.
constexpr std::size_t application_requests_max = 256;
constexpr std::size_t peer_requests_max = 1024;

} // namespace

node::node(event_queue& events, random_source& random, network& net, unsigned side,
           const node_settings& settings)
    : events_(events), random_(random), net_(net), side_(side), settings_(settings),
      peer_memory_(allocate(settings.peer_pool_bytes)),
      client_memory_(allocate(client_pool_bytes)) {
    for (volume_number number = 0; number < settings.volumes; ++number) {
        backing_pair made;
        made.data = std::make_shared<disk>(events, random, settings.device_sectors);
        made.metadata =
            settings.external_metadata ? std::make_shared<disk>(events, random, 4096) : made.data;
        disks_.push_back(made);
    }
    sizes_.resize(settings.volumes);
}

node::~node() {
    if (alive()) {
        crash(false);
    }
}

node::arena node::allocate(std::size_t size) {
    void* got = std::aligned_alloc(4096, size);
    LOCKSTEP_CHECK(got != nullptr);
    return arena(static_cast<std::byte*>(got));
}

void node::start() {
    LOCKSTEP_CHECK(!alive());
    ++incarnation_;
    sizes_.assign(settings_.volumes, 0);
    peer_pool_ = std::make_unique<replica::buffer_pool>(
        byte_span(peer_memory_.get(), settings_.peer_pool_bytes));
    client_pool_ =
        std::make_unique<replica::buffer_pool>(byte_span(client_memory_.get(), client_pool_bytes));
    net_.attach(side_, this);
    resource_ = std::make_unique<replica::resource>(
        side_ == 0 ? "alpha" : "beta", *this,
        replica::memory_pools{*peer_pool_, application_requests_max, peer_requests_max},
        settings_.resource);
    const volume_number present = settings_.volumes - settings_.volumes_later;
    for (volume_number number = 0; number < present; ++number) {
        LOCKSTEP_CHECK(add_volume(number));
    }
}

void node::crash(bool noticed) {
    LOCKSTEP_CHECK(alive());
    ++incarnation_;
    net_.crash(side_, noticed);
    for (auto& each : disks_) {
        each.data->crash();
        if (each.metadata != each.data) {
            each.metadata->crash();
        }
    }
    resource_.reset();
    helpers_open_.clear();
    auto lost = std::move(clients_);
    clients_.clear();
    for (auto& [io, request] : lost) {
        if (on_abandoned) {
            on_abandoned(*request);
        }
    }
    lost.clear();
    peer_pool_.reset();
    client_pool_.reset();
}

format::placement node::where_metadata_is() const {
    return {settings_.external_metadata ? format::placement_kind::flex_external
                                        : format::placement_kind::internal,
            0};
}

metadata_place node::metadata_at(volume_number volume) {
    const metadata_place end{&metadata_disk(volume), where_metadata_is(),
                             data_disk(volume).sectors()};
    metadata_place found = end;
    const auto& before = grown_from_[volume];
    for (auto known = before.rbegin(); known != before.rend() && !has_metadata(found); ++known) {
        found.data_sectors = *known;
    }
    return before.empty() || has_metadata(found) ? found : end;
}

std::uint64_t node::data_sectors(volume_number volume) {
    const auto layout = format::lay_out(where_metadata_is(), metadata_disk(volume).sectors() * 512,
                                        data_disk(volume).sectors() * 512);
    LOCKSTEP_CHECK(layout.has_value());
    return layout->data_sectors_max;
}

void node::attach(volume_number volume, replica::on_outcome done) {
    if (state(volume).disk != state::disk::diskless) {
        done({});
        return;
    }
    if (metadata_disk(volume).under_way() == 0) {
        const metadata_place known = metadata_at(volume);
        if (known.data_sectors != data_disk(volume).sectors()) {
            follow_growth(known, data_disk(volume).sectors());
        }
        apply_activity_log(metadata_at(volume));
    }
    options::disk_options wanted = settings_.disk;
    if (const auto changed = size_option.find(volume); changed != size_option.end()) {
        wanted.size_sectors = changed->second;
    }
    resource_->attach(volume, properties_now(volume), wanted, std::move(done));
}

std::optional<replica::disk_properties> node::measure_disk(volume_number volume) {
    return properties_now(volume);
}

replica::disk_properties node::properties_now(volume_number volume) {
    replica::disk_properties properties;
    properties.data_sectors = data_disk(volume).sectors();
    properties.metadata_sectors = metadata_disk(volume).sectors();
    properties.can_discard = true;
    properties.internal_metadata = !settings_.external_metadata;
    properties.where = settings_.external_metadata ? replica::disk_properties::placement::flexible
                                                   : replica::disk_properties::placement::internal;
    return properties;
}

replica::outcome node::connect(bool discard_my_data) {
    replica::connect_arguments arguments;
    arguments.net = settings_.net;
    arguments.discard_my_data = discard_my_data;
    return resource_->connect(arguments);
}

replica::buffer_ref node::client_buffer(std::uint32_t size) {
    return client_pool_->allocate(size);
}

void node::submit(std::unique_ptr<client_request> request) {
    replica::io_request& io = request->io;
    clients_.emplace(&io, std::move(request));
    const replica_scope scope(true);
    resource_->submit(io);
}

void node::io_done(replica::io_request& request, int error) {
    const replica_scope scope(false);
    // Reported at once to the model: a crash right after it must not take it back. The memory of
    // the request goes with the event after this one.
    const auto found = clients_.find(&request);
    LOCKSTEP_CHECK(found != clients_.end());
    std::shared_ptr<client_request> ended = std::move(found->second);
    clients_.erase(found);
    if (ended->done) {
        ended->done(*ended, error);
    }
    ended->io.buffer.reset();
    events_.after(0, [ended] {});
}

instant node::deadline() const {
    return alive() ? resource_->next_deadline() : replica::never;
}

void node::expire() {
    const replica_scope scope(true);
    resource_->expire();
}

void node::submit(replica::disk_request& request) {
    const replica_scope scope(false);
    disk& device = request.device == replica::backing::data ? data_disk(request.volume)
                                                            : metadata_disk(request.volume);
    device.submit(request,
                  [this, incarnation = incarnation_](replica::disk_request& done, int error) {
                      if (incarnation == incarnation_) {
                          const replica_scope back(true);
                          resource_->disk_done(done, error);
                      }
                  });
}

void node::run_helper(const replica::helper_call& call) {
    const replica_scope scope(false);
    ++helpers_called[call.name];
    helper_calls.push_back(call);
    helpers_open_.insert(call.id);
    if (!call.unlimited) {
        limit_helper(call.id);
    }
    if (on_helper && on_helper(call)) {
        return;
    }
    auto found = helper_answers.find(call.name);
    if (found == helper_answers.end() && call.name == "fence-disk") {
        found = helper_answers.find("fence-peer"); // the same handler
    }
    const helper_answer answer = found != helper_answers.end() ? found->second : helper_answer{};
    if (!answer.hangs) {
        end_helper_after(answer.delay, call.id, answer.exit_code);
    }
}

void node::limit_helper(std::uint64_t id) {
    const replica_scope scope(false);
    end_helper_after(helper_limit, id, 124);
}

void node::end_helper_after(instant delay, std::uint64_t id, int exit_code) {
    events_.after(delay, [this, id, exit_code, incarnation = incarnation_] {
        if (incarnation == incarnation_) {
            end_helper(id, exit_code);
        }
    });
}

void node::end_helper(std::uint64_t id, int exit_code) {
    if (helpers_open_.erase(id) != 0) {
        const replica_scope back(true);
        resource_->helper_done(id, exit_code);
    }
}

void node::answer_helper(std::uint64_t incarnation, std::uint64_t id, int exit_code) {
    if (alive() && incarnation == incarnation_) {
        end_helper(id, exit_code);
    }
}

void node::show_minor_busy(std::uint32_t minor, bool busy) {
    if (busy) {
        shown_busy.insert(minor);
    } else {
        shown_busy.erase(minor);
    }
}

void node::changed() {
    const replica_scope scope(false);
    if (on_changed && resource_ != nullptr) {
        on_changed();
    }
}

void node::log(replica::log_level, std::string_view text) {
    const replica_scope scope(false);
    if (on_log) {
        on_log(side_, text);
    }
}

} // namespace lockstep::simulation
