// A disk with a volatile cache. What was written is seen by reads at once; it survives a crash for
// certain only when a flush that was submitted after its end has ended, or if it was written with
// FUA. At a crash each sector that is not certain keeps its last durable content or any later one,
// and each sector of a write under way may or may not have got there.
//
// Only what was ever written takes memory and time, however large the disk is.
#pragma once

#include <array>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "event_queue.hpp"
#include "kernel/base/bytes.hpp"
#include "kernel/replica/ports.hpp"
#include "random.hpp"

namespace lockstep::simulation {

constexpr std::size_t sector_bytes = 512;
using sector = std::array<std::byte, sector_bytes>;

struct disk_faults {
    unsigned read_error_permille = 0;
    unsigned write_error_permille = 0;
    unsigned flush_error_permille = 0;
    bool dead = false; // every request fails
    bool hung = false; // no request ends
    instant latency_max = 2'000'000;
    instant flush_latency = 0; // besides the latency that all requests have
};

// What a broken disk or driver would do wrong: the checker has to find it.
struct disk_sabotage {
    bool ignore_flush = false;
    bool ignore_fua = false;
};

struct disk_counters {
    std::uint64_t reads = 0;
    std::uint64_t writes = 0;
    std::uint64_t fua_writes = 0; // of these
    std::uint64_t flushes = 0;
    std::uint64_t discards = 0;
    std::uint64_t zeroes = 0;
};

class disk {
public:
    disk(event_queue& events, random_source& random, std::uint64_t sectors);
    ~disk();
    disk(const disk&) = delete;
    disk& operator=(const disk&) = delete;

    std::uint64_t sectors() const { return sectors_; }
    std::uint64_t flushes = 0; // that have ended
    // Another size, nobody is told; what lies beyond a smaller one is kept.
    void grow(std::uint64_t sectors);
    disk_faults faults;
    disk_sabotage sabotage;
    disk_counters counters; // requests submitted

    // `ended` reports to the node; it is not called if the machine crashed meanwhile.
    void submit(replica::disk_request& request,
                std::function<void(replica::disk_request&, int)> ended);
    // The machine loses power: requests under way are gone, the cache is lost in parts.
    void crash();
    // Requests that hang go on (or fail).
    void unhang();
    // A new, empty disk of the same size in its place. Nothing may be under way.
    void replace();

    // For tools and checkers: at once, durable, without faults.
    void read_now(std::uint64_t offset, byte_span into) const;
    void write_now(std::uint64_t offset, const_byte_span from);
    // The cache has written back by itself.
    void write_back() { harden(++stamp_); }
    // Called with something that broke the rules of a disk's use.
    std::function<void(const std::string&)> on_complaint;
    std::uint64_t writes_ended() const { return writes_ended_; }
    std::size_t under_way() const { return under_way_.size(); }
    std::uint64_t errors() const { return errors_; }

private:
    static constexpr std::uint64_t chunk_sectors = 8;
    static constexpr std::size_t chunk_bytes = chunk_sectors * sector_bytes;
    using chunk_content = std::array<std::byte, chunk_bytes>;

    // What a write left in the cache for one chunk.
    struct version {
        std::uint64_t stamp;
        unsigned mask; // a bit for each sector that it wrote
        std::unique_ptr<chunk_content> content;
    };
    struct chunk {
        chunk_content durable{};
        std::vector<version> cached; // oldest first
    };
    struct pending {
        replica::disk_request* request;
        std::function<void(replica::disk_request&, int)> ended;
        std::uint64_t stamp; // of a flush: what was reported before it
    };
    struct released {
        void operator()(void* memory) const noexcept { std::free(memory); }
    };

    void count(const replica::disk_request& request);
    void schedule(std::uint64_t id);
    void finish(std::uint64_t id);
    void apply(const replica::disk_request& request, bool durable, bool torn);
    void put(std::uint64_t at, unsigned mask, const std::byte* first_sector, bool durable);
    void harden(std::uint64_t stamp);
    chunk& chunk_at(std::uint64_t index);
    std::unique_ptr<chunk_content> blank();
    void drop_chunks();
    void check_overlap(const replica::disk_request& request);
    void complain(const std::string& about) const;

    event_queue& events_;
    random_source& random_;
    std::uint64_t sectors_;
    std::uint64_t places_;                       // of chunks_
    std::unique_ptr<chunk*[], released> chunks_; // zeroed lazily by the C library
    std::vector<std::uint64_t> made_;            // indices of the chunks that exist
    std::vector<std::uint64_t> dirty_;           // of those with something cached
    std::vector<std::unique_ptr<chunk_content>> spare_;
    std::map<std::uint64_t, pending> under_way_;
    std::uint64_t next_id_ = 0;
    std::uint64_t stamp_ = 0;
    std::uint64_t errors_ = 0;
    std::uint64_t writes_ended_ = 0;
};

} // namespace lockstep::simulation
