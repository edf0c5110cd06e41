// The control server's commands carried out on a replica::resource and its surroundings.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "kernel/control/binding/surroundings.hpp"
#include "kernel/control/target.hpp"
#include "kernel/replica/resource.hpp"

namespace lockstep::control {

// What `show` tells of a disk and the replica does not know.
struct volume_place {
    std::string backing_device;
    std::string meta_device;
    std::string meta_index;
};

// The client-visible form of a status; places by volume number.
snapshot to_snapshot(const replica::resource_status& status,
                     const std::map<std::uint32_t, volume_place>& places,
                     const std::string& local_address, const std::string& peer_address);

class resource_target final : public target {
public:
    // observed: called after a change that ports::changed() does not report (names, addresses).
    resource_target(replica::resource& resource, surroundings& around,
                    std::function<void()> observed);
    ~resource_target() override;

    snapshot look() const override;
    void execute(const request& what, on_reply done) override;

    // To be called from ports::release_disk(): the volume has no disk any more.
    void disk_released(replica::volume_number volume);

private:
    class commands;
    std::unique_ptr<commands> commands_;
};

} // namespace lockstep::control
