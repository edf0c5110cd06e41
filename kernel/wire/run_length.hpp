// The code of COMPRESSED_BITMAP: lengths of runs of alternating kind, as a stream of bits, least
// significant bit of each byte first.
//
//   byte 0   bits 0-3 code, always 2   bits 4-6 unused bits in the last byte
//            bit 7 the first run is of set bits
//   then     the runs. A run is a prefix and data bits; its length is data + base:
//
//            prefix bits, value   data bits   base           longest
//            1  0x00               1          1              2
//            2  0x01               1          3              4
//            3  0x03               2          5              8
//            4  0x07               3          9              16
//            5  0x0f               5          17             48
//            6  0x1f               8          49             304
//            8  0x3f              13          305            0x2130
//            8  0x7f              21          0x2131         0x202130
//            8  0xbf              34          0x202131       0x400202130
//            8  0xff              56          0x400202131    0x100000400202130
//
// There is no end mark: the transfer is complete when the runs reach the last bit. Example: 310
// bits, all set: b2 3f 05 00.
//
// Source: Linux 6.1 drivers/block/drbd/drbd_vli.h, fill_bitmap_rle_bits() and recv_bm_rle_bits().
#pragma once

#include <optional>

#include "kernel/base/bytes.hpp"
#include "kernel/base/error.hpp"

namespace lockstep::wire {

struct bit_range {
    std::uint64_t first = 0;
    std::uint64_t count = 0; // at least 1
    bool set = false;

    bool operator==(const bit_range&) const = default;
};

// Packs run lengths into a buffer, which it overwrites as far as it gets.
class run_encoder {
public:
    explicit run_encoder(byte_span code) : code_(code) {}

    // `length` is at least 1. False if it does not fit: then nothing was written.
    bool put(std::uint64_t length);

    std::size_t bytes() const { return (bits_ + 7) / 8; }
    std::uint8_t unused_bits() const { return static_cast<std::uint8_t>(bytes() * 8 - bits_); }

private:
    void put_bits(std::uint64_t value, unsigned count);

    byte_span code_;
    std::size_t bits_ = 0;
};

// What went into one COMPRESSED_BITMAP.
struct compressed_part {
    std::size_t payload_bytes = 0; // 0: the code would be longer than the bits; send them plain
    std::uint64_t next_bit = 0;    // where the next packet of the transfer starts
};

// Fills at most `payload` with the runs from bit `from` (below `bit_count`) on. `bits` is asked as
// far as it is needed:
//
//   bits.find_next_set(bit), bits.find_next_clear(bit): the first such bit at or after `bit`, or
//   any number from bit_count on if there is none
//
// It must not change during the call. When the result is empty, the transfer goes on with a plain
// packet, from the border of 64 bits at or below `from`.
template <class Bits>
compressed_part encode_runs(byte_span payload, std::uint64_t from, std::uint64_t bit_count,
                            const Bits& bits);

// Yields the runs of one COMPRESSED_BITMAP. Each next() gives a run, nothing at the end of the
// code, or an error: a run past the last bit, or code that ends within a run.
class run_decoder {
public:
    // `payload` must stay valid. `from` is where the previous packet of the transfer ended.
    static result<run_decoder> start(const_byte_span payload, std::uint64_t from,
                                     std::uint64_t bit_count);

    result<std::optional<bit_range>> next();

    // Where the next packet of the transfer starts, once next() has given nothing.
    std::uint64_t next_bit() const { return next_bit_; }

private:
    run_decoder() = default;
    std::size_t bits_left() const { return bits_end_ - bits_; }
    std::uint64_t look(unsigned count) const;

    const_byte_span code_;
    std::size_t bits_ = 0;
    std::size_t bits_end_ = 0;
    std::uint64_t next_bit_ = 0;
    std::uint64_t bit_count_ = 0;
    bool set_ = false;
};

namespace detail {

// The first byte of the payload.
std::byte compressed_bitmap_mark(bool first_is_set, std::uint8_t unused_bits);

} // namespace detail

template <class Bits>
compressed_part encode_runs(byte_span payload, std::uint64_t from, std::uint64_t bit_count,
                            const Bits& bits) {
    LOCKSTEP_CHECK(from < bit_count && payload.size() > 1);
    const bool first_is_set = bits.find_next_set(from) == from;
    run_encoder code(payload.subspan(1));
    std::uint64_t at = from;
    for (bool set = first_is_set; at < bit_count; set = !set) {
        const std::uint64_t found = set ? bits.find_next_clear(at) : bits.find_next_set(at);
        const std::uint64_t end = found < bit_count ? found : bit_count;
        if (!code.put(end - at)) {
            break;
        }
        at = end;
    }
    if (at == from || at - from < code.bytes() * 8) {
        return {0, from / 64 * 64};
    }
    payload.front() = detail::compressed_bitmap_mark(first_is_set, code.unused_bits());
    return {1 + code.bytes(), at};
}

} // namespace lockstep::wire
