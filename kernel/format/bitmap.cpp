#include "kernel/format/bitmap.hpp"

#include <algorithm>

namespace lockstep::format {

void bitmap_from_disk(const_byte_span bytes, std::span<std::uint64_t> words) {
    LOCKSTEP_CHECK(bytes.size() == words.size() * 8);
    for (std::size_t i = 0; i < words.size(); ++i) {
        words[i] = load_little<std::uint64_t>(bytes.data() + i * 8);
    }
}

void bitmap_to_disk(std::span<const std::uint64_t> words, byte_span bytes) {
    LOCKSTEP_CHECK(bytes.size() == words.size() * 8);
    for (std::size_t i = 0; i < words.size(); ++i) {
        store_little(bytes.data() + i * 8, words[i]);
    }
}

std::uint64_t count_bits(const_byte_span bytes) {
    std::uint64_t count = 0;
    std::size_t i = 0;
    for (; i + 8 <= bytes.size(); i += 8) {
        count +=
            static_cast<std::uint64_t>(std::popcount(load_little<std::uint64_t>(bytes.data() + i)));
    }
    for (; i < bytes.size(); ++i) {
        count += static_cast<std::uint64_t>(std::popcount(std::to_integer<std::uint8_t>(bytes[i])));
    }
    return count;
}

std::uint64_t set_bits(byte_span window, std::uint64_t window_first_bit, std::uint64_t first,
                       std::uint64_t count) {
    LOCKSTEP_CHECK(window_first_bit % 8 == 0);
    const std::uint64_t window_end = window_first_bit + window.size() * 8;
    const std::uint64_t end =
        count > window_end || first > window_end - count ? window_end : first + count;
    std::uint64_t newly = 0;
    std::uint64_t bit = std::max(first, window_first_bit);
    while (bit < end) {
        const std::uint64_t at = bit - window_first_bit;
        const std::uint64_t in_byte = at % 8;
        const std::uint64_t run = std::min<std::uint64_t>(8 - in_byte, end - bit);
        const auto mask = static_cast<std::uint8_t>(((1U << run) - 1U) << in_byte);
        auto& byte = window[at / 8];
        const auto old = std::to_integer<std::uint8_t>(byte);
        newly += static_cast<std::uint64_t>(std::popcount(static_cast<std::uint8_t>(mask & ~old)));
        byte = std::byte{static_cast<std::uint8_t>(old | mask)};
        bit += run;
    }
    return newly;
}

void clear_tail(byte_span window, std::uint64_t window_first_bit, std::uint64_t bits) {
    LOCKSTEP_CHECK(window_first_bit % 8 == 0);
    if (bits <= window_first_bit) {
        std::fill(window.begin(), window.end(), std::byte{0});
        return;
    }
    const std::uint64_t keep = bits - window_first_bit;
    if (keep / 8 >= window.size()) {
        return;
    }
    window[keep / 8] &= std::byte{static_cast<std::uint8_t>((1U << (keep % 8)) - 1U)};
    const auto from = window.begin() + static_cast<std::ptrdiff_t>(keep / 8) + 1;
    std::fill(from, window.end(), std::byte{0});
}

} // namespace lockstep::format
