#include "kernel/options/legacy.hpp"

#include <algorithm>
#include <array>

namespace lockstep::options {

namespace {

// use-bmbv has no 8.4 successor and no effect on anything but the kernel's merge function, so it
// is no row; the parser of drbd.conf accepts the word.
constexpr std::array disk_83{
    legacy_option{"size", 'd', section::disk, "size", {}},
    legacy_option{"on-io-error", 'e', section::disk, "on-io-error", {}},
    legacy_option{"fencing", 'f', section::disk, "fencing", {}},
    legacy_option{"no-disk-barrier", 'a', section::disk, "disk-barrier", "no"},
    legacy_option{"no-disk-flushes", 'i', section::disk, "disk-flushes", "no"},
    legacy_option{"no-disk-drain", 'D', section::disk, "disk-drain", "no"},
    legacy_option{"no-md-flushes", 'm', section::disk, "md-flushes", "no"},
    legacy_option{"max-bio-bvecs", 's', section::disk, "max-bio-bvecs", {}},
    legacy_option{"disk-timeout", 't', section::disk, "disk-timeout", {}},
};

constexpr std::array net_83{
    legacy_option{"timeout", 't', section::net, "timeout", {}},
    legacy_option{"max-epoch-size", 'e', section::net, "max-epoch-size", {}},
    legacy_option{"max-buffers", 'b', section::net, "max-buffers", {}},
    legacy_option{"unplug-watermark", 'u', section::net, "unplug-watermark", {}},
    legacy_option{"connect-int", 'c', section::net, "connect-int", {}},
    legacy_option{"ping-int", 'i', section::net, "ping-int", {}},
    legacy_option{"sndbuf-size", 'S', section::net, "sndbuf-size", {}},
    legacy_option{"rcvbuf-size", 'r', section::net, "rcvbuf-size", {}},
    legacy_option{"ko-count", 'k', section::net, "ko-count", {}},
    legacy_option{"allow-two-primaries", 'm', section::net, "allow-two-primaries", "yes"},
    legacy_option{"cram-hmac-alg", 'a', section::net, "cram-hmac-alg", {}},
    legacy_option{"shared-secret", 'x', section::net, "shared-secret", {}},
    legacy_option{"after-sb-0pri", 'A', section::net, "after-sb-0pri", {}},
    legacy_option{"after-sb-1pri", 'B', section::net, "after-sb-1pri", {}},
    legacy_option{"after-sb-2pri", 'C', section::net, "after-sb-2pri", {}},
    legacy_option{"always-asbp", 'P', section::net, "always-asbp", "yes"},
    legacy_option{"rr-conflict", 'R', section::net, "rr-conflict", {}},
    legacy_option{"ping-timeout", 'p', section::net, "ping-timeout", {}},
    legacy_option{"data-integrity-alg", 'd', section::net, "data-integrity-alg", {}},
    legacy_option{"no-tcp-cork", 'o', section::net, "tcp-cork", "no"},
    legacy_option{"on-congestion", 'g', section::net, "on-congestion", {}},
    legacy_option{"congestion-fill", 'f', section::net, "congestion-fill", {}},
    legacy_option{"congestion-extents", 'h', section::net, "congestion-extents", {}},
};

constexpr std::array syncer_83{
    legacy_option{"rate", 'r', section::disk, "resync-rate", {}},
    legacy_option{"after", 'a', section::disk, "resync-after", {}},
    legacy_option{"al-extents", 'e', section::disk, "al-extents", {}},
    legacy_option{"csums-alg", 'C', section::net, "csums-alg", {}},
    legacy_option{"verify-alg", 'v', section::net, "verify-alg", {}},
    legacy_option{"cpu-mask", 'c', section::resource, "cpu-mask", {}},
    legacy_option{"use-rle", 'R', section::net, "use-rle", "yes"},
    legacy_option{"on-no-data-accessible", 'n', section::resource, "on-no-data-accessible", {}},
    legacy_option{"c-plan-ahead", 'p', section::disk, "c-plan-ahead", {}},
    legacy_option{"c-delay-target", 'd', section::disk, "c-delay-target", {}},
    legacy_option{"c-fill-target", 's', section::disk, "c-fill-target", {}},
    legacy_option{"c-max-rate", 'M', section::disk, "c-max-rate", {}},
    legacy_option{"c-min-rate", 'm', section::disk, "c-min-rate", {}},
};

} // namespace

std::span<const legacy_option> legacy_options(command_83 command) {
    switch (command) {
    case command_83::disk:
        return disk_83;
    case command_83::net:
        return net_83;
    case command_83::syncer:
        break;
    }
    return syncer_83;
}

const legacy_option* find_legacy(command_83 command, std::string_view old_name) {
    const auto all = legacy_options(command);
    const auto found = std::find_if(all.begin(), all.end(),
                                    [&](const auto& row) { return row.old_name == old_name; });
    return found == all.end() ? nullptr : &*found;
}

} // namespace lockstep::options
