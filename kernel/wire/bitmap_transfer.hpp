// Where a transfer of a bitmap stands. Sender and receiver keep one each and agree without saying
// so: no bitmap packet carries its position.
//
//   BITMAP              plain little-endian 64-bit words, as many as fit a packet, fewer at the
//   end;
//                       after the last word an empty one as end mark
//   COMPRESSED_BITMAP   runs (run_length.hpp); one that reaches the last bit ends the transfer
//
// Both kinds may mix. A plain packet after a compressed one starts at the border of 64 bits at or
// below the bit where that ended.
//
//     sending:    while (!done()) {
//                     if (compress && !covered()) { encode_runs(.., next_bit(), ..) -> part }
//                     if (part.payload_bytes > 0) { send it; passed_runs(part.next_bit) }
//                     else { send plain_bytes() from word next_word(); passed_plain() }
//                 }
//     receiving:  BITMAP: check_plain(length), OR in at next_word(), passed_plain()
//                 COMPRESSED_BITMAP: decode_runs(payload), passed_runs(decoder.next_bit())
//                 until done()
//
// Source: Linux 6.1 drivers/block/drbd (struct bm_xfer_ctx, send_bitmap_rle_or_plain()).
#pragma once

#include "kernel/wire/protocol.hpp"
#include "kernel/wire/run_length.hpp"

namespace lockstep::wire {

class bitmap_transfer {
public:
    bitmap_transfer(std::uint64_t bit_count, const protocol& rules);

    std::uint64_t bit_count() const { return bit_count_; }
    std::uint64_t next_bit() const { return next_bit_; }
    std::uint64_t next_word() const { return next_bit_ / 64; }
    // Every bit has been in a packet; the end mark may be missing still.
    bool covered() const { return next_bit_ >= bit_count_; }
    bool done() const { return done_; }

    // The length of the BITMAP that is due here: a multiple of 8, 0 if it is the end mark.
    std::size_t plain_bytes() const;
    // Is this the length of a BITMAP that may come here? Not after the transfer is done.
    result<> check_plain(std::size_t length) const;

    // The decoder of a COMPRESSED_BITMAP that may come here.
    result<run_decoder> decode_runs(const_byte_span payload) const;

    void passed_plain();
    // `next_bit` as encode_runs() or the run_decoder gave it.
    void passed_runs(std::uint64_t next_bit);

private:
    std::uint64_t bit_count_;
    std::uint64_t next_bit_ = 0;
    std::size_t packet_bytes_;
    bool done_ = false;
};

} // namespace lockstep::wire
