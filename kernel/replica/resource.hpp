// A replicated resource: all its volumes, and its connection to one peer. Sans I/O: the host feeds
// events in through these methods, one at a time; what is to be done comes out through `ports`.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernel/base/bytes.hpp"
#include "kernel/options/options.hpp"
#include "kernel/replica/buffer_pool.hpp"
#include "kernel/replica/io_request.hpp"
#include "kernel/replica/ports.hpp"
#include "kernel/replica/status.hpp"

namespace lockstep::replica {

// How a command ended. code: 0 for success; 101..176 for refused configuration
// ("Failure: (CODE) TEXT", drbdsetup exit 10), a negative or zero state::verdict for refused state
// changes ("State change failed: (CODE) TEXT", exit 11) with is_state_change set.
struct outcome {
    bool ok = true;
    bool is_state_change = false;
    int code = 0;
    std::string text;
    std::string remedy;
    std::vector<std::string> info; // "additional info from kernel:"
};
// A refusal with DRBD's code, its sentence and the way out.
outcome refused(int code, std::string text, std::string remedy);
using on_outcome = std::function<void(outcome)>;

// Where a verify begins: behind what one that was interrupted has compared, else at the start.
constexpr std::uint64_t verify_from_where_it_stopped = ~std::uint64_t{0};

struct resize_arguments {
    std::uint64_t size_sectors = 0; // option size; 0: as large as possible
    bool assume_peer_has_space = false;
    bool assume_clean = false; // the new part is not synced
};

struct connect_arguments {
    options::net_options net;
    bool discard_my_data = false;
    bool tentative = false;
};

// One segment to send; valid until sent() or close_link().
struct output_segment {
    const std::byte* bytes = nullptr;
    std::size_t size = 0;
};

// Memory that the host provides, fixed for the life of the resource.
struct memory_pools {
    buffer_pool& peer; // payloads received from the peer, resync and verify
    // Parts of the application's requests under way; what is beyond waits in its front end.
    std::size_t application_requests_max = 2048;
    // What the peer and the resync may have under way here.
    std::size_t peer_requests_max = 3072;
};

class machinery;

class resource {
public:
    resource(std::string name, ports& ports, memory_pools memory,
             const options::resource_options& options);
    ~resource();
    resource(const resource&) = delete;
    resource& operator=(const resource&) = delete;

    // --- events of the outside world ---
    void disk_done(disk_request& request, int error);
    // Both connections stand. resolve_conflicts: this node accepted the meta connection.
    void link_established(bool resolve_conflicts);
    // One connection ended or failed, or could not be made for a reason that ends the attempt.
    void link_lost(channel which, int error);
    // Bytes that arrived. Returns how many were taken; if fewer than offered, the host keeps the
    // rest, stops reading, and offers it again after ports::want_receive().
    std::size_t receive(channel which, const_byte_span bytes);
    // Where the next payload bytes belong, if the host wants to read straight into place; empty
    // when the next bytes are a header. Bytes read there are reported with received_in_place().
    byte_span receive_target(channel which);
    void received_in_place(channel which, std::size_t count);
    // What is to be sent, in order; fills at most segments.size(). sent(): the first `bytes` of it
    // were taken by the socket.
    std::size_t gather(channel which, std::span<output_segment> segments);
    void sent(channel which, std::size_t bytes);
    void helper_done(std::uint64_t id, int exit_code);
    // When expire() wants to be called next; `never` if not at all. Changes with every event.
    instant next_deadline() const;
    void expire();

    // --- front ends ---
    // See io_request. Refused requests (not Primary, out of range) end through io_done() as well.
    void submit(io_request& request);

    // --- commands (drbdsetup's) ---
    outcome add_volume(volume_number volume, std::uint32_t minor);
    // Diskless and Secondary it may leave; the connection goes on.
    void remove_volume(volume_number volume, on_outcome done);
    // What remove_volume() would say now: whoever has to clear up before it asks first.
    outcome may_remove_volume(volume_number volume) const;
    // Reads the metadata and goes on to the disk state that it says.
    void attach(volume_number volume, const disk_properties& properties,
                const options::disk_options& options, on_outcome done);
    void detach(volume_number volume, bool force, on_outcome done);
    outcome connect(const connect_arguments& arguments);
    void disconnect(bool force, on_outcome done);
    void primary(bool force, on_outcome done);
    void secondary(on_outcome done);
    void outdate(volume_number volume, on_outcome done);
    void invalidate(volume_number volume, on_outcome done);
    void invalidate_remote(volume_number volume, on_outcome done);
    void pause_sync(volume_number volume, on_outcome done);
    void resume_sync(volume_number volume, on_outcome done);
    void suspend_io(on_outcome done);
    void resume_io(on_outcome done);
    void new_current_uuid(volume_number volume, bool clear_bitmap, on_outcome done);
    // start_sector: or verify_from_where_it_stopped.
    void verify(volume_number volume, std::uint64_t start_sector, std::uint64_t stop_sector,
                on_outcome done);
    // The disk may have grown: its devices as the host sees them now.
    void resize(volume_number volume, const disk_properties& properties,
                const resize_arguments& arguments, on_outcome done);
    outcome change_disk_options(volume_number volume, const options::disk_options& options);
    outcome change_net_options(const options::net_options& options);
    outcome change_resource_options(const options::resource_options& options);

    resource_status status() const;
    // What of it changes most often, without the rest.
    state::volume_state state_of(volume_number volume) const;

private:
    std::unique_ptr<machinery> machinery_;
};

} // namespace lockstep::replica
