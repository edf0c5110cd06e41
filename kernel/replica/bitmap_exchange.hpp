// The two bitmaps become one before a resync: the source sends its own, the target ORs it in and
// sends the union back, which the source ORs in.
#pragma once

#include "kernel/wire/payloads.hpp"

namespace lockstep::replica {

class machinery;
struct volume;

class bitmap_exchange {
public:
    explicit bitmap_exchange(machinery& all) : all_(all) {}

    void start_sending(volume& target);
    // BITMAP or COMPRESSED_BITMAP.
    void packet_received(volume& target, wire::command code, const_byte_span payload);
    // The send queue has moved: there may be room for more.
    void queue_moved();
    void stop(volume& target);

private:
    void send_more(volume& target);
    bool send_one(volume& target);
    bool take_runs(volume& target, const_byte_span payload);
    void received_all(volume& target);
    void sent_all(volume& target);

    machinery& all_;
};

} // namespace lockstep::replica
