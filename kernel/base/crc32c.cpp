#include "kernel/base/crc32c.hpp"

#include <array>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace lockstep {
namespace {

constexpr std::uint32_t polynomial = 0x82F63B78U;

// Eight tables, so that eight bytes are folded in one step.
constexpr auto tables = [] {
    std::array<std::array<std::uint32_t, 256>, 8> made{};
    for (std::uint32_t value = 0; value < 256; ++value) {
        std::uint32_t crc = value;
        for (int bit = 0; bit < 8; ++bit) {
            crc = (crc >> 1) ^ ((crc & 1U) != 0 ? polynomial : 0U);
        }
        made[0][value] = crc;
    }
    for (std::size_t table = 1; table < made.size(); ++table) {
        for (std::size_t value = 0; value < 256; ++value) {
            const std::uint32_t before = made[table - 1][value];
            made[table][value] = (before >> 8) ^ made[0][before & 0xFFU];
        }
    }
    return made;
}();

std::uint32_t fold_eight(std::uint32_t crc, const std::byte* bytes) {
    const auto word = load_little<std::uint64_t>(bytes) ^ crc;
    std::uint32_t folded = 0;
    for (unsigned index = 0; index < 8; ++index) {
        folded ^= tables[7 - index][(word >> (8 * index)) & 0xFFU];
    }
    return folded;
}

#if defined(__x86_64__)
// The processor's own instruction is for this very polynomial.
__attribute__((target("sse4.2"))) std::uint32_t update_by_instruction(std::uint32_t crc,
                                                                      const_byte_span bytes) {
    std::uint64_t wide = crc;
    std::size_t position = 0;
    for (; position + 8 <= bytes.size(); position += 8) {
        wide = _mm_crc32_u64(wide, load_little<std::uint64_t>(bytes.data() + position));
    }
    auto narrow = static_cast<std::uint32_t>(wide);
    for (; position < bytes.size(); ++position) {
        narrow = _mm_crc32_u8(narrow, static_cast<std::uint8_t>(bytes[position]));
    }
    return narrow;
}

const bool has_instruction = __builtin_cpu_supports("sse4.2") != 0;
#endif

} // namespace

std::uint32_t crc32c_update(std::uint32_t crc, const_byte_span bytes) {
#if defined(__x86_64__)
    if (has_instruction) {
        return update_by_instruction(crc, bytes);
    }
#endif
    std::size_t position = 0;
    for (; position + 8 <= bytes.size(); position += 8) {
        crc = fold_eight(crc, bytes.data() + position);
    }
    for (; position < bytes.size(); ++position) {
        crc = (crc >> 8) ^ tables[0][(crc ^ static_cast<std::uint32_t>(bytes[position])) & 0xFFU];
    }
    return crc;
}

std::uint32_t crc32c(const_byte_span bytes) {
    return ~crc32c_update(~0U, bytes);
}

} // namespace lockstep
