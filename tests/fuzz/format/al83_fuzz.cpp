// Any 8.3 activity log, with the sums made right for some of the sectors.
#include <algorithm>
#include <cstring>
#include <vector>

#include "kernel/base/check.hpp"
#include "kernel/format/al_replay.hpp"

using namespace lockstep;
using namespace lockstep::format;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 8) {
        return 0;
    }
    const std::uint32_t slots = load_big<std::uint32_t>(reinterpret_cast<const std::byte*>(data));
    const std::uint64_t extents = std::uint64_t{data[4]} << (data[5] % 24);
    std::vector<std::byte> area(std::size_t{al83_sectors_max} * sector_bytes);
    std::memcpy(area.data(), data + 8, std::min(size - 8, area.size()));
    for (std::size_t i = 0; i < al83_sectors_max; ++i) {
        if ((data[6 + i % 2] >> (i % 8) & 1U) != 0) {
            continue;
        }
        std::byte* sector = area.data() + i * sector_bytes;
        store_big(sector, al83_magic);
        std::uint32_t sum = 0;
        for (std::size_t pair = 0; pair < 62; ++pair) {
            sum ^= load_big<std::uint32_t>(sector + 12 + pair * 8);
        }
        store_big(sector + 504, sum);
    }
    superblock value;
    value.al_nr_extents = slots;
    value.la_size_sectors = extents * al_extent_sectors;
    const al_replay replay = replay_activity_log(value, area);
    LOCKSTEP_CHECK(std::is_sorted(replay.extents.begin(), replay.extents.end()));
    LOCKSTEP_CHECK(extents == 0 || replay.extents.empty() || replay.extents.back() < extents);
    return 0;
}
