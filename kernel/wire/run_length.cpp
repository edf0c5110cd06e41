#include "kernel/wire/run_length.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace lockstep::wire {

namespace {

struct run_class {
    std::uint8_t prefix_bits;
    std::uint8_t prefix;
    std::uint8_t data_bits;
    std::uint64_t base;

    constexpr unsigned total_bits() const { return unsigned{prefix_bits} + data_bits; }
    constexpr std::uint64_t longest() const { return base + (std::uint64_t{1} << data_bits) - 1; }
};

constexpr std::array<run_class, 10> classes{{
    {1, 0x00, 1, 1},
    {2, 0x01, 1, 3},
    {3, 0x03, 2, 5},
    {4, 0x07, 3, 9},
    {5, 0x0f, 5, 17},
    {6, 0x1f, 8, 49},
    {8, 0x3f, 13, 305},
    {8, 0x7f, 21, 0x2131},
    {8, 0xbf, 34, 0x202131},
    {8, 0xff, 56, 0x400202131},
}};

// No run length can be written in two ways, and none is left out.
constexpr bool classes_follow_each_other() {
    for (std::size_t i = 1; i < classes.size(); ++i) {
        if (classes[i].base != classes[i - 1].longest() + 1) {
            return false;
        }
    }
    return classes[0].base == 1 && classes.back().total_bits() == 64;
}
static_assert(classes_follow_each_other());

constexpr std::uint8_t code_run_length = 2;

constexpr std::uint64_t low_bits(unsigned count) {
    return count >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
}

// The prefixes are complete: any eight bits start with exactly one of them.
const run_class& class_of_code(std::uint64_t code) {
    const auto* const found = std::find_if(classes.begin(), classes.end(), [code](const auto& c) {
        return (code & low_bits(c.prefix_bits)) == c.prefix;
    });
    LOCKSTEP_CHECK(found != classes.end());
    return *found;
}

} // namespace

bool run_encoder::put(std::uint64_t length) {
    LOCKSTEP_CHECK(length >= 1 && length <= classes.back().longest());
    const auto* const fit = std::find_if(classes.begin(), classes.end(),
                                         [length](const auto& c) { return length <= c.longest(); });
    if (code_.size() * 8 - bits_ < fit->total_bits()) {
        return false;
    }
    put_bits(fit->prefix | (length - fit->base) << fit->prefix_bits, fit->total_bits());
    return true;
}

void run_encoder::put_bits(std::uint64_t value, unsigned count) {
    while (count > 0) {
        auto& byte = code_[bits_ / 8];
        const auto used = static_cast<unsigned>(bits_ % 8);
        if (used == 0) {
            byte = std::byte{0};
        }
        const unsigned now = std::min(count, 8 - used);
        byte |= static_cast<std::byte>((value & low_bits(now)) << used);
        value >>= now;
        bits_ += now;
        count -= now;
    }
}

result<run_decoder> run_decoder::start(const_byte_span payload, std::uint64_t from,
                                       std::uint64_t bit_count) {
    LOCKSTEP_CHECK(from <= bit_count);
    if (payload.size() < 2) {
        return fail(
            fmt::format("COMPRESSED_BITMAP: length {}, expected at least 2", payload.size()));
    }
    const auto mark = std::to_integer<unsigned>(payload.front());
    if ((mark & 0xf) != code_run_length) {
        return fail(
            fmt::format("COMPRESSED_BITMAP: code {}, expected {}", mark & 0xf, code_run_length));
    }
    run_decoder out;
    out.code_ = payload.subspan(1);
    out.bits_end_ = out.code_.size() * 8 - (mark >> 4 & 7);
    out.next_bit_ = from;
    out.bit_count_ = bit_count;
    out.set_ = (mark & 0x80) != 0;
    return out;
}

// The next bits, at most 64, zeros past the end.
std::uint64_t run_decoder::look(unsigned count) const {
    std::uint64_t out = 0;
    unsigned have = 0;
    for (std::size_t at = bits_; have < count && at < bits_end_;) {
        const auto skip = static_cast<unsigned>(at % 8);
        const auto in_byte =
            static_cast<unsigned>(std::min<std::size_t>({8 - skip, count - have, bits_end_ - at}));
        const std::uint64_t value = std::to_integer<unsigned>(code_[at / 8]) >> skip;
        out |= (value & low_bits(in_byte)) << have;
        have += in_byte;
        at += in_byte;
    }
    return out;
}

result<std::optional<bit_range>> run_decoder::next() {
    if (bits_left() == 0) {
        return std::optional<bit_range>{};
    }
    const auto code = look(64);
    const auto& found = class_of_code(code);
    if (found.total_bits() > bits_left()) {
        return fail(
            fmt::format("COMPRESSED_BITMAP: code ends within the run at bit {}", next_bit_));
    }
    const auto length = (code >> found.prefix_bits & low_bits(found.data_bits)) + found.base;
    if (length > bit_count_ - next_bit_) {
        return fail(fmt::format("COMPRESSED_BITMAP: run of {} at bit {} goes past the last of {}",
                                length, next_bit_, bit_count_));
    }
    const bit_range out{next_bit_, length, set_};
    bits_ += found.total_bits();
    next_bit_ += length;
    set_ = !set_;
    return std::optional<bit_range>{out};
}

std::byte detail::compressed_bitmap_mark(bool first_is_set, std::uint8_t unused_bits) {
    return static_cast<std::byte>((first_is_set ? 0x80U : 0U) | unsigned{unused_bits} << 4 |
                                  code_run_length);
}

} // namespace lockstep::wire
