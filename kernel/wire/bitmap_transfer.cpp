#include "kernel/wire/bitmap_transfer.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "kernel/base/check.hpp"

namespace lockstep::wire {

bitmap_transfer::bitmap_transfer(std::uint64_t bit_count, const protocol& rules)
    : bit_count_(bit_count), packet_bytes_(rules.bitmap_bytes()) {}

std::size_t bitmap_transfer::plain_bytes() const {
    if (covered()) {
        return 0;
    }
    const std::uint64_t words = (bit_count_ + 63) / 64 - next_word();
    return static_cast<std::size_t>(std::min<std::uint64_t>(words * 8, packet_bytes_));
}

result<> bitmap_transfer::check_plain(std::size_t length) const {
    if (done_) {
        return fail("BITMAP: comes after the end of the transfer");
    }
    if (length != plain_bytes()) {
        return fail(fmt::format("BITMAP: length {}, expected {} at bit {} of {}", length,
                                plain_bytes(), next_bit_, bit_count_));
    }
    return {};
}

result<run_decoder> bitmap_transfer::decode_runs(const_byte_span payload) const {
    if (done_) {
        return fail("COMPRESSED_BITMAP: comes after the end of the transfer");
    }
    return run_decoder::start(payload, next_bit_, bit_count_);
}

void bitmap_transfer::passed_plain() {
    LOCKSTEP_CHECK(!done_);
    const auto bytes = plain_bytes();
    done_ = bytes == 0;
    next_bit_ = done_ ? bit_count_ : std::min((next_word() + bytes / 8) * 64, bit_count_);
}

void bitmap_transfer::passed_runs(std::uint64_t next_bit) {
    LOCKSTEP_CHECK(!done_ && next_bit > next_bit_ && next_bit <= bit_count_);
    next_bit_ = next_bit;
    done_ = covered();
}

} // namespace lockstep::wire
