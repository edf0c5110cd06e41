#include "kernel/replica/size_changes.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "kernel/replica/machinery.hpp"
#include "kernel/state/size_agreement.hpp"

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

} // namespace

void size_changes::send(volume& target, std::uint64_t current_sectors, std::uint16_t flags) {
    wire::sizes out;
    const auto facts = facts_of(target);
    out.disk = facts.own_disk;
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

void size_changes::received(volume& target, const wire::sizes& sizes) {
    state::sizes_situation at;
    at.now = target.state;
    at.own = facts_of(target);
    at.device = target.size_sectors;
    at.resize_pending = target.resize_pending;
    at.last_sent = target.last_size_sent;
    at.last_received = target.peer_sizes ? target.peer_sizes->current : 0;
    state::sizes_report report;
    report.disk = sizes.disk;
    report.user = sizes.user;
    report.current = sizes.current;
    report.forced = (sizes.flags & wire::size_flag::forced) != 0;
    report.no_resync = (sizes.flags & wire::size_flag::no_resync) != 0;
    target.peer_sizes = sizes;
    const auto decision = state::on_sizes(at, report);
    if (decision.refusal != state::sizes_refusal::none) {
        all_.states.disconnect_at_once(
            fmt::format("{} {}", state::text(decision.refusal), state::remedy(decision.refusal)));
        return;
    }
    // A block size that the peer's disk can't do would fail there: the larger one holds for both.
    if (target.connected() || target.state.connection == connection::wf_report_params) {
        const std::uint32_t peer_block = sizes.limits.logical_block;
        const bool sane = peer_block == 512 || peer_block == 4096;
        if (sane && peer_block > target.logical_block_bytes) {
            target.logical_block_bytes = peer_block;
            all_.world.size_changed(target.number, target.size_sectors);
        }
    }
    target.options.size_sectors = decision.user;
    if (decision.device != target.size_sectors) {
        change(target, decision.device, report.no_resync);
    }
    if (decision.reply) {
        target.resize_pending = false;
        send(target, target.size_sectors, report.no_resync ? wire::size_flag::no_resync : 0);
    }
    if (decision.resync_new_part) {
        target.resize_pending = false;
        resync_new_part(target);
    }
    target.grow_after_negotiation |= decision.resync_later;
}

void size_changes::change(volume& target, std::uint64_t sectors, bool clean) {
    all_.log(log_level::info, target,
             fmt::format("size = {} KB ({} KB)", sectors / 2, sectors / 2));
    if (target.disk != nullptr && target.state.disk >= disk::negotiating) {
        local_disk& own = *target.disk;
        if (!own.bits.resize(sectors, clean ? bitmap::fill::clear : bitmap::fill::set)) {
            all_.log(log_level::error, target, "there is no memory for a bitmap of that size");
            return;
        }
        own.bits.mark_all_dirty();
        own.super.la_size_sectors = sectors;
        // Until both are stored the old size holds after a crash; the new part is then found grown
        // and is marked as a whole.
        const volume_number number = target.number;
        own.store_bitmap([this, number](bool stored) {
            volume* found = all_.find(number);
            if (stored && found != nullptr && found->disk != nullptr) {
                found->disk->mark_superblock();
            }
        });
    }
    target.size_sectors = sectors;
    all_.world.size_changed(target.number, sectors);
    all_.world.changed();
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

void size_changes::resize(volume& target, const disk_properties& properties,
                          std::uint64_t size_sectors, bool assume_peer_has_space, bool assume_clean,
                          on_outcome done) {
    outcome result;
    if (target.disk == nullptr || target.state.disk < disk::inconsistent) {
        result.ok = false;
        result.code = 138;
        result.text = "Device does not have a disk-config";
        result.remedy = "attach the disk first";
        done(result);
        return;
    }
    local_disk& own = *target.disk;
    const std::uint64_t metadata_before = own.properties.metadata_sectors;
    const bool moves =
        own.properties.internal_metadata && properties.metadata_sectors != metadata_before;
    if (moves) {
        result.ok = false;
        result.code = 169;
        result.text = "the backing device has another size, and its metadata would have to move";
        result.remedy = "take the resource down, run drbdmeta check-resize, and bring it up again";
        done(result);
        return;
    }
    own.properties = properties;
    auto facts = facts_of(target);
    facts.user = size_sectors;
    facts.assume_peer_has_space = assume_peer_has_space;
    state::resize_request request;
    request.assume_clean = assume_clean;
    const auto refused = state::check_resize(target.state, facts, request, all_.link.rules.version);
    if (refused != state::size_error::none) {
        result.ok = false;
        result.code = static_cast<int>(refused);
        result.text = state::text(refused);
        result.remedy = state::remedy(refused);
        done(result);
        return;
    }
    target.options.size_sectors = size_sectors;
    if (target.connected()) {
        const std::uint64_t wanted = state::agreed_size(facts);
        if (wanted != target.size_sectors) {
            change(target, wanted, assume_clean);
        }
        target.resize_pending = true;
        std::uint16_t flags = assume_clean ? wire::size_flag::no_resync : 0;
        flags |= assume_peer_has_space ? wire::size_flag::forced : 0;
        send(target, 0, flags);
        done(result);
        return;
    }
    const std::uint64_t wanted = state::agreed_size(facts);
    if (wanted != target.size_sectors) {
        change(target, wanted, assume_clean);
    }
    done(result);
}

} // namespace lockstep::replica
