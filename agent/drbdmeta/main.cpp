#include "agent/drbdmeta/commands.hpp"

int main(int argc, char** argv) {
    return lockstep::drbdmeta::run(argc, argv);
}
