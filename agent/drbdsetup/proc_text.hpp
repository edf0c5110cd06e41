// `drbdsetup proc`: what /proc/drbd of DRBD 8.4 would show. Source: Linux 6.1,
// drivers/block/drbd/drbd_proc.c.
#pragma once

#include <string>
#include <vector>

#include "kernel/control/protocol/snapshot.hpp"

namespace lockstep::drbdsetup {

// The two version lines, and a paragraph for each minor.
std::string proc_text(const std::vector<control::snapshot>& resources);

// "version: 8.4.11 (api:1/proto:86-101)\n" and a second line.
std::string version_lines();

// The line or two of a running resync or verify; empty if none runs.
std::string progress_lines(const control::volume_snapshot& volume);

// Per mille done, as the kernel computes it: coarse on small devices.
unsigned permille_of(const control::progress_snapshot& from);

// 1234567 as "1,234,567".
std::string grouped(std::uint64_t value);

} // namespace lockstep::drbdsetup
