// restore-md and verify-dump. The whole dump is read and checked before the first byte is written,
// so a broken file never leaves half of its metadata behind.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include <fmt/format.h>

#include "agent/drbdmeta/commands.hpp"
#include "agent/drbdmeta/dump_parser.hpp"
#include "agent/drbdmeta/existing_data.hpp"
#include "kernel/base/check.hpp"

namespace lockstep::drbdmeta {

namespace {

using file_handle = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

constexpr std::size_t window_bytes = 4U << 20U;

// A file to be read twice: the argument, or a copy of standard input.
result<file_handle> open_dump(const session& with) {
    if (!with.call.arguments.empty()) {
        const std::string& name = with.call.arguments[0];
        file_handle file(std::fopen(name.c_str(), "re"), std::fclose);
        if (!file) {
            return stop(20, fmt::format("open of '{}' failed: {}\n", name, std::strerror(errno)));
        }
        return file;
    }
    file_handle copy(std::tmpfile(), std::fclose);
    std::array<char, 65536> part = {};
    std::size_t count = 0;
    while (copy && (count = std::fread(part.data(), 1, part.size(), stdin)) != 0) {
        if (std::fwrite(part.data(), 1, count, copy.get()) != count) {
            copy.reset();
        }
    }
    if (!copy || std::fseek(copy.get(), 0, SEEK_SET) != 0) {
        return stop(20, fmt::format("cannot keep the dump from standard input: {}\n",
                                    std::strerror(errno)));
    }
    return copy;
}

// Takes a dump without doing anything with it.
class checker : public dump_receiver {
public:
    result<> head(const dump_head& value) override {
        head_ = value;
        return {};
    }
    result<> words(std::uint64_t, std::uint64_t) override { return {}; }
    const dump_head& seen() const { return head_; }

private:
    dump_head head_;
};

// Writes the bitmap of a dump where the metadata has its own, window by window.
class bitmap_restorer : public dump_receiver {
public:
    explicit bitmap_restorer(metadata& target)
        : target_(target), end_(target.bitmap_bytes()), window_(window_bytes),
          progress_(target.out()) {}

    result<> head(const dump_head&) override { return {}; }

    result<> words(std::uint64_t count, std::uint64_t word) override {
        while (count != 0) {
            if (written_ + filled_ == end_) {
                too_large_ = true;
                return {};
            }
            store_little(window_.all().data() + filled_, word);
            filled_ += sizeof word;
            --count;
            if (filled_ == window_.size()) {
                if (auto flushed = flush(); !flushed) {
                    return flushed;
                }
            }
        }
        return {};
    }

    // The rest of the bitmap, if the dump says less than there is, becomes zero.
    result<> finish() {
        if (too_large_) {
            target_.out().remark("Bitmap info too large, truncated!\n");
        }
        while (written_ < end_) {
            const std::uint64_t fill = std::min<std::uint64_t>(window_.size(), end_ - written_);
            const auto rest = window_.first(fill).subspan(filled_);
            std::fill(rest.begin(), rest.end(), std::byte{0});
            filled_ = fill;
            if (auto flushed = flush(); !flushed) {
                return flushed;
            }
        }
        return {};
    }

private:
    result<> flush() {
        LOCKSTEP_CHECK(filled_ % format::block_bytes == 0);
        auto wrote = target_.device().write(target_.at().bitmap + written_, window_.first(filled_),
                                            "meta_restore_md");
        written_ += filled_;
        filled_ = 0;
        if (wrote) {
            progress_.show(written_, end_);
        }
        return wrote;
    }

    metadata& target_;
    std::uint64_t end_;
    std::uint64_t written_ = 0;
    std::size_t filled_ = 0;
    bool too_large_ = false;
    aligned_buffer window_;
    console::progress progress_;
};

format::al_striping chosen_striping(const session& with, const dump_head& head) {
    if (with.call.striping_given && with.call.striping != head.striping) {
        with.out.remark("override activity log striping from commandline\n");
        return with.call.striping;
    }
    return head.striping;
}

void take_over(format::superblock& block, const dump_head& head) {
    block.la_size_sectors = head.la_size_sectors;
    block.uuids = head.uuids;
    block.device_uuid = head.device_uuid;
    block.flags = head.flags;
    block.peer_max_bio_size = head.peer_max_bio_size;
}

result<> write_restored(metadata& target, std::FILE* file) {
    if (std::fseek(file, 0, SEEK_SET) != 0) {
        return stop(20, fmt::format("cannot read the dump again: {}\n", std::strerror(errno)));
    }
    bitmap_restorer restorer(target);
    return parse_dump(file, restorer)
        .and_then([&] { return restorer.finish(); })
        .and_then([&] { return target.write_empty_activity_log(); })
        .and_then([&] { return target.write_superblock(); });
}

} // namespace

outcome verify_dump(const session& with) {
    const auto file = open_dump(with);
    if (!file) {
        return tl::unexpected(file.error());
    }
    checker check;
    if (auto parsed = parse_dump(file->get(), check); !parsed) {
        return tl::unexpected(parsed.error());
    }
    with.out.print("input file parsed ok\n");
    return 0;
}

outcome restore_md(const session& with) {
    const auto file = open_dump(with);
    if (!file) {
        return tl::unexpected(file.error());
    }
    auto opened = metadata::open(with.call, with.out, with.minor);
    if (!opened) {
        return tl::unexpected(opened.error());
    }
    if (opened->found() != md_found::nowhere &&
        !with.out.confirmed("Valid meta-data in place, overwrite?")) {
        return 1;
    }
    checker check;
    if (auto parsed = parse_dump(file->get(), check); !parsed) {
        return tl::unexpected(parsed.error());
    }
    with.out.remark("reinitializing\n");
    metadata& target = *opened;
    auto ready = target.renew(chosen_striping(with, check.seen())).and_then([&target] {
        return check_for_existing_data(target);
    });
    if (!ready) {
        return tl::unexpected(ready.error());
    }
    take_over(target.block, check.seen());
    target.clip_size();
    if (auto written = write_restored(target, file->get()); !written) {
        return stop(written.error().code, written.error().what + "Writing failed\n");
    }
    target.record_device();
    with.out.print("Successfully restored meta data\n");
    return 0;
}

} // namespace lockstep::drbdmeta
