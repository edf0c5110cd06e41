// An engine for tests: its state is set by hand; commands are remembered and answered when the
// test says so.
#pragma once

#include <utility>
#include <vector>

#include "kernel/control/target.hpp"
#include "unit/control/samples.hpp"

namespace lockstep::control {

class fake_target final : public target {
public:
    snapshot state = samples::resource_in_sync();
    std::vector<std::pair<request, on_reply>> asked;
    // Answer at once, from inside execute().
    bool answers_at_once = false;

    snapshot look() const override { return state; }
    void execute(const request& what, on_reply done) override {
        if (answers_at_once) {
            done(reply{});
            return;
        }
        asked.emplace_back(what, std::move(done));
    }
};

} // namespace lockstep::control
