// A bitmap that is only right, not fast.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

namespace lockstep::support {

class plain_bits {
public:
    explicit plain_bits(std::uint64_t count) : words_((count + 63) / 64), count_(count) {}

    bool operator==(const plain_bits&) const = default;

    std::uint64_t count() const { return count_; }
    void set(std::uint64_t bit) { words_[bit / 64] |= std::uint64_t{1} << bit % 64; }
    void set(std::uint64_t first, std::uint64_t count) {
        for (std::uint64_t i = 0; i < count; ++i) {
            set(first + i);
        }
    }
    bool test(std::uint64_t bit) const { return (words_[bit / 64] >> bit % 64 & 1) != 0; }
    std::uint64_t find_next_set(std::uint64_t from) const { return find(from, true); }
    std::uint64_t find_next_clear(std::uint64_t from) const { return find(from, false); }

    std::uint64_t weight() const {
        std::uint64_t out = 0;
        for (const auto word : words_) {
            out += static_cast<std::uint64_t>(std::popcount(word));
        }
        return out;
    }

    bool includes(const plain_bits& other) const {
        for (std::size_t i = 0; i < words_.size(); ++i) {
            if ((other.words_[i] & ~words_[i]) != 0) {
                return false;
            }
        }
        return true;
    }

    std::vector<std::uint64_t>& words() { return words_; }
    const std::vector<std::uint64_t>& words() const { return words_; }

private:
    std::uint64_t find(std::uint64_t from, bool value) const {
        while (from < count_ && test(from) != value) {
            ++from;
        }
        return from;
    }

    std::vector<std::uint64_t> words_;
    std::uint64_t count_;
};

} // namespace lockstep::support
