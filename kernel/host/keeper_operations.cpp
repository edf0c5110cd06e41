#include "kernel/host/keeper_operations.hpp"

namespace lockstep::host {

namespace {

constexpr keeper_operation operations[] = {
    {"open-disk", open_disk_operation},
    {"close-disk", close_disk_operation},
    {"run-helper", run_helper_operation, true},
};

} // namespace

std::span<const keeper_operation> host_operations() {
    return operations;
}

} // namespace lockstep::host
