// Handlers: the user's programs that DRBD calls at certain events.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/replica/ports.hpp"

namespace lockstep::replica {

class machinery;
struct volume;

class helpers {
public:
    explicit helpers(machinery& all) : all_(all) {}

    // `done` gets the exit code; empty if nobody waits for it. The handler never holds up anything
    // but what waits in `done`.
    void call_for_volume(std::string_view name, volume& target, std::function<void(int)> done);
    void call_for_resource(std::string_view name, std::string_view reason,
                           std::function<void(int)> done);
    // For a caller who has more than one under way. Its number, which `done` hears again.
    std::uint64_t call_with_id(helper_call out, std::function<void(std::uint64_t, int)> done);
    void finished(std::uint64_t id, int exit_code);
    // A handler of that name is under way.
    bool running(std::string_view name) const;
    std::vector<std::string> names_running() const;

private:
    struct call {
        std::string name;
        instant begun;
        std::function<void(int)> done;
    };

    std::uint64_t start(helper_call out, std::function<void(int)> done);

    machinery& all_;
    std::uint64_t next_id_ = 1;
    std::map<std::uint64_t, call> running_;
};

} // namespace lockstep::replica
