// What front ends have done by the keeper: everything about device nodes, mounts and loop devices.
// The engine gives device_operations() to host::keeper::start(), beside its own.
//
//   device-configure DIR MINOR LINK...         the resting node, and links like "by-res/r0"
//   device-remove DIR MINOR LINK...            none of them; also how the keeper undoes the above
//   device-link DIR MINOR OLD NEW LINK...      replaces a link, either may be empty; LINK... are
//                                              all that there are afterwards
//   device-open-fuse                           -> descriptors: /dev/fuse, the mount
//   device-attach DIR MINOR LABEL BLOCK RO     + descriptor of the mount: a loop device on the
//                                              file LABEL there, and the node made its own
//   device-detach DIR MINOR LABEL FORCE        -> "done" or "in-use", and by whom; also how the
//                                              keeper undoes the above
//   device-grow LABEL                          + descriptor of the mount: the loop device takes
//                                              the size that the file has now
#pragma once

#include <span>

#include "kernel/host/keeper_job.hpp"

namespace lockstep::device {

std::span<const host::keeper_operation> device_operations();

} // namespace lockstep::device
