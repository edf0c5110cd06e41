// Any bytes from an NBD client, in pieces of any size: every request that reaches the engine is one
// that it may be given, the reader of replies never gets a torn one, and all buffers come back.
//
// The first byte says how the rest is used: bit 0 enters the transmission first, bit 1 makes the
// volume read-only, bit 2 forbids discards, bit 3 makes the blocks 4096 bytes; the second is the
// size of the pieces, in units of 64 bytes.
#include "unit/device/memory_volume.hpp"
#include "unit/device/nbd_client.hpp"

using namespace lockstep;
using namespace lockstep::device;

namespace {

constexpr std::size_t volume_bytes = 256U << 10;

class checking_volume : public memory_volume {
public:
    checking_volume(const volume_properties& properties)
        : memory_volume(volume_bytes), properties_(properties) {}

    void submit(replica::io_request& asked) override {
        const std::uint32_t block = properties_.logical_block_bytes;
        const bool changes = asked.op != operation::read && asked.op != operation::flush;
        LOCKSTEP_CHECK(asked.offset % block == 0 && asked.size % block == 0);
        LOCKSTEP_CHECK(asked.offset + asked.size <= volume_bytes);
        LOCKSTEP_CHECK(asked.op == operation::flush || asked.size > 0);
        LOCKSTEP_CHECK(!changes || !properties_.read_only);
        LOCKSTEP_CHECK(!changes || asked.op == operation::write || properties_.can_discard);
        memory_volume::submit(asked);
        LOCKSTEP_CHECK(aligned && fitting);
    }

private:
    volume_properties properties_;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) {
        return 0;
    }
    volume_properties properties;
    properties.size_bytes = volume_bytes;
    properties.read_only = (data[0] & 2U) != 0;
    properties.can_discard = (data[0] & 4U) == 0;
    properties.logical_block_bytes = (data[0] & 8U) != 0 ? 4096 : 512;
    static test_arena arena{2U << 20};
    replica::buffer_pool pool{arena.span()};
    checking_volume engine{properties};
    nbd_exports exports{"r0", engine};
    exports.add(properties);
    {
        nbd_client client{exports, pool, 1U << 20};
        if ((data[0] & 1U) != 0) {
            client.enter();
        }
        const std::size_t chunk = (std::size_t{data[1]} + 1) * 64;
        const auto input = std::as_bytes(std::span{data + 2, size - 2});
        client.send({input.begin(), input.end()}, chunk);
        for (int turn = 0; !engine.waiting.empty() && turn < 100000; ++turn) {
            engine.run_one(static_cast<std::size_t>(turn) % engine.waiting.size());
            client.pump(chunk);
        }
        client.session.end();
    }
    LOCKSTEP_CHECK(pool.used_bytes() == 0);
    return 0;
}
