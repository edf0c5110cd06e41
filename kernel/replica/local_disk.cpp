#include "kernel/replica/local_disk.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "kernel/replica/machinery.hpp"

namespace lockstep::replica {

void local_disk::released::operator()(std::byte* memory) const noexcept {
    std::free(memory);
}

local_disk::local_disk(machinery& all, volume& owner, const disk_properties& given)
    : properties(given), all_(all), owner_(owner),
      deadline_(all.clock, [this] { check_deadline(); }) {
    constexpr std::size_t blocks = 3 + page_slots;
    void* memory = std::aligned_alloc(format::block_bytes, blocks * format::block_bytes);
    LOCKSTEP_CHECK(memory != nullptr);
    memory_.reset(static_cast<std::byte*>(memory));
    super_buffer_ = memory_.get();
    log_buffer_ = super_buffer_ + format::block_bytes;
    log_page_buffer_ = log_buffer_ + format::block_bytes;
    page_buffers_ = log_page_buffer_ + format::block_bytes;
}

local_disk::~local_disk() = default;

state::generation local_disk::generation() const {
    return {super.uuids.current, super.uuids.bitmap, super.uuids.history};
}

void local_disk::set_generation(const state::generation& value) {
    const format::generation stored{value.current, value.bitmap, value.history};
    if (stored != super.uuids) {
        super.uuids = stored;
        mark_superblock();
    }
}

void local_disk::set_flags(std::uint32_t flags) {
    if (flags != super.flags) {
        super.flags = flags;
        mark_superblock();
    }
}

void local_disk::submit(disk_request& request) {
    request.volume = owner_.number;
    request.disk = this;
    request.submitted = all_.now();
    outstanding_.push_back(request);
    if (owner_.options.disk_timeout_ds != 0 && !deadline_.armed()) {
        watch_deadline();
    }
    if (abandoned_) {
        // A chain of requests goes on; the device is not ours any more.
        all_.defer([&all = all_, &request] { all.disk_done(request, EIO); });
        return;
    }
    all_.submit_disk(*this, request);
}

volume_number local_disk::number() const {
    return owner_.number;
}

// Armed for the oldest request, and looked at again when that time has come: requests come and go
// without touching the timer.
void local_disk::watch_deadline() {
    const disk_request* oldest = outstanding_.front();
    if (owner_.options.disk_timeout_ds == 0 || oldest == nullptr || abandoned_) {
        deadline_.cancel();
    } else {
        deadline_.arm(oldest->submitted + deciseconds(owner_.options.disk_timeout_ds));
    }
}

void local_disk::check_deadline() {
    watch_deadline();
    if (deadline_.armed() && deadline_.at() <= all_.now()) {
        deadline_.cancel();
        all_.disks.timed_out(owner_);
    }
}

void local_disk::abandon() {
    abandoned_ = true;
    deadline_.cancel();
    std::vector<on_stored> waiting;
    waiting.swap(super_waiting_);
    for (auto& each : super_served_) {
        waiting.push_back(std::move(each));
    }
    super_served_.clear();
    for (auto& each : bitmap_jobs_) {
        waiting.push_back(std::move(each.done));
    }
    bitmap_jobs_.clear();
    if (last_done_) {
        waiting.push_back(std::move(last_done_));
        last_done_ = nullptr;
    }
    for (auto& each : waiting) {
        each(false);
    }
}

void local_disk::flush_last(on_stored done) {
    last_done_ = std::move(done);
    flush_data(last_flush_, [](disk_request& request, int error) {
        auto& self = *static_cast<local_disk*>(request.owner);
        if (auto ended = std::exchange(self.last_done_, nullptr)) {
            ended(error == 0);
        }
    });
}

void local_disk::wipe_block(std::uint64_t offset, on_stored done) {
    wipe_done_ = std::move(done);
    std::memset(log_buffer_, 0, format::block_bytes);
    wipe_request_ = {};
    wipe_request_.op = disk_request::operation::write;
    wipe_request_.device = backing::metadata;
    wipe_request_.fua = owner_.options.md_flushes;
    wipe_request_.offset = offset;
    wipe_request_.size = format::block_bytes;
    wipe_request_.memory = log_buffer_;
    wipe_request_.owner = this;
    wipe_request_.finished = [](disk_request& request, int error) {
        auto& self = *static_cast<local_disk*>(request.owner);
        if (error != 0) {
            self.metadata_failed("the old superblock could not be wiped", error);
        }
        self.wipe_done_(error == 0);
    };
    submit(wipe_request_);
}

void local_disk::flush_data(disk_request& request, void (*finished)(disk_request&, int)) {
    request = {};
    request.op = disk_request::operation::flush;
    request.device = backing::data;
    request.owner = this;
    request.finished = finished;
    submit(request);
}

bool local_disk::quiet() const {
    const bool log_idle = log == nullptr || (log->used() == 0 && !log->transaction_needed() &&
                                             !log->transaction_under_way());
    return outstanding_.empty() && log_idle && log_phase_ == log_phase::idle &&
           !superblock_dirty() && !storing_bitmap();
}

void local_disk::metadata_failed(const char* what, int error) {
    if (!abandoned_) {
        all_.disks.metadata_error(owner_, what, error);
    }
}

// --- superblock ---

void local_disk::mark_superblock() {
    super_dirty_ = true;
    if (!super_writing_ && !abandoned_ && !super_held_) {
        // Written at the end of this event, so that several changes share one write.
        all_.defer([this, disk = &owner_] {
            if (disk->disk.get() == this && super_dirty_ && !super_writing_ && !super_held_) {
                write_superblock();
            }
        });
    }
}

void local_disk::store_superblock(on_stored done) {
    if (abandoned_) {
        done(false);
        return;
    }
    if (!super_dirty_ && !super_writing_) {
        done(true);
        return;
    }
    if (!super_dirty_) {
        // The write under way has all of it.
        super_served_.push_back(std::move(done));
        return;
    }
    super_waiting_.push_back(std::move(done));
    if (!super_writing_ && !super_held_) {
        write_superblock();
    }
}

void local_disk::hold_superblock(bool held) {
    super_held_ = held;
    if (!held && super_dirty_ && !super_writing_ && !abandoned_) {
        write_superblock();
    }
}

void local_disk::write_ahead(const format::superblock& value, on_stored done) {
    LOCKSTEP_CHECK(!super_writing_);
    super_writing_ = true;
    writing_flags_ = value.flags;
    super_served_.push_back(std::move(done));
    format::encode(value, {super_buffer_, format::block_bytes});
    flush_before_superblock();
}

void local_disk::write_superblock() {
    super_writing_ = true;
    const bool log_ends = (stored_flags_ & format::md_flag::primary_ind) != 0 &&
                          !super.has(format::md_flag::primary_ind);
    if (!log_ends || bits.dirty_pages() + bits.writing_pages() == 0) {
        write_superblock_now();
        return;
    }
    store_bitmap([this](bool) {
        if (!abandoned_) {
            write_superblock_now();
        }
    });
}

void local_disk::store_after_peer_writes() {
    ++peer_waits_;
    all_.peers.when_written(owner_, [this, alive = std::weak_ptr(alive_)] {
        if (!alive.expired() && --peer_waits_ == 0 && std::exchange(super_due_, false) &&
            !abandoned_) {
            write_superblock_now();
        }
    });
}

void local_disk::write_superblock_now() {
    if (peer_waits_ > 0) {
        super_due_ = true;
        return;
    }
    super_dirty_ = false;
    writing_flags_ = super.flags;
    super_served_.insert(super_served_.end(), std::make_move_iterator(super_waiting_.begin()),
                         std::make_move_iterator(super_waiting_.end()));
    super_waiting_.clear();
    // As it is now: what it says of the data holds for what the flush covers.
    format::encode(super, {super_buffer_, format::block_bytes});
    flush_before_superblock();
}

void local_disk::flush_before_superblock() {
    if (!owner_.options.md_flushes) {
        superblock_flushed(0);
        return;
    }
    flush_data(super_request_, [](disk_request& done, int error) {
        static_cast<local_disk*>(done.owner)->superblock_flushed(error);
    });
}

void local_disk::superblock_flushed(int error) {
    if (error != 0) {
        superblock_written(error);
        return;
    }
    super_request_ = {};
    super_request_.op = disk_request::operation::write;
    super_request_.device = backing::metadata;
    super_request_.fua = owner_.options.md_flushes;
    super_request_.offset = layout.superblock_offset;
    super_request_.size = properties.logical_block_bytes;
    super_request_.memory = super_buffer_;
    super_request_.owner = this;
    super_request_.finished = [](disk_request& done, int result) {
        static_cast<local_disk*>(done.owner)->superblock_written(result);
    };
    submit(super_request_);
}

void local_disk::superblock_written(int error) {
    super_writing_ = false;
    if (error == 0) {
        stored_flags_ = writing_flags_;
        owner_.retry_data |= says_primary() && !abandoned_;
    }
    auto served = std::move(super_served_);
    super_served_.clear();
    if (error != 0) {
        metadata_failed("the superblock could not be written", error);
    }
    for (auto& done : served) {
        done(error == 0);
    }
    if (!abandoned_ && log != nullptr) {
        all_.peers.log_committed(owner_);
    }
    if (super_dirty_ && !super_writing_ && !abandoned_ && !super_held_) {
        write_superblock();
    }
}

// --- bitmap ---

void local_disk::store_bitmap(on_stored done) {
    if (abandoned_) {
        done(false);
        return;
    }
    bitmap_jobs_.push_back({std::move(done), 0, false});
    if (bitmap_jobs_.size() == 1 && pages_writing_ == 0) {
        write_pages();
    }
}

bool local_disk::cleared_since_flush(std::uint64_t page) const {
    return owner_.options.md_flushes && bits.page_cleared_at(page) > flushed_clears_;
}

void local_disk::data_flushed(std::uint64_t clears) {
    flushed_clears_ = std::max(flushed_clears_, clears);
}

// Up to page_slots pages at a time: copied, then the data flushed if the copies have bits that were
// cleared since the last flush, then written.
void local_disk::write_pages() {
    while (!bitmap_jobs_.empty() && pages_writing_ == 0) {
        bitmap_job& job = bitmap_jobs_.front();
        bool flush_first = false;
        for (page_slot& slot : slots_) {
            const std::uint64_t page =
                job.failed ? bitmap::none : bits.next_dirty_page(job.next_page);
            if (page == bitmap::none) {
                break;
            }
            job.next_page = page + 1;
            std::byte* buffer =
                page_buffers_ + static_cast<std::size_t>(&slot - slots_.data()) * bitmap::page_size;
            flush_first |= cleared_since_flush(page);
            bits.begin_page_write(page, {buffer, bitmap::page_size});
            slot.disk = this;
            slot.busy = true;
            slot.page = page;
            slot.request = {};
            slot.request.memory = buffer;
            ++pages_writing_;
        }
        if (pages_writing_ == 0) {
            finish_bitmap_job();
        } else if (flush_first) {
            bitmap_flush_clears_ = bits.clears();
            flush_data(bitmap_flush_, [](disk_request& request, int error) {
                static_cast<local_disk*>(request.owner)->pages_flushed(error);
            });
        } else {
            submit_pages();
        }
    }
}

void local_disk::pages_flushed(int error) {
    if (error == 0) {
        data_flushed(bitmap_flush_clears_);
        submit_pages();
        return;
    }
    for (page_slot& slot : slots_) {
        if (slot.busy) {
            slot.busy = false;
            --pages_writing_;
            bits.end_page_write(slot.page, false);
        }
    }
    if (!bitmap_jobs_.empty()) {
        bitmap_jobs_.front().failed = true;
    }
    metadata_failed("the data device could not be flushed", error);
    go_on_after_pages();
}

void local_disk::submit_pages() {
    for (page_slot& slot : slots_) {
        if (!slot.busy) {
            continue;
        }
        slot.request.op = disk_request::operation::write;
        slot.request.device = backing::metadata;
        slot.request.fua = owner_.options.md_flushes;
        slot.request.offset = layout.bitmap_offset + slot.page * bitmap::page_size;
        slot.request.size = bitmap::page_size;
        slot.request.owner = &slot;
        slot.request.finished = [](disk_request& request, int error) {
            auto& done = *static_cast<page_slot*>(request.owner);
            done.disk->page_written(done, error);
        };
        ++bitmap_writes;
        submit(slot.request);
    }
}

void local_disk::page_written(page_slot& slot, int error) {
    slot.busy = false;
    --pages_writing_;
    bits.end_page_write(slot.page, error == 0);
    if (error != 0) {
        if (!bitmap_jobs_.empty()) {
            bitmap_jobs_.front().failed = true;
        }
        metadata_failed("the bitmap could not be written", error);
    }
    go_on_after_pages();
}

void local_disk::go_on_after_pages() {
    if (log_phase_ == log_phase::pages && !log_page_busy_) {
        write_evicted_pages();
    }
    write_pages();
}

void local_disk::finish_bitmap_job() {
    bitmap_job job = std::move(bitmap_jobs_.front());
    bitmap_jobs_.erase(bitmap_jobs_.begin());
    job.done(!job.failed);
}

// --- activity log ---

void local_disk::pump_log() {
    if (abandoned_ || log == nullptr || log_phase_ != log_phase::idle || empty_blocks_left_ > 0 ||
        !log->transaction_needed()) {
        return;
    }
    transaction_ = log->prepare_transaction({log_buffer_, format::block_bytes});
    evicted_at_ = 0;
    if (transaction_.evicted.empty()) {
        write_log_block();
        return;
    }
    log_phase_ = log_phase::flushing;
    log_flush_clears_ = bits.clears();
    flush_data(log_request_, [](disk_request& done, int error) {
        static_cast<local_disk*>(done.owner)->log_data_flushed(error);
    });
}

void local_disk::log_data_flushed(int error) {
    if (error != 0) {
        log_phase_ = log_phase::idle;
        metadata_failed("the data device could not be flushed", error);
        return;
    }
    data_flushed(log_flush_clears_);
    log_phase_ = log_phase::pages;
    write_evicted_pages();
}

void local_disk::write_evicted_pages() {
    for (; evicted_at_ < transaction_.evicted.size(); ++evicted_at_) {
        const std::uint64_t sector =
            std::uint64_t{transaction_.evicted[evicted_at_]} * format::al_extent_sectors;
        const std::uint64_t page = bitmap::page_of_sector(sector);
        if (page >= bits.pages() || bits.page_stored(page)) {
            continue;
        }
        if (bits.page_writing(page)) {
            return; // page_written() comes back here
        }
        log_page_ = page;
        log_page_busy_ = true;
        const bool flush_first = cleared_since_flush(page);
        bits.begin_page_write(page, {log_page_buffer_, bitmap::page_size});
        if (!flush_first) {
            write_log_page();
            return;
        }
        log_flush_clears_ = bits.clears();
        flush_data(log_request_, [](disk_request& done, int error) {
            static_cast<local_disk*>(done.owner)->log_page_flushed(error);
        });
        return;
    }
    write_log_block();
}

void local_disk::log_page_flushed(int error) {
    if (error != 0) {
        log_page_written(error);
        return;
    }
    data_flushed(log_flush_clears_);
    write_log_page();
}

void local_disk::write_log_page() {
    log_request_ = {};
    log_request_.op = disk_request::operation::write;
    log_request_.device = backing::metadata;
    log_request_.fua = owner_.options.md_flushes;
    log_request_.offset = layout.bitmap_offset + log_page_ * bitmap::page_size;
    log_request_.size = bitmap::page_size;
    log_request_.memory = log_page_buffer_;
    log_request_.owner = this;
    log_request_.finished = [](disk_request& done, int error) {
        static_cast<local_disk*>(done.owner)->log_page_written(error);
    };
    ++bitmap_writes;
    submit(log_request_);
}

void local_disk::log_page_written(int error) {
    log_page_busy_ = false;
    bits.end_page_write(log_page_, error == 0);
    if (error != 0) {
        log_phase_ = log_phase::idle;
        metadata_failed("the bitmap could not be written", error);
        return;
    }
    write_evicted_pages();
    write_pages();
}

void local_disk::write_log_block() {
    log_phase_ = log_phase::block;
    log_request_ = {};
    log_request_.op = disk_request::operation::write;
    log_request_.device = backing::metadata;
    log_request_.fua = owner_.options.md_flushes;
    log_request_.offset =
        layout.activity_log_offset + std::uint64_t{transaction_.ring_block} * format::block_bytes;
    log_request_.size = format::block_bytes;
    log_request_.memory = log_buffer_;
    log_request_.owner = this;
    log_request_.finished = [](disk_request& done, int error) {
        static_cast<local_disk*>(done.owner)->log_block_written(error);
    };
    ++log_writes;
    submit(log_request_);
}

void local_disk::log_block_written(int error) {
    log_phase_ = log_phase::idle;
    if (error != 0) {
        metadata_failed("the activity log could not be written", error);
        if (empty_blocks_left_ > 0) {
            empty_blocks_left_ = 0;
            empty_done_(false);
        }
        return;
    }
    log->commit_transaction();
    if (empty_blocks_left_ > 0) {
        --empty_blocks_left_;
        write_next_empty_block();
        return;
    }
    if (!abandoned_) {
        all_.writes.log_committed(owner_);
    }
    pump_log();
}

void local_disk::initialise_log(on_stored done) {
    LOCKSTEP_CHECK(log_phase_ == log_phase::idle);
    empty_blocks_left_ = static_cast<std::uint32_t>(log->ring().total_blocks());
    empty_done_ = std::move(done);
    write_next_empty_block();
}

void local_disk::write_next_empty_block() {
    if (empty_blocks_left_ == 0) {
        auto done = std::move(empty_done_);
        done(true);
        return;
    }
    transaction_ = log->prepare_empty_transaction({log_buffer_, format::block_bytes});
    write_log_block();
}

} // namespace lockstep::replica
