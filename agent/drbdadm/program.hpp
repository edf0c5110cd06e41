// drbdadm from its command line to its exit code.
#pragma once

namespace lockstep::drbdadm {

int drbdadm_main(int argc, char** argv);

} // namespace lockstep::drbdadm
