#include "kernel/host/keeper_operations.hpp"

namespace lockstep::host {

namespace {

// Stands in for a handler where none is to be run.
void nothing(keeper_job& job) {
    job.add_value("0");
    job.add_value("");
}

constexpr keeper_operation operations[] = {
    {"open-disk", open_disk_operation},
    {"nothing", nothing},
    {"close-disk", close_disk_operation},
    {"run-helper", run_helper_operation, true},
};

} // namespace

std::span<const keeper_operation> host_operations() {
    return operations;
}

} // namespace lockstep::host
