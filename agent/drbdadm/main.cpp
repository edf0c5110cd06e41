#include "agent/drbdadm/program.hpp"

int main(int argc, char** argv) {
    return lockstep::drbdadm::drbdadm_main(argc, argv);
}
