// create-md: new metadata, after making sure that nothing of value is in its place.
#include <algorithm>

#include <fmt/format.h>

#include "agent/drbdmeta/commands.hpp"
#include "agent/drbdmeta/existing_data.hpp"

namespace lockstep::drbdmeta {

namespace {

// Version 0.7 has its magic behind a size and five generation counters.
constexpr std::size_t magic_v07_offset = 28;
// Its internal metadata took the last 128 MiB of the device, the superblock first.
constexpr std::uint64_t fixed_internal_bytes =
    std::uint64_t{format::indexed_slot_sectors} * format::sector_bytes;

tl::unexpected<error> cancelled(const session& with) {
    with.out.print("Operation cancelled.\n");
    return stop(1);
}

// Metadata of other versions describes somebody's data: it is neither converted nor replaced
// here, whatever is forced.
result<> refuse_foreign(metadata& target, std::uint64_t offset) {
    aligned_buffer buffer(format::block_bytes);
    if (auto read = target.device().read(offset, buffer.all(), "other metadata"); !read) {
        return read;
    }
    const char* version = nullptr;
    if (format::decode_superblock(buffer.all()).magic == format::magic_v09) {
        version = "v09";
    } else if (load_big<std::uint32_t>(buffer.all().data() + magic_v07_offset) ==
               format::magic_v07) {
        version = "v07";
    }
    if (version == nullptr) {
        return {};
    }
    return stop(20, fmt::format("There appears to be a {} meta data block already in place on {} "
                                "at byte offset {}.\nConverting it is not supported. Convert it "
                                "with the drbdmeta of drbd-utils, or, if it is of no use any "
                                "more,\nremove it first: dd if=/dev/zero of={} bs=4096 seek={} "
                                "count=1 conv=notrunc\n",
                                version, target.device().name(), offset, target.device().name(),
                                offset / format::block_bytes));
}

result<> refuse_foreign(metadata& target) {
    const std::uint64_t size = target.device().size();
    if (target.call().where.kind == format::placement_kind::internal &&
        size >= fixed_internal_bytes + format::block_bytes) {
        const std::uint64_t fixed =
            size / format::block_bytes * format::block_bytes - fixed_internal_bytes;
        if (auto free = refuse_foreign(target, fixed); !free) {
            return free;
        }
    }
    return refuse_foreign(target, target.superblock_offset());
}

result<> ask_to_overwrite(const session& with, const metadata& target) {
    if (with.call.where.kind != format::placement_kind::internal) {
        if (!with.out.confirmed("Valid meta data seems to be in place.\n"
                                "Do you really want to overwrite?")) {
            return cancelled(with);
        }
        return {};
    }
    with.out.remark(fmt::format("You want me to create a v08 style flexible-size internal meta "
                                "data block.\nThere appears to be a v08 flexible-size internal "
                                "meta data block\nalready in place on {} at byte offset {}\n",
                                with.call.device, target.superblock_offset()));
    if (target.block.striping() != with.call.striping &&
        with.out.confirmed("Do you want to change the activity log stripe settings *only*?")) {
        return stop(30, "Sorry, not yet fully implemented\n"
                        "Try dump-md > dump.txt; restore-md -s x -z y dump.txt\n");
    }
    if (!with.out.confirmed("Do you really want to overwrite the existing meta-data?")) {
        return cancelled(with);
    }
    return {};
}

result<> zero_bitmap(const session& with, metadata& target) {
    if (with.call.bitmap == bitmap_mode::skip) {
        with.out.remark("SKIPPED initializing bitmap area\n");
        return {};
    }
    const auto layout =
        format::lay_out(with.call.where, target.device().size(), 0, target.block.striping());
    if (!layout) {
        return tl::unexpected(layout.error());
    }
    // No more than a bitmap for the largest device, however large the metadata device is.
    constexpr std::uint64_t largest = format::device_sectors_max / format::block_sectors / 8;
    const std::uint64_t bytes = std::min(layout->bitmap_bytes_max, largest);
    with.out.remark(fmt::format("initializing bitmap ({}) to all zero{}\n",
                                pretty_size(bytes / 1024),
                                with.call.bitmap == bitmap_mode::pwrite ? " using pwrite" : ""));
    return target.device().zero(layout->bitmap_offset, bytes, with.call.bitmap);
}

result<> write_all(const session& with, metadata& target) {
    with.out.print("initializing activity log\n");
    return target.write_empty_activity_log()
        .and_then([&] { return zero_bitmap(with, target); })
        .and_then([&] {
            target.block.peer_max_bio_size = with.call.peer_max_bio_size;
            with.out.print("Writing meta data...\n");
            return target.write_superblock();
        });
}

} // namespace

outcome create_md(const session& with) {
    with.expect_arguments(0);
    auto opened = metadata::open(with.call, with.out, with.minor);
    if (!opened) {
        return tl::unexpected(opened.error());
    }
    metadata& target = *opened;
    if (target.found() == md_found::at_last_known_place) {
        if (with.call.striping_given && target.block.striping() != with.call.striping) {
            return stop(20, "Cannot move after offline resize and change AL-striping at the same "
                            "time, yet.\n");
        }
        if (!with.call.force &&
            with.out.confirmed("Move internal meta data from last-known position?\n")) {
            const auto moved = check_for_existing_data(target).and_then(
                [&target] { return move_after_resize(target); });
            if (!moved) {
                return tl::unexpected(moved.error());
            }
            return 0;
        }
    }
    const auto may =
        target.found() == md_found::here ? ask_to_overwrite(with, target) : refuse_foreign(target);
    const auto created = may.and_then([&] { return target.renew(with.call.striping); })
                             .and_then([&] { return check_for_existing_data(target); })
                             .and_then([&] { return write_all(with, target); });
    if (!created) {
        return tl::unexpected(created.error());
    }
    target.record_device();
    with.out.print("New drbd meta data block successfully created.\n");
    return 0;
}

} // namespace lockstep::drbdmeta
