#include "agent/drbdmeta/md_device.hpp"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "agent/drbdmeta/device_user.hpp"
#include "kernel/base/check.hpp"
#include "kernel/format/geometry.hpp"

namespace lockstep::drbdmeta {

namespace {

// Large enough to be quick, small enough to show progress and to be interrupted.
constexpr std::uint64_t zero_by_device_bytes = 64U << 20U;
constexpr std::uint64_t zero_by_writing_bytes = 4U << 20U;

bool whole_blocks(std::uint64_t offset, std::uint64_t bytes) {
    return offset % format::block_bytes == 0 && bytes % format::block_bytes == 0;
}

} // namespace

aligned_buffer::aligned_buffer(std::size_t bytes)
    : memory_(static_cast<std::byte*>(std::aligned_alloc(format::block_bytes, bytes))),
      size_(bytes) {
    LOCKSTEP_CHECK(bytes % format::block_bytes == 0 && bytes != 0);
    LOCKSTEP_CHECK(memory_ != nullptr);
    std::memset(memory_.get(), 0, bytes);
}

md_device::md_device(md_device&& other) noexcept
    : call_(other.call_), out_(other.out_), name_(std::move(other.name_)),
      fd_(std::exchange(other.fd_, -1)), direct_(other.direct_), block_device_(other.block_device_),
      size_(other.size_), writes_from_(other.writes_from_), writes_end_(other.writes_end_) {}

md_device& md_device::operator=(md_device&& other) noexcept {
    if (this != &other) {
        std::swap(fd_, other.fd_);
        call_ = other.call_;
        out_ = other.out_;
        name_ = std::move(other.name_);
        direct_ = other.direct_;
        block_device_ = other.block_device_;
        size_ = other.size_;
        writes_from_ = other.writes_from_;
        writes_end_ = other.writes_end_;
    }
    return *this;
}

md_device::~md_device() {
    if (fd_ >= 0) {
        ::close(fd_);
    }
}

result<md_device> md_device::open(const invocation& call, const console& out) {
    md_device device(call, out);
    device.name_ = call.device;
    const auto good = device.open_exclusively().and_then([&device] { return device.look_at_it(); });
    if (!good) {
        return tl::unexpected(good.error());
    }
    return device;
}

result<> md_device::open_exclusively() {
    int flags = O_RDWR | O_DIRECT | O_CLOEXEC;
    // Slots of one indexed device belong to different resources: there, only the minor's lock
    // tells users apart.
    if (call_->where.kind != format::placement_kind::indexed) {
        flags |= O_EXCL;
    }
    for (;;) {
        fd_ = ::open(name_.c_str(), flags);
        int problem = fd_ < 0 ? errno : 0;
        struct stat status = {};
        const bool plain_file = fd_ >= 0 && ::fstat(fd_, &status) == 0 && S_ISREG(status.st_mode);
        // O_EXCL says nothing about files; a lock does.
        if (plain_file && (flags & O_EXCL) != 0 && ::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
            problem = EBUSY;
            ::close(std::exchange(fd_, -1));
        }
        if (problem == 0) {
            return {};
        }
        out_->remark(fmt::format("open({}) failed: {}\n", name_, std::strerror(problem)));
        if (problem == EBUSY && (flags & O_EXCL) != 0) {
            if (const std::string user = user_of(name_); !user.empty()) {
                out_->remark(fmt::format("{} is {}\n", name_, user));
            }
            const bool apply_al = std::string_view(call_->command->name) == "apply-al";
            if ((apply_al && !call_->force) ||
                !out_->confirmed("Exclusive open failed. Do it anyways?")) {
                out_->print("Operation canceled.\n");
                return stop(20);
            }
            flags &= ~O_EXCL;
        } else if (problem == EINVAL && (flags & O_DIRECT) != 0) {
            out_->remark("could not open with O_DIRECT, retrying without\n");
            flags &= ~O_DIRECT;
            direct_ = false;
        } else {
            return stop(20);
        }
    }
}

result<> md_device::look_at_it() {
    struct stat status = {};
    if (::fstat(fd_, &status) != 0) {
        return stop(20, fmt::format("fstat({}) failed: {}\n", name_, std::strerror(errno)));
    }
    block_device_ = S_ISBLK(status.st_mode);
    if (!block_device_) {
        if (!call_->force) {
            return stop(20, fmt::format("'{}' is not a block device!\n", name_));
        }
        size_ = static_cast<std::uint64_t>(status.st_size);
        return {};
    }
    if (::ioctl(fd_, BLKGETSIZE64, &size_) != 0) {
        return stop(20, fmt::format("{}: cannot get its size: {}\n", name_, std::strerror(errno)));
    }
    // Without direct I/O an old cache could hide what a kernel driver has written below it.
    if (!direct_ && ::ioctl(fd_, BLKFLSBUF) != 0) {
        out_->remark(fmt::format("{}: cannot drop its cache ({}), we may read stale data\n", name_,
                                 std::strerror(errno)));
    }
    return {};
}

result<> md_device::read(std::uint64_t offset, byte_span into, const char* tag) const {
    LOCKSTEP_CHECK(whole_blocks(offset, into.size()));
    std::size_t done = 0;
    while (done < into.size()) {
        const ssize_t count =
            ::pread(fd_, into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            const char* reason = count == 0 ? "end of device" : std::strerror(errno);
            return stop(10, fmt::format("{}: reading {} bytes at {} ({}) failed: {}\n", name_,
                                        into.size(), offset, tag, reason));
        }
        done += static_cast<std::size_t>(count);
    }
    if (out_->verbosity() >= 2) {
        out_->remark(
            fmt::format(" {:<26}: pread({}, ...,{:>6},{:>12})\n", tag, fd_, into.size(), offset));
    }
    return {};
}

void md_device::allow_writes(std::uint64_t first, std::uint64_t end) {
    writes_from_ = first;
    writes_end_ = end;
}

result<> md_device::check_range(std::uint64_t offset, std::uint64_t bytes, const char* tag) const {
    if (offset >= writes_from_ && offset <= writes_end_ && bytes <= writes_end_ - offset) {
        return {};
    }
    const std::string text =
        fmt::format("{}: offset+count ({}+{}) not in meta data area range [{}; {}], aborted\n", tag,
                    offset, bytes, writes_from_, writes_end_);
    if (call_->ignore_sanity_checks) {
        out_->remark(text + "Ignored due to --ignore-sanity-checks\n");
        return {};
    }
    return stop(10, text + "If you want to force this, tell me to --ignore-sanity-checks\n");
}

result<> md_device::write(std::uint64_t offset, const_byte_span bytes, const char* tag) {
    LOCKSTEP_CHECK(whole_blocks(offset, bytes.size()));
    if (auto inside = check_range(offset, bytes.size(), tag); !inside) {
        return inside;
    }
    if (call_->dry_run) {
        out_->remark(fmt::format(" {:<26}: pwrite({}, ...,{:>6},{:>12}) SKIPPED DUE TO DRY-RUN\n",
                                 tag, fd_, bytes.size(), offset));
        return {};
    }
    std::size_t done = 0;
    while (done < bytes.size()) {
        const ssize_t count = ::pwrite(fd_, bytes.data() + done, bytes.size() - done,
                                       static_cast<off_t>(offset + done));
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            return stop(10, fmt::format("{}: writing {} bytes at {} ({}) failed: {}\n", name_,
                                        bytes.size(), offset, tag, std::strerror(errno)));
        }
        done += static_cast<std::size_t>(count);
    }
    if (out_->verbosity() >= 2) {
        out_->remark(
            fmt::format(" {:<26}: pwrite({}, ...,{:>6},{:>12})\n", tag, fd_, bytes.size(), offset));
    }
    return {};
}

result<> md_device::flush() {
    if (!call_->dry_run && ::fsync(fd_) != 0) {
        return stop(10, fmt::format("{}: fsync failed: {}\n", name_, std::strerror(errno)));
    }
    return {};
}

bool md_device::zero_by_device(std::uint64_t offset, std::uint64_t bytes) const {
    if (!block_device_) {
        return ::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                           static_cast<off_t>(offset), static_cast<off_t>(bytes)) == 0;
    }
    std::array<std::uint64_t, 2> range = {offset, bytes};
    return ::ioctl(fd_, BLKZEROOUT, range.data()) == 0;
}

result<> md_device::zero_by_writing(std::uint64_t offset, std::uint64_t bytes) {
    aligned_buffer zeros(zero_by_writing_bytes);
    console::progress progress(*out_);
    for (std::uint64_t done = 0; done < bytes;) {
        const auto chunk = std::min<std::uint64_t>(bytes - done, zeros.size());
        if (auto written = write(offset + done, zeros.first(chunk), "zeroing"); !written) {
            return written;
        }
        done += chunk;
        progress.show(done, bytes);
    }
    return {};
}

result<> md_device::zero(std::uint64_t offset, std::uint64_t bytes, bitmap_mode mode) {
    LOCKSTEP_CHECK(whole_blocks(offset, bytes));
    if (auto inside = check_range(offset, bytes, "zeroing"); !inside) {
        return inside;
    }
    if (mode == bitmap_mode::pwrite || call_->dry_run) {
        return zero_by_writing(offset, bytes);
    }
    console::progress progress(*out_);
    for (std::uint64_t done = 0; done < bytes;) {
        const std::uint64_t chunk = std::min(bytes - done, zero_by_device_bytes);
        if (!zero_by_device(offset + done, chunk)) {
            if (mode == bitmap_mode::zeroout) {
                return stop(10, "fast zero-out failed, fallback disabled\n");
            }
            return zero_by_writing(offset + done, bytes - done);
        }
        done += chunk;
        progress.show(done, bytes);
    }
    return {};
}

} // namespace lockstep::drbdmeta
