// Byte order, and cursors that cannot leave their buffer. Disk and wire are big-endian; the bitmap
// is a little-endian bit stream.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

#include "kernel/base/check.hpp"

namespace lockstep {

using byte_span = std::span<std::byte>;
using const_byte_span = std::span<const std::byte>;

// Whether all of them are zero; memcmp with itself, one byte on, is faster than a loop.
inline bool all_zero(const_byte_span bytes) {
    return bytes.empty() || (bytes[0] == std::byte{0} &&
                             std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

template <class Integer>
constexpr Integer byte_swap(Integer value) {
    static_assert(std::is_unsigned_v<Integer>);
    if constexpr (sizeof(Integer) == 1) {
        return value;
    } else if constexpr (sizeof(Integer) == 2) {
        return __builtin_bswap16(value);
    } else if constexpr (sizeof(Integer) == 4) {
        return __builtin_bswap32(value);
    } else {
        static_assert(sizeof(Integer) == 8);
        return __builtin_bswap64(value);
    }
}

template <class Integer>
constexpr Integer to_big_endian(Integer value) {
    return std::endian::native == std::endian::big ? value : byte_swap(value);
}

template <class Integer>
constexpr Integer to_little_endian(Integer value) {
    return std::endian::native == std::endian::little ? value : byte_swap(value);
}

template <class Integer>
Integer load_big(const std::byte* from) {
    Integer value;
    std::memcpy(&value, from, sizeof value);
    return to_big_endian(value);
}

template <class Integer>
void store_big(std::byte* to, Integer value) {
    value = to_big_endian(value);
    std::memcpy(to, &value, sizeof value);
}

template <class Integer>
Integer load_little(const std::byte* from) {
    Integer value;
    std::memcpy(&value, from, sizeof value);
    return to_little_endian(value);
}

template <class Integer>
void store_little(std::byte* to, Integer value) {
    value = to_little_endian(value);
    std::memcpy(to, &value, sizeof value);
}

// Reads big-endian fields in order. Reading past the end yields zero and makes ok() false for
// good, so a decoder checks once, at its end.
class byte_reader {
public:
    explicit byte_reader(const_byte_span bytes) : bytes_(bytes) {}

    template <class Integer>
    Integer take() {
        if (bytes_.size() - position_ < sizeof(Integer)) {
            ok_ = false;
            position_ = bytes_.size();
            return 0;
        }
        const Integer value = load_big<Integer>(bytes_.data() + position_);
        position_ += sizeof(Integer);
        return value;
    }

    const_byte_span take_bytes(std::size_t count) {
        if (bytes_.size() - position_ < count) {
            ok_ = false;
            position_ = bytes_.size();
            return {};
        }
        const auto part = bytes_.subspan(position_, count);
        position_ += count;
        return part;
    }

    const_byte_span rest() { return take_bytes(bytes_.size() - position_); }
    std::size_t remaining() const { return bytes_.size() - position_; }
    bool ok() const { return ok_; }

private:
    const_byte_span bytes_;
    std::size_t position_ = 0;
    bool ok_ = true;
};

// Writes big-endian fields in order into a buffer whose size the caller has worked out; running
// over it is a programming error.
class byte_writer {
public:
    explicit byte_writer(byte_span bytes) : bytes_(bytes) {}

    template <class Integer>
    void put(Integer value) {
        LOCKSTEP_CHECK(bytes_.size() - position_ >= sizeof(Integer));
        store_big(bytes_.data() + position_, value);
        position_ += sizeof(Integer);
    }

    void put_bytes(const_byte_span bytes) {
        LOCKSTEP_CHECK(bytes_.size() - position_ >= bytes.size());
        if (!bytes.empty()) {
            std::memcpy(bytes_.data() + position_, bytes.data(), bytes.size());
        }
        position_ += bytes.size();
    }

    void put_zeros(std::size_t count) {
        LOCKSTEP_CHECK(bytes_.size() - position_ >= count);
        std::memset(bytes_.data() + position_, 0, count);
        position_ += count;
    }

    std::size_t written() const { return position_; }

private:
    byte_span bytes_;
    std::size_t position_ = 0;
};

} // namespace lockstep
