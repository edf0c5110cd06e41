#include "agent/drbdmeta/existing_data.hpp"

#include <blkid.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>

#include <fmt/format.h>

namespace lockstep::drbdmeta {

namespace {

constexpr int exit_data_in_the_way = 40;

bool text_at(const_byte_span head, std::size_t offset, std::string_view text) {
    return std::equal(
        text.begin(), text.end(), head.begin() + static_cast<std::ptrdiff_t>(offset),
        [](char c, std::byte b) { return std::byte{static_cast<unsigned char>(c)} == b; });
}

// Sizes are not among what libblkid 2.38 tells, so they are read here, from the places that each
// filesystem's own documentation gives.
std::optional<existing_data> as_ext(const_byte_span head, const std::string& type) {
    const std::byte* super = head.data() + 0x400;
    if (load_little<std::uint16_t>(super + 0x38) != 0xEF53) {
        return {};
    }
    const bool has_64bit = (load_little<std::uint32_t>(super + 0x60) & 0x80U) != 0;
    const bool has_journal = (load_little<std::uint32_t>(super + 0x5c) & 4U) != 0;
    std::uint64_t blocks = load_little<std::uint32_t>(super + 0x04);
    if (has_64bit) {
        blocks |= std::uint64_t{load_little<std::uint32_t>(super + 0x150)} << 32U;
    }
    const std::uint32_t shift =
        std::min<std::uint32_t>(load_little<std::uint32_t>(super + 0x18), 6);
    const char* name = has_journal ? "ext3" : "ext2";
    return existing_data{fmt::format("{} filesystem", type == "ext4" ? "ext4" : name), true,
                         blocks << (10U + shift), false};
}

std::optional<existing_data> as_xfs(const_byte_span head) {
    if (!text_at(head, 0, "XFSB")) {
        return {};
    }
    return existing_data{"xfs filesystem", true,
                         std::uint64_t{load_big<std::uint32_t>(head.data() + 4)} *
                             load_big<std::uint64_t>(head.data() + 8),
                         false};
}

std::optional<existing_data> as_jfs(const_byte_span head) {
    if (!text_at(head, 0x8000, "JFS1")) {
        return {};
    }
    return existing_data{"JFS filesystem", true,
                         load_little<std::uint64_t>(head.data() + 0x8008) *
                             load_little<std::uint32_t>(head.data() + 0x8018),
                         false};
}

std::optional<existing_data> as_reiserfs(const_byte_span head) {
    if (!text_at(head, 0x10034, "ReIsErFs") && !text_at(head, 0x10034, "ReIsEr2Fs")) {
        return {};
    }
    return existing_data{"reiser filesystem", true,
                         std::uint64_t{load_little<std::uint32_t>(head.data() + 0x10000)} *
                             load_little<std::uint16_t>(head.data() + 0x1002c),
                         false};
}

std::optional<existing_data> as_btrfs(const_byte_span head) {
    if (!text_at(head, 0x10040, "_BHRfS_M")) {
        return {};
    }
    return existing_data{"btrfs filesystem", true,
                         load_little<std::uint64_t>(head.data() + 0x10070), false};
}

std::optional<existing_data> as_swap(const_byte_span head) {
    for (const std::size_t page : {std::size_t{4096}, std::size_t{8192}}) {
        if (text_at(head, page - 10, "SWAP-SPACE") || text_at(head, page - 10, "SWAPSPACE2")) {
            return existing_data{"swap space signature", true, {}, true};
        }
    }
    return {};
}

std::optional<existing_data> as_lvm(const_byte_span head) {
    if (!text_at(head, 0x218, "LVM2")) {
        return {};
    }
    return existing_data{"LVM2 physical volume signature", true, {}, false};
}

// The type that libblkid sees, empty if none, "several signatures" if it cannot decide.
std::string blkid_type(const std::string& device) {
    // A descriptor of its own: libblkid reads small unaligned pieces, direct I/O would refuse.
    const int fd = ::open(device.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return {};
    }
    const std::unique_ptr<blkid_struct_probe, void (*)(blkid_probe)> probe(blkid_new_probe(),
                                                                           blkid_free_probe);
    std::string type;
    if (probe && blkid_probe_set_device(probe.get(), fd, 0, 0) == 0) {
        blkid_probe_enable_superblocks(probe.get(), 1);
        blkid_probe_set_superblocks_flags(probe.get(), BLKID_SUBLKS_TYPE);
        const int found = blkid_do_safeprobe(probe.get());
        const char* value = nullptr;
        if (found == -2) {
            type = "several signatures";
        } else if (found == 0 &&
                   blkid_probe_lookup_value(probe.get(), "TYPE", &value, nullptr) == 0) {
            type = value;
        }
    }
    ::close(fd);
    return type;
}

// How far the partitions reach. A GPT has a second copy of itself at the end of the device.
std::optional<existing_data> as_partition_table(const std::string& device) {
    const std::unique_ptr<blkid_struct_probe, void (*)(blkid_probe)> probe(
        blkid_new_probe_from_filename(device.c_str()), blkid_free_probe);
    blkid_partlist partitions = probe ? blkid_probe_get_partitions(probe.get()) : nullptr;
    blkid_parttable table = partitions != nullptr ? blkid_partlist_get_table(partitions) : nullptr;
    if (table == nullptr) {
        return {};
    }
    constexpr std::int64_t sector_bytes = 512; // libblkid counts in these on every device
    const std::string type = blkid_parttable_get_type(table);
    std::int64_t end = type == "gpt" ? blkid_probe_get_size(probe.get()) : sector_bytes;
    for (int i = 0; i < blkid_partlist_numof_partitions(partitions); ++i) {
        blkid_partition one = blkid_partlist_get_partition(partitions, i);
        end = std::max<std::int64_t>(
            end, (blkid_partition_get_start(one) + blkid_partition_get_size(one)) * sector_bytes);
    }
    return existing_data{type + " partition table", true, static_cast<std::uint64_t>(end), false};
}

} // namespace

std::optional<existing_data> recognise(const std::string& device, const_byte_span head) {
    const std::string type = blkid_type(device);
    for (auto& found : {as_swap(head), as_lvm(head), as_ext(head, type), as_xfs(head), as_jfs(head),
                        as_reiserfs(head), as_btrfs(head)}) {
        if (found) {
            return found;
        }
    }
    // "drbd" is metadata, which the caller knows better.
    if (!type.empty() && type != "drbd") {
        return existing_data{type, true, {}, false};
    }
    const bool blank =
        std::all_of(head.begin(), head.end(), [](std::byte b) { return b == std::byte{0}; });
    if (blank) {
        return {};
    }
    if (auto table = as_partition_table(device)) {
        return table;
    }
    return existing_data{"some data", false, {}, false};
}

namespace {

result<> refuse(const metadata& target, std::string_view why, std::string_view way_out) {
    const console& out = target.out();
    out.print(why);
    if (target.call().ignore_sanity_checks) {
        out.print("\nIgnoring sanity check on user request.\n\n");
        return {};
    }
    out.print(way_out);
    out.print("Operation refused.\n\n");
    return stop(exit_data_in_the_way);
}

constexpr std::string_view zero_it_out =
    "If you want me to do this, you need to zero out the first part\n"
    "of the device (destroy the content).\n"
    "You should be very sure that you mean it.\n";

constexpr std::string_view truncated = "Device size would be truncated, which\n"
                                       "would corrupt data and result in\n"
                                       "'access beyond end of device' errors.\n";

result<> weigh_internal(const metadata& target, const existing_data& data) {
    const console& out = target.out();
    const std::uint64_t usable_kib = target.max_usable_sectors() / 2;
    const std::uint64_t used_kib = (data.size.value_or(0) + 1023) / 1024;
    if (data.size) {
        out.print(fmt::format("{:>12} kB data area apparently used\n", used_kib));
    }
    out.print(fmt::format("{:>12} kB left usable by current configuration\n", usable_kib));
    if (!data.size) {
        if (!data.takes_whole_device) {
            out.print("Could not determine the size of the actually used data area.\n\n");
        }
        return refuse(target, truncated, zero_it_out);
    }
    if (used_kib > usable_kib) {
        out.print("\n");
        out.print(truncated);
        out.print("You need to either\n"
                  "   * use external meta data (recommended)\n"
                  "   * shrink that filesystem first\n"
                  "   * zero out the device (destroy the filesystem)\n"
                  "Operation refused.\n\n");
        return stop(exit_data_in_the_way);
    }
    out.print("\nEven though it looks like this would place the new meta data into\n"
              "unused space, you still need to confirm, as this is only a guess.\n");
    return {};
}

} // namespace

result<> check_for_existing_data(metadata& target) {
    aligned_buffer head(data_looked_at_bytes);
    if (auto read = target.device().read(0, head.all(), "existing data"); !read) {
        return read;
    }
    const auto data = recognise(target.device().name(), head.all());
    if (!data) {
        return {};
    }
    const console& out = target.out();
    const md_offsets at = target.at();
    out.print(fmt::format("md_offset {}\nal_offset {}\nbm_offset {}\n\nFound {}\n", at.superblock,
                          at.activity_log, at.bitmap, data->type));
    if (!data->known) {
        out.print("\n ==> This might destroy existing data! <==\n");
    } else {
        const bool internal = target.call().where.kind == format::placement_kind::internal;
        auto weighed = internal
                           ? weigh_internal(target, *data)
                           : refuse(target, "\nThis would corrupt existing data.\n", zero_it_out);
        if (!weighed || (target.call().ignore_sanity_checks && (!internal || !data->size))) {
            return weighed;
        }
    }
    if (!out.confirmed("Do you want to proceed?")) {
        out.print("Operation canceled.\n");
        return stop(1);
    }
    return {};
}

} // namespace lockstep::drbdmeta
