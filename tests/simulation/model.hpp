// What the clients of a volume may expect: every write that was ever issued, sector by sector, and
// from that which contents a sector may have.
//
// A write that was acknowledged stays what is read until another write to the sector is issued. One
// that was not acknowledged (an error, a crash) may or may not be there. The rules of a crash turn
// acknowledged writes into doubtful ones: forget_unflushed().
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "disk.hpp"

namespace lockstep::simulation {

class model {
public:
    using write_id = std::uint64_t; // 0: as the device was in the beginning (zeroes)

    // Contents of one sector of a write; the zeroes of discards have no name.
    static void fill(write_id id, std::uint64_t at, std::byte* into);
    // Which write a sector's content belongs to; false if it is none's.
    static bool identify(std::uint64_t at, const std::byte* content, write_id& id);

    // From this sector on the device has held something else before: a part that was added to it.
    void zeroes_before(std::uint64_t end) { zeroes_end_ = end; }

    // A moment between events, for what is asked about it later.
    using moment = std::uint64_t;
    moment now() { return ++clock_; }

    write_id issue(unsigned side, std::uint64_t first, std::uint64_t sectors, bool zeroes);
    // `durable`: it was acknowledged with FUA.
    void acknowledge(write_id id, bool durable);
    // It failed or was lost with its node: may be there or not.
    void abandon(write_id id);
    // A flush that was issued at that time has been acknowledged: what had been acknowledged by
    // then survives the loss of every cache. Of two Primaries each has to flush what it has written
    // itself: what `side` has.
    void flushed(moment issued, std::optional<unsigned> side);
    // The caches of every node with the last word are gone.
    void forget_unflushed();
    // Everything acknowledged since the last settle() may be lost (a failover under protocol A or
    // B).
    void forget_unsettled();
    // The disk that was flushed is gone; the other node, which has all of it, may have it in its
    // cache until the next flush. What is under way may have reached no more than that cache.
    void forget_durable();

    // The only good copy had an error: whatever was ever there may be there.
    void forget_all();
    // What is under way now is promised to nobody, even if it is acknowledged yet; unless that
    // makes it durable, where such answers count.
    void doubt_open(bool durable_counts);

    // Empty if the content is one that a read issued at that time may return.
    std::string check(std::uint64_t at, const std::byte* content, moment read_issued) const;
    // The nodes agree: what is there now is what is there.
    std::string settle(std::uint64_t at, const std::byte* content);
    // Every touched sector has been settled.
    void settled_all() { unsettled_.clear(); }
    // Sectors that were ever written.
    const std::map<std::uint64_t, std::vector<write_id>>& touched() const { return sectors_; }

private:
    static constexpr moment still_open = ~moment{0};

    struct write {
        write_id content = 0; // itself, unless it stands for what was found of another one
        std::uint64_t first = 0;
        std::uint64_t sectors = 0;
        bool zeroes = false;
        moment issued = 0;
        moment ended = still_open; // acknowledged, failed or lost
        bool acknowledged = false;
        bool durable = false;
        unsigned side = 0; // that wrote it
    };

    const write& at(write_id id) const { return writes_[id]; }
    bool excluded(const std::vector<write_id>& history, write_id id, moment read_issued) const;

    moment clock_ = 0;
    std::vector<write> writes_{write{0, 0, 0, true, 0, 0, true, true}};
    std::map<std::uint64_t, std::vector<write_id>> sectors_;
    std::vector<write_id> unsettled_;
    std::uint64_t zeroes_end_ = ~std::uint64_t{0};
    write_id doubtful_before_ = 0;
    write_id durable_doubtful_before_ = 0;
    write_id cached_before_ = 0;
    moment flushes_void_before_ = 0;
};

} // namespace lockstep::simulation
