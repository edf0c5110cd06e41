#include "agent/drbdmeta/metadata.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "agent/drbdmeta/existing_data.hpp"
#include "kernel/base/check.hpp"
#include "kernel/format/activity_log.hpp"
#include "kernel/format/bitmap.hpp"

namespace lockstep::drbdmeta {

namespace {

// More of a log than this would not be read into memory for any benefit: drbdmeta makes 32 MiB at
// most.
constexpr std::uint64_t al_bytes_max = std::uint64_t{1} << 30;
constexpr std::uint64_t al_chunk_bytes = 4U << 20U;

std::int64_t al_sectors(const format::superblock& value) {
    return static_cast<std::int64_t>(value.striping().total_blocks()) * format::block_sectors;
}

bool plausible_external(const format::superblock& value, const console& out) {
    constexpr std::int64_t al_expected = format::block_sectors;
    if (value.al_offset_sectors != al_expected) {
        out.remark(fmt::format("v08 Magic number (al_offset) not found\n\texpected: {}, found "
                               "{}\n",
                               al_expected, value.al_offset_sectors));
        return false;
    }
    const std::int64_t bm_expected = al_expected + al_sectors(value);
    if (value.bm_offset_sectors != bm_expected) {
        out.remark(fmt::format("v08 bm_offset: expected {}, found {}\n", bm_expected,
                               value.bm_offset_sectors));
        return false;
    }
    return true;
}

bool plausible_internal(const format::superblock& value, std::uint64_t device_bytes,
                        const console& out) {
    if (value.al_offset_sectors != -al_sectors(value)) {
        out.remark(fmt::format("v08 al_offset: expected {}, found {}\n", -al_sectors(value),
                               value.al_offset_sectors));
        return false;
    }
    const auto bitmap = static_cast<std::int64_t>(
        format::bitmap_bytes_on_disk(device_bytes / format::sector_bytes) / format::sector_bytes);
    const std::int64_t size = bitmap + format::block_sectors + al_sectors(value);
    if (value.bm_offset_sectors != format::block_sectors - size) {
        out.remark(fmt::format("strange bm_offset {} (expected: {})\n", value.bm_offset_sectors,
                               format::block_sectors - size));
        return false;
    }
    if (std::int64_t{value.md_size_sectors} != size) {
        out.remark(
            fmt::format("strange md_size_sect {} (expected: {})\n", value.md_size_sectors, size));
        return false;
    }
    return true;
}

} // namespace

md_offsets offsets_of(const format::superblock& value, std::uint64_t superblock_offset) {
    const auto from = [superblock_offset](std::int32_t sectors) {
        return superblock_offset +
               static_cast<std::uint64_t>(std::int64_t{sectors} * format::sector_bytes);
    };
    return {superblock_offset, from(value.al_offset_sectors), from(value.bm_offset_sectors)};
}

bool plausible(const format::superblock& value, format::placement where, std::uint64_t device_bytes,
               const console& out) {
    if (value.magic != format::magic_v08 && value.magic != format::magic_v84_unclean) {
        if (out.verbosity() >= 1) {
            out.remark("v08 Magic number not found\n");
        }
        return false;
    }
    if (value.bytes_per_bit != format::block_bytes) {
        out.remark(fmt::format("v08 bm_bytes_per_bit: expected {}, found {}\n", format::block_bytes,
                               value.bytes_per_bit));
        return false;
    }
    if (const auto striping = format::check_striping(value.striping()); !striping) {
        out.remark(fmt::format("v08 {}\n", striping.error().what));
        return false;
    }
    if (where.kind == format::placement_kind::internal) {
        return plausible_internal(value, device_bytes, out);
    }
    if (!plausible_external(value, out)) {
        return false;
    }
    // Beyond what the original asks: the areas must lie on the device, or reading fails later.
    if (const auto layout = format::check_layout(value, where, device_bytes, 0); !layout) {
        out.remark(fmt::format("v08 {}\n", layout.error().what));
        return false;
    }
    return true;
}

result<metadata> metadata::open(const invocation& call, const console& out,
                                std::optional<unsigned> minor) {
    auto device = md_device::open(call, out);
    if (!device) {
        return tl::unexpected(device.error());
    }
    metadata opened(call, out, std::move(*device));
    opened.minor_ = minor;
    if (auto looked = opened.look(); !looked) {
        return tl::unexpected(looked.error());
    }
    return opened;
}

result<format::superblock> metadata::read_block(std::uint64_t offset) {
    aligned_buffer buffer(format::block_bytes);
    if (auto read = device_.read(offset, buffer.all(), "superblock"); !read) {
        return tl::unexpected(read.error());
    }
    auto value = format::decode_superblock(buffer.all());
    // Older tools left both fields zero and meant the default.
    const auto striping = value.striping();
    value.al_stripes = striping.count;
    value.al_stripe_size_blocks = striping.blocks;
    return value;
}

result<> metadata::look() {
    const std::uint64_t size = device_.size();
    if (size < data_looked_at_bytes) {
        return stop(10,
                    fmt::format("{} is only {} bytes. That's not enough.\n", device_.name(), size));
    }
    const auto where = call_->where;
    superblock_offset_ =
        where.kind == format::placement_kind::indexed
            ? std::uint64_t{where.index} * format::indexed_slot_sectors * format::sector_bytes
            : format::superblock_offset(where, size).value_or(0);
    if (superblock_offset_ > size - format::block_bytes) {
        return stop(10, fmt::format("Device too small: expecting meta data block at\nbyte offset "
                                    "{}, but {} is only {} bytes.\n",
                                    superblock_offset_, device_.name(), size));
    }
    const auto read = read_block(superblock_offset_);
    if (!read) {
        return tl::unexpected(read.error());
    }
    if (!plausible(*read, where, size, *out_)) {
        damaged_ = read->magic == format::magic_v08 || read->magic == format::magic_v84_unclean;
        return look_at_last_known_place();
    }
    block = *read;
    settle();
    return {};
}

result<> metadata::look_at_last_known_place() {
    if (call_->where.kind != format::placement_kind::internal || !minor_) {
        return {};
    }
    auto loaded = load_last_known(*minor_);
    if (!loaded) {
        // Only a hint is lost: say so and go on as if there were none.
        out_->remark(loaded.error().what);
        return {};
    }
    if (!*loaded) {
        if (out_->verbosity() >= 1) {
            out_->remark("no last-known offset information available.\n");
        }
        return {};
    }
    known_ = **loaded;
    if (known_->size == device_.size() || known_->size < format::block_bytes) {
        return {};
    }
    const std::uint64_t offset =
        format::superblock_offset(call_->where, known_->size).value_or(~std::uint64_t{0});
    bool valid = false;
    format::superblock old;
    if (known_->size < device_.size()) {
        const auto read = read_block(offset);
        if (!read) {
            return tl::unexpected(read.error());
        }
        old = *read;
        valid = plausible(old, call_->where, known_->size, *out_);
    }
    report_last_known(offset, valid);
    if (valid && known_->device_uuid != 0 && old.device_uuid != known_->device_uuid) {
        out_->remark(fmt::format("Last known and found uuid differ!?\n{:016X} != {:016X}\n",
                                 known_->device_uuid, old.device_uuid));
        out_->remark(call_->force ? "You --force'ed me to ignore that.\n"
                                  : "You may --force me to ignore that.\n");
        valid = call_->force;
    }
    if (valid) {
        block = old;
        found_ = md_found::at_last_known_place;
    }
    return {};
}

void metadata::report_last_known(std::uint64_t offset, bool valid) const {
    if (out_->verbosity() < 1) {
        return;
    }
    std::string text = fmt::format("While checking for internal meta data for drbd{} on {},\n"
                                   "it appears that it may have been relocated.\nIt used to be ",
                                   *minor_, device_.name());
    if (!known_->name.empty() && known_->name != device_.name()) {
        text += fmt::format("on {} ", known_->name);
    }
    text += fmt::format("at byte offset {}", offset);
    if (valid) {
        text += ", and seems to still be valid.\n";
    } else {
        text += ", but I cannot find it now.\n";
        if (offset >= device_.size()) {
            text += "Device is too small now!\n";
        }
    }
    out_->remark(text);
}

md_offsets metadata::at() const {
    return offsets_of(block, superblock_offset_);
}

std::uint64_t metadata::max_usable_sectors() const {
    if (call_->where.kind == format::placement_kind::internal) {
        return at().bitmap / format::sector_bytes;
    }
    const std::uint64_t bitmap_sectors =
        block.md_size_sectors - static_cast<std::uint32_t>(block.bm_offset_sectors);
    // Whole words of 64 bits, as the original counts.
    return bitmap_sectors * format::sector_bytes / 8 * 64 * format::block_sectors;
}

std::uint64_t metadata::bitmap_bytes() const {
    return format::bitmap_bytes_on_disk(block.la_size_sectors);
}

bool metadata::al_clean() const {
    return block.magic != format::magic_v84_unclean && block.has(format::md_flag::al_clean);
}

void metadata::clip_size() {
    const std::uint64_t usable = std::min(max_usable_sectors(), format::device_sectors_max);
    if (block.la_size_sectors > usable) {
        out_->print(fmt::format("# la-size-sect was too big ({}), truncated ({})!\n",
                                block.la_size_sectors, usable));
        block.la_size_sectors = usable;
    }
}

void metadata::settle() {
    found_ = md_found::here;
    allow_area();
    clip_size();
}

void metadata::allow_area() {
    const md_offsets areas = at();
    const std::uint64_t from = std::min({areas.superblock, areas.activity_log, areas.bitmap});
    device_.allow_writes(from, from + std::uint64_t{block.md_size_sectors} * format::sector_bytes);
}

result<> metadata::renew(format::al_striping striping) {
    const auto layout = format::lay_out(call_->where, device_.size(), 0, striping);
    if (!layout) {
        return stop(10, fmt::format("{}: {}\n", device_.name(), layout.error().text()));
    }
    block = format::new_superblock(*layout);
    allow_area();
    return {};
}

result<> metadata::relocate() {
    const auto layout = format::lay_out(call_->where, device_.size(), 0, block.striping());
    if (!layout) {
        return stop(10, fmt::format("{}: {}\n", device_.name(), layout.error().text()));
    }
    block.md_size_sectors = layout->md_size_sectors;
    block.al_offset_sectors = layout->al_offset_sectors;
    block.bm_offset_sectors = layout->bm_offset_sectors;
    allow_area();
    return {};
}

result<std::vector<std::byte>> metadata::read_activity_log() {
    const std::uint64_t bytes = block.striping().total_blocks() * format::block_bytes;
    if (bytes > al_bytes_max) {
        return stop(10, fmt::format("{}: an activity log of {} bytes is too large to be read\n",
                                    device_.name(), bytes));
    }
    std::vector<std::byte> area(bytes);
    aligned_buffer chunk(std::min(bytes, al_chunk_bytes));
    for (std::uint64_t done = 0; done < bytes;) {
        const auto part = chunk.first(std::min<std::uint64_t>(chunk.size(), bytes - done));
        if (auto read = device_.read(at().activity_log + done, part, "activity log"); !read) {
            return tl::unexpected(read.error());
        }
        std::copy(part.begin(), part.end(), area.begin() + static_cast<std::ptrdiff_t>(done));
        done += part.size();
    }
    return area;
}

result<> metadata::write_empty_activity_log() {
    const std::uint64_t bytes = block.striping().total_blocks() * format::block_bytes;
    aligned_buffer chunk(std::min(bytes, al_chunk_bytes));
    for (std::size_t i = 0; i < chunk.size(); i += format::block_bytes) {
        format::encode_al_initialized(chunk.all().subspan(i, format::block_bytes));
    }
    if (auto flushed = device_.flush(); !flushed) {
        return flushed;
    }
    for (std::uint64_t done = 0; done < bytes;) {
        const auto part = chunk.first(std::min<std::uint64_t>(chunk.size(), bytes - done));
        if (auto wrote = device_.write(at().activity_log + done, part, "activity log"); !wrote) {
            return wrote;
        }
        done += part.size();
    }
    return {};
}

result<> metadata::write_superblock() {
    LOCKSTEP_CHECK(plausible(block, call_->where, device_.size(), *out_));
    aligned_buffer buffer(format::block_bytes);
    format::encode(block, buffer.all());
    return device_.flush()
        .and_then([&] { return device_.write(superblock_offset_, buffer.all(), "superblock"); })
        .and_then([&] { return device_.flush(); });
}

void metadata::record_device() {
    if (!minor_ || call_->dry_run) {
        return;
    }
    const auto recorded =
        call_->where.kind == format::placement_kind::internal
            ? save_last_known(*minor_, {device_.size(), device_.name(), block.device_uuid})
            : delete_last_known(*minor_);
    if (!recorded) {
        // The metadata itself is written; only a later grown device is harder to find.
        out_->remark(recorded.error().what);
    }
}

} // namespace lockstep::drbdmeta
