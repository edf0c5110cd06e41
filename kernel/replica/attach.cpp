// Attaching a disk: read the superblock, judge it, load the bitmap, store that the disk is in use.
#include <cerrno>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>

#include "kernel/format/superblock.hpp"
#include "kernel/replica/attach_job.hpp"
#include "kernel/replica/machinery.hpp"
#include "kernel/state/attach_state.hpp"
#include "kernel/state/size_agreement.hpp"

namespace lockstep::replica {

using state::disk;

namespace {

constexpr int error_already_attached = 124;

format::placement placement_of(const disk_properties& properties) {
    switch (properties.where) {
    case disk_properties::placement::internal:
        return {format::placement_kind::internal, 0};
    case disk_properties::placement::flexible:
        return {format::placement_kind::flex_external, 0};
    case disk_properties::placement::indexed:
        return {format::placement_kind::indexed, properties.index};
    }
    return {};
}

} // namespace

void attach_job::released::operator()(std::byte* memory) const noexcept {
    std::free(memory);
}

attach_job::attach_job() {
    void* got = std::aligned_alloc(format::block_bytes, chunk_bytes);
    LOCKSTEP_CHECK(got != nullptr);
    buffer.reset(static_cast<std::byte*>(got));
}

void disk_management::attach(volume& target, const disk_properties& properties,
                             const options::disk_options& options, on_outcome done) {
    if (target.disk != nullptr || target.state.disk > disk::diskless) {
        done(refused(error_already_attached, "Device is attached to a disk (use detach first)",
                     "detach it first, or leave it as it is"));
        return;
    }
    if (target.removing) {
        done(refused(127, "Device minor not allocated", "it is being removed: create it again"));
        return;
    }
    if (all_.is_buried(target.number)) {
        done(refused(error_already_attached,
                     "requests of the disk that was dropped are still under way",
                     "look at the kernel's log for that disk; attach when it has answered"));
        return;
    }
    const auto job_place =
        format::superblock_offset(placement_of(properties), properties.metadata_sectors * 512);
    if (!job_place) {
        done(refused(job_place.error().code, job_place.error().what, job_place.error().remedy));
        return;
    }
    target.options = options;
    const auto verdict = all_.states.change(target, state::state_change{}.with(disk::attaching),
                                            state::change_kind::soft);
    if (verdict < state::verdict::success) {
        outcome result;
        result.ok = false;
        result.is_state_change = true;
        result.code = static_cast<int>(verdict);
        result.text = state::text(verdict);
        result.remedy = state::remedy(verdict);
        done(result);
        return;
    }
    target.disk = std::make_unique<local_disk>(all_, target, properties);
    target.io_error_seen = false;
    target.detach_forced = false;
    target.flushed_last = false;
    target.attaching = std::make_unique<attach_job>();
    attach_job& job = *target.attaching;
    job.done = std::move(done);
    job.request.op = disk_request::operation::read;
    job.request.device = backing::metadata;
    job.request.offset = *job_place;
    job.request.size = format::block_bytes;
    job.request.memory = job.buffer.get();
    job.request.owner = &target;
    job.request.finished = [](disk_request& request, int error) {
        auto& found = *static_cast<volume*>(request.owner);
        found.owner->disks.superblock_read(found, error);
    };
    target.disk->submit(job.request);
}

// They begin when everything else that follows from the end of the attach is done.
void disk_management::let_waiting_begin(attach_job& job) {
    for (auto& each : job.waiting) {
        all_.defer(std::move(each));
    }
    job.waiting.clear();
}

void disk_management::fail_attach(volume& target, const error& why) {
    auto job = std::move(target.attaching);
    let_waiting_begin(*job);
    all_.log(log_level::error, target, "attach failed: " + why.text());
    all_.states.change(target, state::state_change{}.with(disk::diskless),
                       state::change_kind::hard);
    local_disk& gone = *target.disk;
    all_.bury(std::move(target.disk));
    if (job->request.under_way()) {
        // The device may still write into the job's buffer.
        job->request.finished = [](disk_request&, int) {};
        auto done = std::move(job->done);
        gone.keep(std::move(job));
        done(refused(why.code != 0 ? why.code : format::attach_error::md_io, why.what, why.remedy));
        return;
    }
    job->done(
        refused(why.code != 0 ? why.code : format::attach_error::md_io, why.what, why.remedy));
}

void disk_management::superblock_read(volume& target, int error) {
    if (error != 0) {
        auto why = fail_errno(error, "IO error(s) occurred during initial access to meta-data", {},
                              "look at the kernel's log for the backing device");
        why.value().code = format::attach_error::md_io;
        fail_attach(target, why.value());
        return;
    }
    if (prepare(target)) {
        read_bitmap(target);
    }
}

bool disk_management::fits_generation(volume& target) {
    const std::uint64_t own = target.disk->super.uuids.current;
    const bool alone = target.state.peer_disk != disk::up_to_date;
    const bool lacks_writes =
        target.peer_is_ahead && alone && target.state.role == state::role::primary;
    if (!lacks_writes &&
        state::may_attach_generation(target.state, target.effective_generation, own)) {
        return true;
    }
    fail_attach(target, {fmt::format("Can only attach to the data we lost last (see kernel "
                                     "log): this disk has {:016X}, in use is {:016X}",
                                     own, target.effective_generation),
                         {},
                         "demote this node first, or attach the disk that was lost",
                         state::error_wrong_generation});
    return false;
}

bool disk_management::prepare(volume& target) {
    local_disk& own = *target.disk;
    attach_job& job = *target.attaching;
    own.loaded(format::decode_superblock({job.buffer.get(), format::block_bytes}));
    const auto layout = format::check_attach(own.super, placement_of(own.properties),
                                             own.properties.metadata_sectors * 512,
                                             own.properties.data_sectors * 512);
    if (!layout) {
        fail_attach(target, layout.error());
        return false;
    }
    own.layout = *layout;
    // It was stored after all before the disk was lost, and means nothing.
    const std::uint64_t undone = std::exchange(target.unstored.current, 0);
    if (undone != 0 && state::identity(undone) == state::identity(own.super.uuids.current)) {
        own.set_generation(target.unstored.before);
    }
    if (!fits_generation(target)) {
        return false;
    }
    state::size_facts facts;
    facts.own_disk = own.layout.data_sectors_max;
    facts.peer_disk = target.peer_sizes ? target.peer_sizes->disk : 0;
    facts.last_agreed = own.super.la_size_sectors;
    facts.user = target.options.size_sectors;
    const auto flags = state::unpack_flags(own.super.flags);
    const auto size_error = state::check_attach_size(facts, target.size_sectors, flags.consistent);
    if (size_error != state::size_error::none) {
        fail_attach(target, {std::string(state::text(size_error)),
                             {},
                             std::string(state::remedy(size_error)),
                             static_cast<int>(size_error)});
        return false;
    }
    job.new_size = state::agreed_size(facts);
    job.layout_changed = job.new_size != own.super.la_size_sectors;
    if (!own.bits.resize(own.super.la_size_sectors, bitmap::fill::clear)) {
        fail_attach(target, {"there is no memory for the bitmap", {}, "free some memory", 122});
        return false;
    }
    const auto ring = own.super.striping();
    own.log = std::make_unique<activity_log>(
        activity_log::slots_for(target.options.al_extents, ring), ring);
    job.judged = state::state_on_attach(flags, target.state, target.options.fencing);
    return true;
}

void disk_management::read_bitmap(volume& target) {
    local_disk& own = *target.disk;
    attach_job& job = *target.attaching;
    const std::uint64_t total = own.bits.pages() * bitmap::page_size;
    if (job.bitmap_read >= total || job.judged.set_all_bits) {
        bitmap_loaded(target);
        return;
    }
    job.request.op = disk_request::operation::read;
    job.request.device = backing::metadata;
    job.request.offset = own.layout.bitmap_offset + job.bitmap_read;
    job.request.size = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(attach_job::chunk_bytes, total - job.bitmap_read));
    job.request.finished = [](disk_request& request, int error) {
        auto& found = *static_cast<volume*>(request.owner);
        found.owner->disks.bitmap_chunk_read(found, error);
    };
    own.submit(job.request);
}

void disk_management::bitmap_chunk_read(volume& target, int error) {
    local_disk& own = *target.disk;
    attach_job& job = *target.attaching;
    if (error != 0) {
        auto why = fail_errno(error, "the bitmap could not be read", {},
                              "look at the kernel's log for the backing device");
        why.value().code = format::attach_error::md_io;
        fail_attach(target, why.value());
        return;
    }
    for (std::uint64_t at = 0; at < job.request.size; at += bitmap::page_size) {
        own.bits.load_page((job.bitmap_read + at) / bitmap::page_size,
                           {job.buffer.get() + at, bitmap::page_size});
    }
    job.bitmap_read += job.request.size;
    read_bitmap(target);
}

void disk_management::bitmap_loaded(volume& target) {
    local_disk& own = *target.disk;
    attach_job& job = *target.attaching;
    if (!own.bits.resize(job.new_size, bitmap::fill::set)) {
        fail_attach(target, {"there is no memory for the bitmap", {}, "free some memory", 122});
        return;
    }
    if (job.judged.set_all_bits) {
        all_.log(log_level::notice, target,
                 "the whole device is marked out of sync: a full sync was under way, or the "
                 "activity log was off when the node crashed");
        own.bits.set_all();
        own.bits.mark_all_dirty();
        // A move of the metadata may have been cut off before it wrote the log.
        job.layout_changed = true;
    }
    target.crashed_primary = job.judged.crashed_primary;
    target.was_degraded = job.judged.was_degraded;
    all_.log(log_level::info, target,
             fmt::format("{} KB ({} bits) marked out-of-sync by on disk bit-map.",
                         own.bits.weight() * 4, own.bits.weight()));
    own.super.la_size_sectors = job.new_size;
    own.super.magic = format::magic_v84_unclean;
    own.super.al_nr_extents = own.log->slots();
    std::uint32_t flags = own.super.flags & ~format::md_flag::al_clean;
    flags = target.options.al_updates ? flags & ~format::md_flag::al_disabled
                                      : flags | format::md_flag::al_disabled;
    own.super.flags = flags;
    own.mark_superblock();
    // The bitmap and the log are good before the superblock says where they end. The attach may be
    // over when something is stored.
    const auto stored_then = [this, number = target.number](auto next) {
        return [this, number, next](bool stored) {
            volume* found = all_.find(number);
            if (found == nullptr || found->attaching == nullptr) {
                return;
            }
            if (!stored) {
                metadata_stored(*found, false);
                return;
            }
            next(*found);
        };
    };
    const auto superblock = stored_then([this, stored_then](volume& found) {
        found.disk->hold_superblock(false);
        found.disk->store_superblock(
            stored_then([this](volume& again) { metadata_stored(again, true); }));
    });
    if (!job.layout_changed) {
        own.store_bitmap(superblock);
        return;
    }
    own.bits.mark_all_dirty();
    own.store_bitmap(
        stored_then([superblock](volume& found) { found.disk->initialise_log(superblock); }));
}

void disk_management::metadata_stored(volume& target, bool stored) {
    if (!stored) {
        fail_attach(target, {"IO error(s) occurred during initial access to meta-data",
                             {},
                             "look at the kernel's log for the backing device",
                             format::attach_error::md_io});
        return;
    }
    finish_attach(target);
}

void disk_management::finish_attach(volume& target) {
    local_disk& own = *target.disk;
    // Judged as it is now: a peer that is connected meanwhile, or was told in the handshake that
    // there is no disk, has not seen our identifiers, so they are compared first; one that is not
    // there any more can't vouch for them.
    auto& judged = target.attaching->judged;
    judged.negotiate = target.connected() || (target.handshake_sent && !target.peer_lacks_it());
    if (!fits_generation(target)) {
        return;
    }
    if (!judged.negotiate) {
        judged.disk =
            state::worth_alone(judged.disk, target.effective_generation, own.super.uuids.current);
        judged.disk = target.peer_is_ahead ? std::min(judged.disk, disk::outdated) : judged.disk;
    }
    auto job = std::move(target.attaching);
    target.logical_block_bytes =
        std::max(target.logical_block_bytes, own.properties.logical_block_bytes);
    if (target.size_sectors != job->new_size) {
        target.size_sectors = job->new_size;
        all_.world.size_changed(target.number, target.size_sectors);
    }
    if (!target.connected() && own.bits.bits() > 0 && own.bits.weight() == own.bits.bits()) {
        target.log_suspended = true;
        all_.log(log_level::info, target, "Suspended AL updates");
    }
    target.negotiated_disk = job->judged.disk;
    target.negotiated_peer_disk = job->judged.peer_disk;
    state::state_change wanted;
    if (job->judged.negotiate) {
        wanted = wanted.with(disk::negotiating);
    } else {
        wanted = wanted.with(job->judged.disk);
        if (target.state.connection < state::connection::connected) {
            wanted = wanted.with_peer(job->judged.peer_disk);
        }
    }
    const auto verdict = all_.states.change(target, wanted, state::change_kind::hard);
    if (verdict < state::verdict::success) {
        target.attaching = std::move(job);
        fail_attach(target, {std::string(state::text(verdict)),
                             {},
                             std::string(state::remedy(verdict)),
                             static_cast<int>(verdict)});
        return;
    }
    all_.log(log_level::info, target,
             fmt::format("attached to UUIDs {}", state::text(own.generation()).view()));
    job->done({});
    let_waiting_begin(*job);
}

} // namespace lockstep::replica
