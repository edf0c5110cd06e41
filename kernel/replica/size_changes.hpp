// The size of a volume: what both nodes can carry, and how it grows.
#pragma once

#include <cstdint>

#include "kernel/replica/resource.hpp"
#include "kernel/wire/payloads.hpp"

namespace lockstep::replica {

class machinery;
struct volume;

class size_changes {
public:
    explicit size_changes(machinery& all) : all_(all) {}

    // SIZES with that current size (0: please answer).
    void send(volume& target, std::uint64_t current_sectors, std::uint16_t flags);
    void received(volume& target, const wire::sizes& sizes);
    // The part that was added is synced from the Primary (or the node that resolves conflicts).
    void resync_new_part(volume& target);
    void resize(volume& target, const disk_properties& properties, std::uint64_t size_sectors,
                bool assume_peer_has_space, bool assume_clean, on_outcome done);

private:
    // Takes a size that is not smaller than usable data; new bits are set unless `clean`.
    void change(volume& target, std::uint64_t sectors, bool clean);

    machinery& all_;
};

} // namespace lockstep::replica
