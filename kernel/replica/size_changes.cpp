#include "kernel/replica/size_changes.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "kernel/replica/machinery.hpp"

namespace lockstep::replica {

using state::connection;
using state::disk;

namespace {

state::size_facts facts_of(const volume& target) {
    state::size_facts facts;
    if (target.disk != nullptr && target.state.disk >= disk::negotiating) {
        facts.own_disk = target.disk->layout.data_sectors_max;
        facts.last_agreed = target.disk->super.la_size_sectors;
    }
    facts.peer_disk = target.peer_sizes ? target.peer_sizes->disk : 0;
    facts.user = target.options.size_sectors;
    return facts;
}

state::sizes_decision decision_on(const volume& target, const wire::sizes& sizes,
                                  bool backing_changed) {
    state::sizes_situation at;
    at.now = target.state;
    at.own = facts_of(target);
    at.device = target.size_sectors;
    at.backing_changed = backing_changed;
    at.resize_pending = target.resize_pending;
    at.last_sent = target.last_size_sent;
    at.last_received = target.peer_sizes ? target.peer_sizes->current : 0;
    state::sizes_report report;
    report.disk = sizes.disk;
    report.user = sizes.user;
    report.current = sizes.current;
    report.forced = (sizes.flags & wire::size_flag::forced) != 0;
    report.no_resync = (sizes.flags & wire::size_flag::no_resync) != 0;
    return state::on_sizes(at, report);
}

} // namespace

void size_changes::send(volume& target, std::uint64_t current_sectors, std::uint16_t flags) {
    wire::sizes out;
    const auto facts = facts_of(target);
    out.disk = facts.own_disk != 0 ? capacity_now(target) : 0;
    target.capacity_sent = out.disk;
    out.user = facts.own_disk != 0 ? target.options.size_sectors : 0;
    out.current = current_sectors;
    out.max_request_bytes = all_.link.rules.data_bytes();
    out.flags = flags;
    const std::uint32_t block = target.disk != nullptr ? target.disk->properties.logical_block_bytes
                                                       : target.logical_block_bytes;
    out.limits.logical_block = block;
    out.limits.physical_block = std::max<std::uint32_t>(block, 4096);
    out.limits.io_min = block;
    out.limits.discard_enabled =
        target.disk != nullptr && target.disk->properties.can_discard ? 1 : 0;
    target.last_size_sent = current_sectors;
    all_.link.send(channel::data, target.number, wire::command::sizes, out);
}

// What our disk can carry: more than it does, if its device has grown. The metadata moves when the
// peer can carry more, too.
std::uint64_t size_changes::capacity_now(const volume& target) const {
    const std::uint64_t before = target.disk->layout.data_sectors_max;
    const auto measured = all_.world.measure_disk(target.number);
    if (!measured) {
        return before;
    }
    const auto layout = layout_on(target, *measured, target.disk->layout.striping);
    return layout ? std::max(before, layout->data_sectors_max) : before;
}

bool size_changes::may_grow(const volume& target) const {
    const auto facts = facts_of(target);
    return facts.own_disk != 0 && capacity_now(target) > target.size_sectors;
}

// What a resize or a new SIZES starts from: the devices as they are now.
void size_changes::received(volume& target, const wire::sizes& sizes) {
    if (target.move != nullptr) {
        target.move->late_sizes = sizes;
        return;
    }
    const bool has_disk = target.disk != nullptr && target.state.disk >= disk::negotiating;
    const auto measured =
        has_disk ? all_.world.measure_disk(target.number) : std::optional<disk_properties>();
    if (!measured) {
        agree_with_peer(target, sizes, false);
        return;
    }
    const auto layout = layout_on(target, *measured, target.disk->layout.striping);
    if (!layout) {
        all_.log(log_level::error, target, layout.error().text());
        agree_with_peer(target, sizes, false);
        return;
    }
    // A disk that was attached since tells its size when it is compared.
    const bool told = target.state.connection == connection::wf_report_params &&
                      target.state.disk > disk::negotiating;
    if (told && layout->data_sectors_max > target.capacity_sent) {
        all_.states.drop_link(connection::network_failure, "our disk has grown meanwhile");
        return;
    }
    const bool grown = measured->data_sectors != target.disk->properties.data_sectors;
    const bool keeps_all = *layout == target.disk->layout &&
                           decision_on(target, sizes, grown).device == target.size_sectors;
    if (keeps_all) {
        agree_with_peer(target, sizes, grown);
        return;
    }
    const std::uint64_t serial = all_.link.serial;
    all_.moves.begin(target, *measured, *layout,
                     [this, number = target.number, sizes, grown, serial](const result<>& moved) {
                         volume& found = *all_.find(number);
                         if (!all_.link.up || all_.link.serial != serial) {
                             all_.moves.end(found);
                             return;
                         }
                         if (!moved) {
                             all_.moves.end(found);
                             all_.states.drop_link(connection::network_failure,
                                                   "the size could not be agreed upon: " +
                                                       moved.error().what);
                             return;
                         }
                         agree_with_peer(found, sizes, grown);
                     });
}

// With a move under way it is ended here.
void size_changes::agree_with_peer(volume& target, const wire::sizes& sizes, bool grown_backing) {
    const auto decision = decision_on(target, sizes, grown_backing);
    const bool no_resync = (sizes.flags & wire::size_flag::no_resync) != 0;
    target.peer_sizes = sizes;
    const auto end_move = [this](volume& of) {
        if (of.move != nullptr) {
            all_.moves.end(of);
        }
    };
    if (decision.refusal != state::sizes_refusal::none) {
        end_move(target);
        all_.states.disconnect_at_once(
            fmt::format("{} {}", state::text(decision.refusal), state::remedy(decision.refusal)));
        return;
    }
    take_block_size(target, sizes);
    target.options.size_sectors = decision.user;
    if (decision.device == target.size_sectors) {
        answer_peer(target, decision, no_resync);
        end_move(target);
        return;
    }
    const std::uint64_t serial = all_.link.serial;
    change(target, decision.device, no_resync,
           [this, number = target.number, decision, no_resync, serial, end_move](bool stored) {
               volume& found = *all_.find(number);
               if (all_.link.up && all_.link.serial == serial) {
                   if (!stored) {
                       all_.states.drop_link(connection::network_failure,
                                             "the new size could not be stored");
                   } else {
                       answer_peer(found, decision, no_resync);
                   }
               }
               end_move(found);
           });
}

void size_changes::answer_peer(volume& target, const state::sizes_decision& decision,
                               bool no_resync) {
    target.resize_pending = false;
    target.size_asked = false;
    if (decision.reply) {
        send(target, target.size_sectors, no_resync ? wire::size_flag::no_resync : 0);
    }
    if (decision.resync_new_part) {
        resync_new_part(target);
    }
    target.grow_after_negotiation |= decision.resync_later;
    if (target.handshake_due) {
        all_.handshake.send_generation(target);
    }
}

// A block size that the peer's disk can't do would fail there: the larger one holds for both.
void size_changes::take_block_size(volume& target, const wire::sizes& sizes) {
    if (!target.connected() && target.state.connection != connection::wf_report_params) {
        return;
    }
    const std::uint32_t peer_block = sizes.limits.logical_block;
    const bool sane = peer_block == 512 || peer_block == 4096;
    if (sane && peer_block > target.logical_block_bytes) {
        target.logical_block_bytes = peer_block;
        all_.world.size_changed(target.number, target.size_sectors);
    }
}

void size_changes::announce(volume& target, std::uint64_t sectors) {
    all_.log(log_level::info, target,
             fmt::format("size = {} KB ({} KB)", sectors / 2, sectors / 2));
    target.size_sectors = sectors;
    all_.world.size_changed(target.number, sectors);
    all_.world.changed();
}

void size_changes::change(volume& target, std::uint64_t sectors, bool clean,
                          std::function<void(bool)> done) {
    if (target.disk == nullptr || target.state.disk < disk::negotiating) {
        announce(target, sectors);
        done(true);
        return;
    }
    local_disk& own = *target.disk;
    if (own.bits.writing_pages() != 0) {
        // A command has set bits meanwhile, and they are on their way to the disk: that ends first.
        own.store_bitmap([this, number = target.number, sectors, clean,
                          done = std::move(done)](bool stored) mutable {
            volume* found = all_.find(number);
            if (!stored || found == nullptr || found->disk == nullptr) {
                done(false);
                return;
            }
            change(*found, sectors, clean, std::move(done));
        });
        return;
    }
    if (!own.bits.resize(sectors, clean ? bitmap::fill::clear : bitmap::fill::set)) {
        all_.log(log_level::error, target, "there is no memory for a bitmap of that size");
        done(false);
        return;
    }
    own.bits.mark_all_dirty();
    // Until both are stored the old size holds after a crash; the new part is then found grown and
    // is marked as a whole.
    const volume_number number = target.number;
    own.store_bitmap([this, number, sectors, done = std::move(done)](bool stored) {
        volume* found = all_.find(number);
        if (!stored || found == nullptr || found->disk == nullptr) {
            done(false);
            return;
        }
        found->disk->super.la_size_sectors = sectors;
        found->disk->mark_superblock();
        found->disk->store_superblock([this, number, sectors, done](bool kept) {
            volume* again = all_.find(number);
            if (kept && again != nullptr) {
                announce(*again, sectors);
            }
            done(kept);
        });
    });
}

void size_changes::resync_new_part(volume& target) {
    if (target.state.connection != connection::connected) {
        return;
    }
    if (state::is_source_after_grow(target.state, all_.link.resolve_conflicts)) {
        all_.resync.start_source(target);
    } else {
        all_.states.change(target, state::state_change{}.with(connection::wf_sync_uuid),
                           state::change_kind::hard);
    }
}

// From here on the peer changes no role with our leave; and what we have agreed to before it has
// heard when it answers the PING.
void size_changes::resize(volume& target, const disk_properties& properties,
                          const resize_arguments& arguments, on_outcome done) {
    constexpr auto busy = static_cast<int>(state::size_error::resize_during_resync);
    if (target.move != nullptr || target.resizing) {
        done(refused(busy, "another resize is under way", "wait until it has ended"));
        return;
    }
    if (all_.commands.asks_for_role()) {
        done(refused(busy, "a change of roles is under way", "wait until it has ended"));
        return;
    }
    target.resizing = true;
    const auto ended = [this, number = target.number, done = std::move(done)](outcome result) {
        if (volume* found = all_.find(number)) {
            found->resizing = false;
        }
        done(std::move(result));
    };
    if (!target.connected()) {
        resize_now(target, properties, arguments, ended);
        return;
    }
    all_.keepalive.ping([this, number = target.number, properties, arguments, ended](bool) {
        all_.defer([this, number, properties, arguments, ended] {
            if (volume* found = all_.find(number)) {
                resize_now(*found, properties, arguments, ended);
            } else {
                ended(refused(busy, "the volume is gone", {}));
            }
        });
    });
}

void size_changes::resize_now(volume& target, const disk_properties& properties,
                              const resize_arguments& arguments, on_outcome done) {
    if (target.disk == nullptr || target.state.disk < disk::inconsistent) {
        done(refused(138, "Device does not have a disk-config", "attach the disk first"));
        return;
    }
    if (target.move != nullptr) {
        done(refused(static_cast<int>(state::size_error::resize_during_resync),
                     "another resize is under way", "wait until it has ended"));
        return;
    }
    const auto layout = layout_on(target, properties, target.disk->layout.striping);
    if (!layout) {
        done(refused(layout.error().code, layout.error().what, layout.error().remedy));
        return;
    }
    auto facts = facts_of(target);
    facts.own_disk = layout->data_sectors_max;
    facts.user = arguments.size_sectors;
    facts.assume_peer_has_space = arguments.assume_peer_has_space;
    state::resize_request request;
    request.assume_clean = arguments.assume_clean;
    auto problem = state::check_resize(target.state, facts, request, all_.link.rules.version);
    // Without another size nothing would tell that the disk has become too small.
    const bool truncates = layout->data_sectors_max < target.disk->super.la_size_sectors &&
                           state::agreed_size(facts) > layout->data_sectors_max;
    if (problem == state::size_error::none && truncates) {
        problem = state::size_error::disk_too_small;
    }
    if (problem == state::size_error::none && all_.commands.asks_for_sync(target)) {
        problem = state::size_error::resize_during_resync;
    }
    if (problem != state::size_error::none) {
        done(refused(static_cast<int>(problem), std::string(state::text(problem)),
                     std::string(state::remedy(problem))));
        return;
    }
    if (*layout == target.disk->layout && state::agreed_size(facts) == target.size_sectors) {
        target.disk->properties = properties;
        target.options.size_sectors = arguments.size_sectors;
        tell_peer(target, arguments, false);
        done({});
        return;
    }
    all_.moves.begin(
        target, properties, *layout,
        [this, number = target.number, arguments, done = std::move(done)](const result<>& moved) {
            volume& found = *all_.find(number);
            if (!moved) {
                all_.moves.end(found);
                const error& why = moved.error();
                done(refused(why.code, why.what, why.remedy));
                return;
            }
            resize_held(found, arguments, done);
        });
}

// The metadata is where it belongs, and nothing is in flight.
void size_changes::resize_held(volume& target, const resize_arguments& arguments, on_outcome done) {
    if (target.state.connection > connection::connected) {
        // Begun while it drained.
        all_.moves.end(target);
        constexpr auto why = state::size_error::resize_during_resync;
        done(refused(static_cast<int>(why), std::string(state::text(why)),
                     std::string(state::remedy(why))));
        return;
    }
    target.options.size_sectors = arguments.size_sectors;
    auto facts = facts_of(target);
    facts.assume_peer_has_space = arguments.assume_peer_has_space;
    const std::uint64_t wanted = state::agreed_size(facts);
    if (wanted == target.size_sectors) {
        tell_peer(target, arguments, false);
        all_.moves.end(target);
        done({});
        return;
    }
    const bool grew = wanted > target.size_sectors;
    change(target, wanted, arguments.assume_clean,
           [this, number = target.number, arguments, grew, done = std::move(done)](bool stored) {
               volume& found = *all_.find(number);
               if (stored) {
                   tell_peer(found, arguments, grew);
               }
               all_.moves.end(found);
               done(stored ? outcome{}
                           : refused(format::attach_error::md_io,
                                     "the new size could not be stored", "look at the log"));
           });
}

void size_changes::tell_peer(volume& target, const resize_arguments& arguments, bool grew) {
    if (!target.connected()) {
        return;
    }
    target.resize_pending = grew;
    target.size_asked = true;
    std::uint16_t flags = arguments.assume_clean ? wire::size_flag::no_resync : 0;
    flags |= arguments.assume_peer_has_space ? wire::size_flag::forced : 0;
    send(target, 0, flags);
}

} // namespace lockstep::replica
