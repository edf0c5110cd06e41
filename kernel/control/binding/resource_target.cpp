#include "kernel/control/binding/resource_target.hpp"

#include <utility>

#include "kernel/control/binding/commands.hpp"

namespace lockstep::control {

resource_target::resource_target(replica::resource& resource, surroundings& around,
                                 std::function<void()> observed)
    : commands_(std::make_unique<commands>(resource, around, std::move(observed))) {}

resource_target::~resource_target() = default;

snapshot resource_target::look() const {
    return commands_->look();
}

void resource_target::execute(const request& what, on_reply done) {
    commands_->run(what, std::move(done));
}

void resource_target::disk_released(replica::volume_number volume) {
    commands_->disk_released(volume);
}

} // namespace lockstep::control
