#include "kernel/replica/local_disk.hpp"

#include <cstdlib>
#include <cstring>
#include <new>

#include "kernel/replica/machinery.hpp"

namespace lockstep::replica {

void local_disk::released::operator()(std::byte* memory) const noexcept {
    std::free(memory);
}

local_disk::local_disk(machinery& all, volume& owner, const disk_properties& given)
    : properties(given), all_(all), owner_(owner) {
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
    ++outstanding_;
    request.volume = owner_.number;
    request.disk = this;
    all_.submit_disk(*this, request);
}

void local_disk::flush_data(disk_request& request, void (*finished)(disk_request&, int)) {
    request = {};
    request.op = disk_request::operation::flush;
    request.device = backing::data;
    request.owner = this;
    request.finished = finished;
    submit(request);
}

void local_disk::metadata_failed(const char* what, int error) {
    if (!abandoned_) {
        all_.disks.metadata_error(owner_, what, error);
    }
}

// --- superblock ---

void local_disk::mark_superblock() {
    super_dirty_ = true;
    if (!super_writing_ && !abandoned_) {
        // Written at the end of this event, so that several changes share one write.
        all_.defer([this, disk = &owner_] {
            if (disk->disk.get() == this && super_dirty_ && !super_writing_) {
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
    if (!super_writing_) {
        write_superblock();
    }
}

void local_disk::write_superblock() {
    super_dirty_ = false;
    super_writing_ = true;
    super_served_.insert(super_served_.end(), std::make_move_iterator(super_waiting_.begin()),
                         std::make_move_iterator(super_waiting_.end()));
    super_waiting_.clear();
    if (!owner_.options.md_flushes) {
        superblock_flushed(0);
        return;
    }
    // Data that the identifiers vouch for is durable before they are.
    flush_data(super_request_, [](disk_request& done, int error) {
        static_cast<local_disk*>(done.owner)->superblock_flushed(error);
    });
}

void local_disk::superblock_flushed(int error) {
    if (error != 0) {
        superblock_written(error);
        return;
    }
    format::encode(super, {super_buffer_, format::block_bytes});
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
    auto served = std::move(super_served_);
    super_served_.clear();
    if (error != 0) {
        metadata_failed("the superblock could not be written", error);
    }
    for (auto& done : served) {
        done(error == 0);
    }
    if (super_dirty_ && !super_writing_ && !abandoned_) {
        write_superblock();
    }
}

// --- bitmap ---

void local_disk::store_bitmap(on_stored done) {
    if (abandoned_) {
        done(false);
        return;
    }
    bitmap_jobs_.push_back({std::move(done), 0, false, false});
    if (bitmap_jobs_.size() == 1) {
        start_bitmap_job();
    }
}

void local_disk::start_bitmap_job() {
    if (bits.dirty_pages() == 0 && pages_writing_ == 0) {
        finish_bitmap_job();
        return;
    }
    flush_data(bitmap_flush_, [](disk_request& request, int error) {
        auto& self = *static_cast<local_disk*>(request.owner);
        if (self.bitmap_jobs_.empty()) {
            return;
        }
        self.bitmap_jobs_.front().begun = true;
        if (error != 0) {
            self.bitmap_jobs_.front().failed = true;
            self.metadata_failed("the data device could not be flushed", error);
        }
        self.write_pages();
    });
}

void local_disk::write_pages() {
    if (bitmap_jobs_.empty()) {
        return;
    }
    bitmap_job& job = bitmap_jobs_.front();
    for (page_slot& slot : slots_) {
        if (slot.busy || job.failed) {
            continue;
        }
        const std::uint64_t page = bits.next_dirty_page(job.next_page);
        if (page == bitmap::none) {
            break;
        }
        job.next_page = page + 1;
        std::byte* buffer =
            page_buffers_ + static_cast<std::size_t>(&slot - slots_.data()) * bitmap::page_size;
        bits.begin_page_write(page, {buffer, bitmap::page_size});
        slot.busy = true;
        slot.page = page;
        slot.request = {};
        slot.request.op = disk_request::operation::write;
        slot.request.device = backing::metadata;
        slot.request.fua = owner_.options.md_flushes;
        slot.request.offset = layout.bitmap_offset + page * bitmap::page_size;
        slot.request.size = bitmap::page_size;
        slot.request.memory = buffer;
        slot.disk = this;
        slot.request.owner = &slot;
        slot.request.finished = [](disk_request& request, int error) {
            auto& done = *static_cast<page_slot*>(request.owner);
            done.disk->page_written(done, error);
        };
        ++pages_writing_;
        ++bitmap_writes;
        submit(slot.request);
    }
    if (pages_writing_ == 0) {
        finish_bitmap_job();
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
    if (log_phase_ == log_phase::pages && !log_page_busy_) {
        write_evicted_pages();
    }
    write_pages();
}

void local_disk::finish_bitmap_job() {
    bitmap_job job = std::move(bitmap_jobs_.front());
    bitmap_jobs_.erase(bitmap_jobs_.begin());
    job.done(!job.failed);
    if (!bitmap_jobs_.empty() && !bitmap_jobs_.front().begun && pages_writing_ == 0) {
        start_bitmap_job();
    }
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
        bits.begin_page_write(page, {log_page_buffer_, bitmap::page_size});
        log_request_ = {};
        log_request_.op = disk_request::operation::write;
        log_request_.device = backing::metadata;
        log_request_.fua = owner_.options.md_flushes;
        log_request_.offset = layout.bitmap_offset + page * bitmap::page_size;
        log_request_.size = bitmap::page_size;
        log_request_.memory = log_page_buffer_;
        log_request_.owner = this;
        log_request_.finished = [](disk_request& done, int error) {
            static_cast<local_disk*>(done.owner)->log_page_written(error);
        };
        ++bitmap_writes;
        submit(log_request_);
        return;
    }
    write_log_block();
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
