// Any bytes from a client, in pieces of any size, to a server whose engine answers at once or
// never.
#include <cstdint>
#include <string_view>

#include "kernel/control/server.hpp"
#include "unit/control/fake_target.hpp"

using namespace lockstep::control;

namespace {

class silent_transport final : public transport {
public:
    void output_ready(client_id) override {}
    void hang_up(client_id, bool) override {}
    std::int64_t wall_clock_us() override { return 0; }
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) {
        return 0;
    }
    fake_target engine;
    engine.answers_at_once = (data[0] & 1U) != 0;
    silent_transport sockets;
    server serving(engine, sockets, hello{});
    serving.connected(1);
    if ((data[0] & 2U) != 0) {
        serving.received(1, encode(hello{protocol_version, "fuzz", {}, 1}));
    }
    const std::size_t piece = data[1] + 1U;
    std::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);
    while (!rest.empty()) {
        serving.received(1, rest.substr(0, piece));
        rest.remove_prefix(rest.size() < piece ? rest.size() : piece);
        serving.take_output(1);
    }
    serving.gone(1);
    return 0;
}
