// The commands that look and print.
#pragma once

#include "agent/drbdsetup/session.hpp"

namespace lockstep::drbdsetup {

int run_word(const session& now); // role, state, cstate, dstate
int run_gi(const session& now);   // show-gi, get-gi
int run_sh_status(const session& now);
int run_show(const session& now);
int run_status(const session& now);
int run_proc(const session& now);
int run_check_resize(const session& now);

} // namespace lockstep::drbdsetup
