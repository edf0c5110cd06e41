// Any superblock on any device: either an error, or a layout inside the device.
#include <cstring>

#include "kernel/base/check.hpp"
#include "kernel/format/bitmap.hpp"
#include "kernel/format/superblock.hpp"

using namespace lockstep;
using namespace lockstep::format;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < superblock_used_bytes + 10) {
        return 0;
    }
    const auto* bytes = reinterpret_cast<const std::byte*>(data);
    std::array<std::byte, block_bytes> block = {};
    std::memcpy(block.data(), bytes + 10, superblock_used_bytes);
    const auto kind = static_cast<placement_kind>(data[0] % 3);
    const placement where{kind, data[1]};
    // Up to 1 PiB.
    const std::uint64_t device = load_big<std::uint64_t>(bytes + 2) >> 14U;
    superblock value = decode_superblock(block);
    std::array<std::byte, block_bytes> again = {};
    encode(value, again);
    LOCKSTEP_CHECK(decode_superblock(again) == value);
    const auto layout = check_attach(value, where, device, device);
    if (layout) {
        LOCKSTEP_CHECK(layout->superblock_offset + block_bytes <= device);
        LOCKSTEP_CHECK(layout->activity_log_offset + layout->activity_log_bytes <= device);
        LOCKSTEP_CHECK(layout->bitmap_offset + layout->bitmap_bytes_max <= device);
        LOCKSTEP_CHECK(bitmap_bytes_on_disk(layout->data_sectors_max) <= layout->bitmap_bytes_max);
    }
    (void)lay_out(where, device, device, value.striping());
    return 0;
}
