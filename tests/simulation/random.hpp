// The only source of chance in a simulated world: the same seed gives the same run.
#pragma once

#include <cstdint>

namespace lockstep::simulation {

class random_source {
public:
    // Neighbouring seeds give sequences that have nothing in common.
    explicit random_source(std::uint64_t seed) : state_(seed) { state_ = next() ^ (seed << 32U); }

    // splitmix64 (public domain, Sebastiano Vigna).
    std::uint64_t next() {
        std::uint64_t mixed = (state_ += 0x9e3779b97f4a7c15U);
        mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9U;
        mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111ebU;
        return mixed ^ (mixed >> 31U);
    }
    // 0 .. limit - 1; limit > 0.
    std::uint64_t below(std::uint64_t limit) { return next() % limit; }
    std::uint64_t between(std::uint64_t low, std::uint64_t high) {
        return low + below(high - low + 1);
    }
    bool percent(unsigned chance) { return below(100) < chance; }
    bool permille(unsigned chance) { return below(1000) < chance; }

private:
    std::uint64_t state_;
};

} // namespace lockstep::simulation
