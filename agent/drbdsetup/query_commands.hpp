// The commands that look and print.
#pragma once

#include <cstdint>
#include <string>

#include "agent/drbdsetup/session.hpp"

namespace lockstep::drbdsetup {

int run_word(const session& now); // role, state, cstate, dstate
int run_gi(const session& now);   // show-gi, get-gi
int run_sh_status(const session& now);
int run_show(const session& now);
int run_status(const session& now);
int run_proc(const session& now);
int run_check_resize(const session& now);
// After an attach: the file that check-resize writes.
void remember_attached(std::uint32_t minor, const std::string& backing_device,
                       const std::string& meta_index);

} // namespace lockstep::drbdsetup
