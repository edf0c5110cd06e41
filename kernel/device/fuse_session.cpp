#include "kernel/device/fuse_session.hpp"

#include <linux/falloc.h>
#include <linux/fuse.h>
#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "kernel/base/check.hpp"

namespace lockstep::device {

namespace {

using operation = replica::io_request::operation;

constexpr std::uint64_t root_node = FUSE_ROOT_ID;
constexpr std::uint64_t file_node = 2;
constexpr std::uint32_t minor_min = 28; // Linux 4.20: requests of more than 128 KiB
constexpr std::uint32_t pages_max = replica::max_io_bytes / 4096;
// Longer zeroing is worked off in parts, so that one request never takes the disk for long.
constexpr std::uint32_t range_bytes_max = 1U << 30;
// Since Linux 5.20; older kernels ignore it.
constexpr std::uint32_t open_parallel_direct_writes = 1U << 6;

static_assert(sizeof(fuse_in_header) + sizeof(fuse_write_in) == fuse_session::header_bytes);

template <class Body>
const_byte_span bytes_of(const Body& body) {
    return std::as_bytes(std::span{&body, 1});
}

fuse_attr attributes(std::uint64_t node, const volume_properties& volume) {
    fuse_attr attr = {};
    attr.ino = node;
    attr.nlink = 1;
    attr.blksize = 4096;
    if (node == root_node) {
        attr.mode = S_IFDIR | 0500;
    } else {
        attr.mode = S_IFREG | 0600;
        attr.size = volume.size_bytes;
        attr.blocks = volume.size_bytes / 512;
    }
    return attr;
}

} // namespace

fuse_session::fuse_session(std::string file_name, const volume_properties& properties,
                           volume_io& engine, replica::buffer_pool& buffers,
                           fuse_session_owner& owner)
    : file_name_(std::move(file_name)), properties_(properties), engine_(&engine),
      buffers_(&buffers), owner_(&owner),
      staging_(std::make_unique_for_overwrite<std::byte[]>(replica::max_io_bytes)),
      slots_(std::make_unique<slot[]>(requests_max)) {
    for (std::size_t i = requests_max; i > 0; --i) {
        slot& one = slots_[i - 1];
        one.finished = slot_finished;
        one.owner = this;
        one.volume = properties.volume;
        one.following = free_;
        free_ = &one;
    }
    waiter_.ready = buffer_ready;
    waiter_.owner = this;
}

fuse_session::~fuse_session() {
    LOCKSTEP_CHECK(idle());
    end();
}

void fuse_session::end() {
    ended_ = true;
    buffers_->cancel(waiter_);
    queued_ = false;
}

std::array<byte_span, 3> fuse_session::receive_targets() {
    stalled_ = true;
    if (ended_ || (waiting_ != nullptr && !begin_data()) || !room_for_data()) {
        return {};
    }
    stalled_ = false;
    return {byte_span{header_}, spare_.bytes(), byte_span{staging_.get(), replica::max_io_bytes}};
}

bool fuse_session::room_for_data() {
    if (free_ == nullptr) {
        return false;
    }
    if (spare_ && spare_.size() >= spare_wanted_) {
        return true;
    }
    if (!queued_ && !buffers_->anybody_waits()) {
        if (auto better = buffers_->allocate(spare_wanted_)) {
            spare_ = std::move(better);
        }
    }
    return spare_ || wait_for(4096);
}

// Nobody else gets room before a waiter does.
bool fuse_session::wait_for(std::uint32_t size) {
    if (!queued_) {
        waiter_.size = size;
        queued_ = true;
        buffers_->wait(waiter_);
    }
    return false;
}

void fuse_session::buffer_ready(replica::buffer_pool::waiter& self) {
    auto& session = *static_cast<fuse_session*>(self.owner);
    session.queued_ = false;
    auto buffer = session.buffers_->allocate(self.size);
    LOCKSTEP_CHECK(buffer);
    (session.waiting_ != nullptr ? session.waiting_->buffer : session.spare_) = std::move(buffer);
    session.owner_->wants_turn();
}

void fuse_session::received(std::size_t size) {
    fuse_in_header header;
    std::memcpy(&header, header_.data(), sizeof header);
    // The kernel writes whole messages, and says how long they are.
    if (ended_ || size < sizeof header || header.len != size) {
        return;
    }
    dispatch(header, size);
}

void fuse_session::dispatch(const fuse_in_header& header, std::size_t size) {
    if (!initialized_ && header.opcode != FUSE_INIT) {
        reply(header.unique, EIO);
        return;
    }
    switch (header.opcode) {
    case FUSE_INIT:
        return initialize(header, size);
    case FUSE_LOOKUP:
        return look_up(header, size);
    case FUSE_GETATTR:
        return get_attributes(header);
    case FUSE_OPEN:
        return open(header);
    case FUSE_RELEASE:
        return release_handle(header);
    case FUSE_STATFS:
        return tell_space(header);
    case FUSE_READ:
        return read(header, size);
    case FUSE_WRITE:
        return write(header, size);
    case FUSE_FSYNC:
        return flush(header);
    case FUSE_FALLOCATE:
        return allocate_range(header, size);
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
        return; // want no answer
    case FUSE_DESTROY:
        return reply(header.unique, 0);
    default:
        return reply(header.unique, ENOSYS); // the kernel does not ask again
    }
}

template <class Argument>
bool fuse_session::argument(Argument& into, std::size_t size) const {
    static_assert(sizeof(fuse_in_header) + sizeof(Argument) <= header_bytes);
    if (size < sizeof(fuse_in_header) + sizeof(Argument)) {
        return false;
    }
    std::memcpy(&into, header_.data() + sizeof(fuse_in_header), sizeof into);
    return true;
}

bool fuse_session::is_file(const fuse_in_header& header) const {
    return header.nodeid == file_node;
}

void fuse_session::initialize(const fuse_in_header& header, std::size_t size) {
    // Older kernels send less of this structure than its newest form has.
    fuse_init_in asked = {};
    const std::size_t sent = std::min(size - sizeof header, header_bytes - sizeof header);
    std::memcpy(&asked, header_.data() + sizeof header, std::min(sent, sizeof asked));
    if (asked.major < FUSE_KERNEL_VERSION ||
        (asked.major == FUSE_KERNEL_VERSION && asked.minor < minor_min)) {
        reply(header.unique, EPROTO);
        return;
    }
    fuse_init_out answer = {};
    answer.major = FUSE_KERNEL_VERSION;
    answer.minor = FUSE_KERNEL_MINOR_VERSION;
    if (asked.major == FUSE_KERNEL_VERSION) {
        answer.minor = std::min<std::uint32_t>(asked.minor, FUSE_KERNEL_MINOR_VERSION);
        answer.flags =
            asked.flags & (FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ASYNC_DIO | FUSE_MAX_PAGES);
        answer.max_readahead = asked.max_readahead;
        answer.max_background = background_max;
        answer.congestion_threshold = background_max;
        answer.max_write = replica::max_io_bytes;
        answer.time_gran = 1;
        answer.max_pages = pages_max;
        initialized_ = true;
    }
    reply(header.unique, 0, bytes_of(answer));
}

// A name may reach from the header into the payload's place; NUL ends it.
bool fuse_session::names_our_file(std::size_t size) const {
    const std::size_t length = size - sizeof(fuse_in_header);
    if (length != file_name_.size() + 1 ||
        length > header_bytes - sizeof(fuse_in_header) + spare_.size()) {
        return false;
    }
    const char* const wanted = file_name_.c_str();
    const std::size_t first = std::min(length, header_bytes - sizeof(fuse_in_header));
    return std::memcmp(header_.data() + sizeof(fuse_in_header), wanted, first) == 0 &&
           std::memcmp(spare_.data(), wanted + first, length - first) == 0;
}

void fuse_session::look_up(const fuse_in_header& header, std::size_t size) {
    if (header.nodeid != root_node || !names_our_file(size)) {
        reply(header.unique, ENOENT);
        return;
    }
    fuse_entry_out entry = {};
    entry.nodeid = file_node;
    entry.attr = attributes(file_node, properties_);
    reply(header.unique, 0, bytes_of(entry));
}

// Attributes are valid for no time at all: who looks after a growth sees it.
void fuse_session::get_attributes(const fuse_in_header& header) {
    if (header.nodeid != root_node && !is_file(header)) {
        reply(header.unique, ENOENT);
        return;
    }
    fuse_attr_out out = {};
    out.attr = attributes(header.nodeid, properties_);
    reply(header.unique, 0, bytes_of(out));
}

void fuse_session::open(const fuse_in_header& header) {
    if (!is_file(header)) {
        reply(header.unique, EISDIR);
        return;
    }
    ++handles_;
    fuse_open_out out = {};
    out.open_flags = FOPEN_DIRECT_IO | open_parallel_direct_writes;
    reply(header.unique, 0, bytes_of(out));
}

void fuse_session::release_handle(const fuse_in_header& header) {
    reply(header.unique, 0);
    if (handles_ > 0 && is_file(header) && --handles_ == 0) {
        owner_->released();
    }
}

// The loop driver takes the block size for its granularity of discards.
void fuse_session::tell_space(const fuse_in_header& header) {
    fuse_statfs_out out = {};
    out.st.bsize = 4096;
    out.st.frsize = 4096;
    out.st.blocks = properties_.size_bytes / 4096;
    out.st.namelen = 255;
    reply(header.unique, 0, bytes_of(out));
}

fuse_session::slot& fuse_session::take_slot(const fuse_in_header& header) {
    slot& one = *free_;
    free_ = one.following;
    one.following = nullptr;
    one.unique = header.unique;
    one.fua = false;
    one.may_unmap = true;
    one.left = 0;
    one.offset = 0;
    one.size = 0;
    return one;
}

void fuse_session::read(const fuse_in_header& header, std::size_t size) {
    fuse_read_in asked = {};
    const std::uint64_t block = properties_.logical_block_bytes;
    if (!argument(asked, size) || !is_file(header) || asked.size > replica::max_io_bytes ||
        asked.offset % block != 0) {
        reply(header.unique, EINVAL);
        return;
    }
    // Reads may reach over the end of a file; what is there is returned.
    const std::uint64_t there =
        asked.offset < properties_.size_bytes ? properties_.size_bytes - asked.offset : 0;
    const auto wanted = static_cast<std::uint32_t>(std::min<std::uint64_t>(asked.size, there));
    if (wanted == 0 || wanted % block != 0) {
        reply(header.unique, wanted == 0 ? 0 : EINVAL);
        return;
    }
    slot& one = take_slot(header);
    one.op = operation::read;
    one.offset = asked.offset;
    one.size = wanted;
    waiting_ = &one;
    begin_data();
}

void fuse_session::write(const fuse_in_header& header, std::size_t size) {
    fuse_write_in asked = {};
    const std::uint64_t block = properties_.logical_block_bytes;
    if (!argument(asked, size) || !is_file(header) || asked.size == 0 ||
        asked.size != size - header_bytes || asked.size > replica::max_io_bytes ||
        asked.offset % block != 0 || asked.size % block != 0) {
        reply(header.unique, EINVAL);
        return;
    }
    if (properties_.read_only || asked.offset > properties_.size_bytes ||
        asked.size > properties_.size_bytes - asked.offset) {
        reply(header.unique, properties_.read_only ? EROFS : ENOSPC);
        return;
    }
    slot& one = take_slot(header);
    one.op = operation::write;
    one.offset = asked.offset;
    one.size = asked.size;
    waiting_ = &one;
    begin_data();
}

// Goes on with the request that waits for a buffer. False: it still waits.
bool fuse_session::begin_data() {
    slot& one = *waiting_;
    if (one.op == operation::write) {
        if (!place_payload(one)) {
            return false;
        }
    } else if (!one.buffer) {
        if (!queued_ && !buffers_->anybody_waits()) {
            one.buffer = buffers_->allocate(one.size);
        }
        if (!one.buffer) {
            return wait_for(one.size);
        }
    }
    waiting_ = nullptr;
    submit(one);
    return true;
}

// The payload begins in the spare buffer and may go on in the staging area.
bool fuse_session::place_payload(slot& one) {
    const std::uint32_t wanted = std::bit_ceil(std::max(one.size, replica::buffer_pool::smallest));
    const bool fits = one.size <= spare_.size();
    if (fits && spare_.capacity() <= wanted * 4) {
        spare_wanted_ = wanted;
        one.buffer = std::move(spare_);
        return true;
    }
    // A small payload does not keep a large buffer from others, if a small one can be had.
    if (!one.buffer && !queued_ && !buffers_->anybody_waits()) {
        one.buffer = buffers_->allocate(one.size);
    }
    if (!one.buffer && fits) {
        one.buffer = std::move(spare_);
        return true;
    }
    if (!one.buffer) {
        return wait_for(one.size);
    }
    const std::uint32_t first = std::min(one.size, spare_.size());
    std::memcpy(one.buffer.data(), spare_.data(), first);
    std::memcpy(one.buffer.data() + first, staging_.get(), one.size - first);
    if (spare_wanted_ != wanted) {
        spare_wanted_ = wanted;
        spare_.reset();
    }
    return true;
}

void fuse_session::flush(const fuse_in_header& header) {
    if (!is_file(header)) {
        reply(header.unique, EINVAL);
        return;
    }
    slot& one = take_slot(header);
    one.op = operation::flush;
    submit(one);
}

// The loop driver asks for a hole both to discard and to write zeros where unmapping is allowed:
// so a hole must read as zeros, and is never a mere discard.
void fuse_session::allocate_range(const fuse_in_header& header, std::size_t size) {
    fuse_fallocate_in asked = {};
    constexpr std::uint32_t hole = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE;
    constexpr std::uint32_t zeros = FALLOC_FL_KEEP_SIZE | FALLOC_FL_ZERO_RANGE;
    const std::uint64_t block = properties_.logical_block_bytes;
    if (!argument(asked, size) || !is_file(header) || asked.length == 0 ||
        asked.offset % block != 0 || asked.length % block != 0 ||
        asked.offset > properties_.size_bytes ||
        asked.length > properties_.size_bytes - asked.offset) {
        reply(header.unique, EINVAL);
        return;
    }
    if ((asked.mode != hole && asked.mode != zeros) || !properties_.can_discard ||
        properties_.read_only) {
        reply(header.unique, properties_.read_only ? EROFS : EOPNOTSUPP);
        return;
    }
    slot& one = take_slot(header);
    one.op = operation::write_zeroes;
    one.may_unmap = asked.mode == hole;
    one.offset = asked.offset;
    one.left = asked.length;
    next_part(one);
    submit(one);
}

void fuse_session::next_part(slot& one) {
    one.offset += one.size;
    one.size = static_cast<std::uint32_t>(std::min<std::uint64_t>(one.left, range_bytes_max));
    one.left -= one.size;
}

void fuse_session::submit(slot& one) {
    ++in_engine_;
    engine_->submit(one);
}

void fuse_session::slot_finished(request& self, int error) {
    auto& one = static_cast<slot&>(self);
    static_cast<fuse_session*>(self.owner)->ended(one, error);
}

void fuse_session::ended(slot& one, int error) {
    --in_engine_;
    if (!ended_ && error == 0 && one.left > 0) {
        next_part(one);
        submit(one);
        return;
    }
    if (!ended_) {
        if (error == 0 && one.op == operation::read) {
            reply(one.unique, 0, {one.buffer.data(), one.size});
        } else if (error == 0 && one.op == operation::write) {
            fuse_write_out out = {};
            out.size = one.size;
            reply(one.unique, 0, bytes_of(out));
        } else {
            reply(one.unique, error);
        }
    }
    release(one);
    if (stalled_ || (ended_ && idle())) {
        owner_->wants_turn();
    }
}

void fuse_session::release(slot& one) {
    one.following = free_;
    free_ = &one;
    one.buffer.reset();
}

void fuse_session::reply(std::uint64_t unique, int error, const_byte_span body) {
    if (ended_) {
        return;
    }
    fuse_out_header out = {};
    out.len = static_cast<std::uint32_t>(sizeof out + body.size());
    out.error = -error;
    out.unique = unique;
    owner_->send(bytes_of(out), body);
}

} // namespace lockstep::device
