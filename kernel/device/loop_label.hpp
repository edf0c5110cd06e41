// The names of the files behind our loop devices, as `losetup -l` shows them: which process serves
// the file. Loop devices belong to the whole machine, so processes of other containers must not be
// taken for dead ones.
//
//   lockstep:drbdMINOR:PID-NAMESPACE:PID:START-TIME:COUNT
#pragma once

#include <cstdint>
#include <string>

namespace lockstep::device {

// A label for a new device of the process that calls this; no two are the same.
std::string make_loop_label(std::uint32_t minor);
bool is_loop_label(const std::string& label);
// Whether it is a label of ours whose process is known to be gone. Processes of other containers
// are not judged.
bool is_label_of_the_dead(const std::string& label);

} // namespace lockstep::device
