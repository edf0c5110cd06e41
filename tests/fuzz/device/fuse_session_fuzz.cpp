// Any messages at the place of the kernel's: every request that reaches the engine is one that it
// may be given, each message gets at most one answer, and all buffers come back.
//
// The input is a row of messages: opcode, node, two bytes of length, then a body of that length.
#include "unit/device/fuse_kernel.hpp"
#include "unit/device/nbd_client.hpp" // test_arena

using namespace lockstep;
using namespace lockstep::device;

namespace {

constexpr std::size_t volume_bytes = 256U << 10;

class checking_volume : public memory_volume {
public:
    checking_volume() : memory_volume(volume_bytes) {}

    void submit(replica::io_request& asked) override {
        LOCKSTEP_CHECK(asked.offset % 512 == 0 && asked.size % 512 == 0);
        LOCKSTEP_CHECK(asked.offset + asked.size <= volume_bytes);
        LOCKSTEP_CHECK(asked.op == operation::flush || asked.size > 0);
        memory_volume::submit(asked);
        LOCKSTEP_CHECK(aligned && fitting);
    }
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    volume_properties properties;
    properties.size_bytes = volume_bytes;
    properties.can_discard = true;
    static test_arena arena{2U << 20};
    replica::buffer_pool pool{arena.span()};
    checking_volume engine;
    {
        fuse_kernel kernel{properties, engine, pool};
        kernel.start();
        byte_reader input{std::as_bytes(std::span{data, size})};
        for (std::uint64_t unique = 2; input.remaining() > 0; ++unique) {
            const auto opcode = input.take<std::uint8_t>();
            const auto node = input.take<std::uint8_t>();
            const std::size_t length =
                std::min<std::size_t>(input.take<std::uint16_t>(), input.remaining());
            const auto body = input.take_bytes(length);
            if (!kernel.ask(opcode, node, unique, {body.begin(), body.end()})) {
                engine.run();
            }
        }
        engine.run();
        kernel.session.receive_targets();
        engine.run();
        kernel.session.end();
    }
    LOCKSTEP_CHECK(pool.used_bytes() == 0);
    return 0;
}
