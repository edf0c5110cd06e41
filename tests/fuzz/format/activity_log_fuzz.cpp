// Any 8.4 activity log. The checksums are made right for half of the blocks, or no input would get
// past them.
#include <algorithm>
#include <cstring>
#include <vector>

#include "kernel/base/check.hpp"
#include "kernel/base/crc32c.hpp"
#include "kernel/format/activity_log.hpp"
#include "kernel/format/al_replay.hpp"

using namespace lockstep;
using namespace lockstep::format;

namespace {

void seal(byte_span block) {
    store_big(block.data(), al_magic);
    store_big(block.data() + 8, std::uint32_t{0});
    store_big(block.data() + 8, crc32c_update(0, block));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 8) {
        return 0;
    }
    constexpr std::array shapes = {al_striping{1, 8}, al_striping{4, 16}, al_striping{3, 5}};
    const al_striping striping = shapes[data[0] % shapes.size()];
    const std::uint64_t extents = data[1] == 0 ? 0 : std::uint64_t{data[2]} << (data[1] % 24);
    std::vector<std::byte> area(striping.total_blocks() * block_bytes);
    // The input is spread over the blocks' first 512 bytes, where everything but context lies.
    const std::size_t heads = striping.total_blocks() * sector_bytes;
    for (std::size_t i = 8; i < size && i - 8 < heads; ++i) {
        const std::size_t at = i - 8;
        area[at / sector_bytes * block_bytes + at % sector_bytes] = std::byte{data[i]};
    }
    for (std::uint64_t i = 0; i < striping.total_blocks(); ++i) {
        if ((data[3 + i % 5] >> (i % 8) & 1U) == 0) {
            seal(byte_span(area).subspan(i * block_bytes, block_bytes));
        }
    }
    const al_replay replay = replay_al84(area, striping, extents);
    LOCKSTEP_CHECK(std::is_sorted(replay.extents.begin(), replay.extents.end()));
    LOCKSTEP_CHECK(extents == 0 || replay.extents.empty() || replay.extents.back() < extents);
    LOCKSTEP_CHECK(replay.updates <= replay.valid_blocks && replay.valid_blocks <= replay.blocks);
    return 0;
}
