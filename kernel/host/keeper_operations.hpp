// The keeper's operations for the host itself.
//
//   open-disk PATH read-only|read-write exclusive|shared files|devices
//       -> descriptor; values: size in bytes, logical block in bytes, "discard" or "", device
//       number
//   close-disk, with its descriptor: the job's is the last one
//   nothing -> values "0", ""
//   run-helper PROGRAM NAME TARGET [NAME=VALUE...]
//       -> values: exit status as DRBD counts it (0 if killed by a signal, or not startable),
//          then "", or why there was none: "signal N", "cannot start ..." (see helper_run.cpp)
#pragma once

#include <span>

#include "kernel/host/keeper_job.hpp"

namespace lockstep::host {

std::span<const keeper_operation> host_operations();

void open_disk_operation(keeper_job& job);
void close_disk_operation(keeper_job& job);
void run_helper_operation(keeper_job& job);

} // namespace lockstep::host
