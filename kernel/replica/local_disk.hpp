// The attached disk of a volume: its metadata in memory, and how changes of it reach the disk in
// the right order. Lives from attach to detach, and longer if a request never comes back.
//
// What must be durable before what:
//   - an extent is in the activity log before a write in it is issued or sent;
//   - before the log forgets an extent: the data device is flushed, and the bitmap pages of that
//     extent are stored;
//   - before cleared bits are stored: the data device is flushed, and what is stored is how the
//     bits were when that flush began;
//   - before the superblock stops saying Primary (from when on nobody asks the log): the bitmap;
//   - a generation identifier is stored before anything depends on it (the caller waits);
//   - before that the peer's writes that it stands for, acknowledged or not, are durable.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "kernel/format/geometry.hpp"
#include "kernel/format/superblock.hpp"
#include "kernel/replica/activity_log.hpp"
#include "kernel/replica/bitmap.hpp"
#include "kernel/replica/ports.hpp"
#include "kernel/replica/resource.hpp"
#include "kernel/replica/timers.hpp"
#include "kernel/state/generation.hpp"

namespace lockstep::replica {

class machinery;
struct volume;
struct attach_job;

// Called when something is on stable storage (or could not be stored).
using on_stored = std::function<void(bool stored)>;

class local_disk {
public:
    local_disk(machinery& all, volume& owner, const disk_properties& properties);
    ~local_disk();
    local_disk(const local_disk&) = delete;
    local_disk& operator=(const local_disk&) = delete;

    // --- metadata in memory ---
    disk_properties properties;
    format::superblock super;
    format::geometry layout;
    bitmap bits;
    std::unique_ptr<activity_log> log;

    state::generation generation() const;
    // Changes memory and marks the superblock; store_superblock() tells when it is durable.
    void set_generation(const state::generation& value);
    void set_flags(std::uint32_t flags);

    // --- superblock ---
    void mark_superblock();
    // What is on disk: said once, when it has been read.
    void loaded(const format::superblock& found) {
        super = found;
        stored_flags_ = found.flags;
    }
    // Writes it if anything changed since the last write began; `done` when it is durable.
    void store_superblock(on_stored done);
    bool superblock_dirty() const { return super_dirty_ || super_writing_; }
    // While the disk is being attached, and while the metadata moves, the superblock is not
    // written: it would describe what is not there yet. What was asked for meanwhile is written
    // when it is let go.
    void hold_superblock(bool held);
    // Writes this one in its place, held or not; none is being written.
    void write_ahead(const format::superblock& value, on_stored done);

    // What it says stands for what the peer has sent till now, too: it is not written before the
    // disk has that.
    void store_after_peer_writes();

    // Whether the superblock on disk says Primary: only then a restart goes by the activity log.
    bool says_primary() const { return (stored_flags_ & format::md_flag::primary_ind) != 0; }

    // --- bitmap ---
    // Stores every page that is dirty now.
    void store_bitmap(on_stored done);
    bool storing_bitmap() const { return pages_writing_ > 0 || !bitmap_jobs_.empty(); }

    // --- activity log ---
    // Writes transactions while any is needed; tells the owner after each commit.
    void pump_log();
    // Writes an empty ring, before first use of a new layout.
    void initialise_log(on_stored done);

    // --- requests ---
    // Everything that goes to this disk passes here, so that it is known what is outstanding.
    void submit(disk_request& request);
    // The host reports the end of a request of this disk.
    void ended(disk_request& request) { outstanding_.remove(request); }
    std::size_t outstanding() const { return outstanding_.size(); }
    volume_number number() const;
    // disk-timeout was set, or is another one now.
    void watch_deadline();
    // Nothing is under way or due, and nobody holds the activity log.
    bool quiet() const;
    // The device is given up: whoever waits for a store hears that there is none, nothing more is
    // submitted, and what is still outstanding is only counted.
    void abandon();
    // Makes durable what was written; `done` hears whether that worked.
    void flush_last(on_stored done);
    // Overwrites a block of the metadata device; nobody else does meanwhile.
    void wipe_block(std::uint64_t offset, on_stored done);
    bool abandoned() const { return abandoned_; }
    // An attach that was given up: its buffer may still be written to.
    void keep(std::unique_ptr<attach_job> job) { given_up_ = std::move(job); }

    std::uint64_t log_writes = 0;
    std::uint64_t bitmap_writes = 0;

private:
    static constexpr std::size_t page_slots = 16;

    struct page_slot {
        local_disk* disk = nullptr;
        disk_request request;
        std::uint64_t page = 0;
        bool busy = false;
    };
    struct bitmap_job {
        on_stored done;
        std::uint64_t next_page = 0;
        bool failed = false;
    };

    void write_superblock();
    void write_superblock_now();
    void flush_before_superblock();
    void superblock_flushed(int error);
    void superblock_written(int error);
    bool cleared_since_flush(std::uint64_t page) const;
    void data_flushed(std::uint64_t clears);
    void write_pages();
    void submit_pages();
    void pages_flushed(int error);
    void page_written(page_slot& slot, int error);
    void go_on_after_pages();
    void finish_bitmap_job();
    void log_data_flushed(int error);
    void write_evicted_pages();
    void write_log_page();
    void log_page_flushed(int error);
    void log_page_written(int error);
    void write_log_block();
    void log_block_written(int error);
    void write_next_empty_block();
    void metadata_failed(const char* what, int error);
    void check_deadline();
    void flush_data(disk_request& request, void (*finished)(disk_request&, int));

    machinery& all_;
    volume& owner_;
    bool abandoned_ = false;
    std::unique_ptr<attach_job> given_up_;
    intrusive_list<disk_request, on_disk> outstanding_;
    timer deadline_;

    struct released {
        void operator()(std::byte* memory) const noexcept;
    };
    std::unique_ptr<std::byte, released> memory_; // all I/O buffers of this class, 4096-aligned
    std::byte* super_buffer_ = nullptr;
    std::byte* log_buffer_ = nullptr;
    std::byte* page_buffers_ = nullptr;
    std::byte* log_page_buffer_ = nullptr;

    bool super_dirty_ = false;
    bool super_writing_ = false;
    bool super_due_ = false;       // waits for the peer's writes
    std::uint32_t peer_waits_ = 0; // how many generations do
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    bool super_held_ = true; // nothing is stored before it is known what stands there
    std::uint32_t stored_flags_ = 0;
    std::uint32_t writing_flags_ = 0;
    disk_request super_request_;
    std::vector<on_stored> super_waiting_; // for a write that has yet to begin
    std::vector<on_stored> super_served_;  // by the write under way

    std::array<page_slot, page_slots> slots_;
    std::size_t pages_writing_ = 0;
    disk_request bitmap_flush_;
    std::vector<bitmap_job> bitmap_jobs_;
    // bitmap::clears() when the last good flush of the data device was submitted, and the two that
    // may be under way.
    std::uint64_t flushed_clears_ = 0;
    std::uint64_t bitmap_flush_clears_ = 0;
    std::uint64_t log_flush_clears_ = 0;
    disk_request last_flush_;
    on_stored last_done_;
    disk_request wipe_request_;
    on_stored wipe_done_;

    enum class log_phase : std::uint8_t { idle, flushing, pages, block };
    log_phase log_phase_ = log_phase::idle;
    activity_log::transaction transaction_;
    std::size_t evicted_at_ = 0;
    std::uint64_t log_page_ = 0;
    bool log_page_busy_ = false;
    disk_request log_request_;
    std::uint32_t empty_blocks_left_ = 0;
    on_stored empty_done_;
};

} // namespace lockstep::replica
