// `up` and `adjust` first collect what has to be done for all resources, then do it stage by
// stage: all objects are made before any disk is attached, all disks before any connection.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

namespace lockstep::drbdadm {

enum class stage : unsigned char {
    prerequisite, // make or remove objects
    resource,     // options of resources
    disk_prerequisite,
    disk, // attach, options of disks
    net_prerequisite,
    net,
};
inline constexpr std::size_t stage_count = 6;

class deferred_commands {
public:
    // `what` is its name in messages; `run` returns an exit code.
    void add(stage when, std::string resource, std::string what, std::function<int()> run);

    // Runs everything and forgets it; the highest exit code. A resource for which a stage failed
    // is left out of the later ones, the others go on. `program` is for messages. With `progress`
    // one line a stage is printed on stdout instead of errors.
    int run(const std::string& program, bool progress);

private:
    struct entry {
        std::string resource;
        std::string what;
        std::function<int()> run;
    };

    int run_stage(stage when, const std::string& program, bool progress,
                  std::vector<std::string>& failed);

    std::array<std::vector<entry>, stage_count> stages_;
};

} // namespace lockstep::drbdadm
