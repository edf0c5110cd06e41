// A pair that fences: stories about the handlers fence-peer and fence-disk.
#pragma once

#include "story.hpp"

namespace lockstep::simulation {

inline node_settings fencing_settings(options::fencing policy) {
    auto settings = story::small_pair();
    settings.disk.fencing = policy;
    settings.disk.on_io_error = options::on_io_error::detach;
    return settings;
}

inline constexpr auto stonith = options::fencing::resource_and_stonith;

struct fenced_pair : story {
    explicit fenced_pair(options::fencing policy = stonith) : story(fencing_settings(policy)) {}
    explicit fenced_pair(const node_settings& settings) : story(settings) {}

    void lose_link() {
        net.faults.cut = true;
        wait([this] { return volume(a).state.connection < state::connection::connected; },
             "the loss is noticed");
    }
    // A write that is not completed as long as nobody has answered.
    void write_frozen(std::uint64_t at = 0) {
        write(a, 0, at, 8);
        run_for(5 * second);
        expect(frozen() && !quiet(), "the write is held");
    }
    void resume_io() {
        run([this](replica::on_outcome done) { nodes[a]->machine().resume_io(std::move(done)); });
    }
    bool asked_for(const char* verb, const char* reason) {
        const auto& call = last_call(a);
        return call.name == verb && call.reason == reason && !call.for_volume;
    }
};

} // namespace lockstep::simulation
