// check-resize: remembers how large the disk of a minor is and what it is called, so that drbdmeta
// finds internal metadata after the disk has grown.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "agent/drbdmeta/last_known.hpp"
#include "agent/drbdsetup/messages.hpp"
#include "agent/drbdsetup/query_commands.hpp"

namespace lockstep::drbdsetup {

namespace {

result<std::uint64_t> device_bytes(const std::string& path) {
    const int device = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (device < 0) {
        return fail(fmt::format("Could not open {}: {}.", path, std::strerror(errno)));
    }
    std::uint64_t bytes = 0;
    const bool asked = ::ioctl(device, BLKGETSIZE64, &bytes) == 0;
    const int problem = errno;
    ::close(device);
    if (!asked) {
        return fail(fmt::format("Could not get the size of {}: {}.", path, std::strerror(problem)));
    }
    return bytes;
}

result<> remember(std::uint32_t minor, const std::string& path) {
    const result<std::uint64_t> bytes = device_bytes(path);
    if (!bytes) {
        return tl::unexpected<error>(bytes.error());
    }
    // An unreadable file is replaced.
    const result<std::optional<drbdmeta::last_known>> before = drbdmeta::load_last_known(minor);
    drbdmeta::last_known value;
    if (before && *before) {
        value = **before;
        if (value.size == *bytes && value.name == path) {
            return {};
        }
    }
    value.size = *bytes;
    value.name = path;
    return drbdmeta::save_last_known(minor, value);
}

} // namespace

void remember_attached(std::uint32_t minor, const std::string& backing_device,
                       const std::string& meta_index) {
    // Without the file a disk that grows while it is down is not found by itself: no reason to
    // call an attach that has succeeded a failure.
    if (meta_index == "internal") {
        static_cast<void>(remember(minor, backing_device));
    }
}

int run_check_resize(const session& now) {
    const result<client_pointer> engine = now.nodes.of_minor(now.asked.minor);
    if (!engine) {
        return now.refuse(engine.error());
    }
    const result<control::snapshot> state = (*engine)->look();
    if (!state) {
        return now.refuse(state.error());
    }
    for (const control::volume_snapshot& volume : state->volumes) {
        if (volume.minor != now.asked.minor || volume.backing_device.empty()) {
            continue;
        }
        const result<> done = volume.meta_index == "internal"
                                  ? remember(volume.minor, volume.backing_device)
                                  : drbdmeta::delete_last_known(volume.minor);
        if (!done) {
            now.terminal.complain(done.error().what + "\n");
            return 1;
        }
    }
    return exit_ok;
}

} // namespace lockstep::drbdsetup
