#include <csignal>

#include <string>
#include <vector>

#include "agent/drbdsetup/console.hpp"
#include "agent/drbdsetup/program.hpp"

int main(int count, char** words) {
    // A reader that goes away is noticed by the write that fails.
    ::signal(SIGPIPE, SIG_IGN);
    const std::vector<std::string> all(words, words + count);
    return lockstep::drbdsetup::run_program(all, lockstep::control::runtime_directory(),
                                            lockstep::drbdsetup::standard_console());
}
