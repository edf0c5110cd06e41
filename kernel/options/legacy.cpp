#include "kernel/options/legacy.hpp"

#include <algorithm>
#include <array>

namespace lockstep::options {

namespace {

constexpr section D = section::disk;
constexpr section N = section::net;
constexpr section R = section::resource;

// use-bmbv has no 8.4 successor and no effect on anything but the kernel's merge function, so it
// is no row; the parser of drbd.conf accepts the word.
constexpr std::array disk_83{
    legacy_option{"size", 'd', D, "size", {}},
    legacy_option{"on-io-error", 'e', D, "on-io-error", {}},
    legacy_option{"fencing", 'f', D, "fencing", {}},
    legacy_option{"no-disk-barrier", 'a', D, "disk-barrier", "no"},
    legacy_option{"no-disk-flushes", 'i', D, "disk-flushes", "no"},
    legacy_option{"no-disk-drain", 'D', D, "disk-drain", "no"},
    legacy_option{"no-md-flushes", 'm', D, "md-flushes", "no"},
    legacy_option{"max-bio-bvecs", 's', D, "max-bio-bvecs", {}},
    legacy_option{"disk-timeout", 't', D, "disk-timeout", {}},
};

constexpr std::array net_83{
    legacy_option{"timeout", 't', N, "timeout", {}},
    legacy_option{"max-epoch-size", 'e', N, "max-epoch-size", {}},
    legacy_option{"max-buffers", 'b', N, "max-buffers", {}},
    legacy_option{"unplug-watermark", 'u', N, "unplug-watermark", {}},
    legacy_option{"connect-int", 'c', N, "connect-int", {}},
    legacy_option{"ping-int", 'i', N, "ping-int", {}},
    legacy_option{"sndbuf-size", 'S', N, "sndbuf-size", {}},
    legacy_option{"rcvbuf-size", 'r', N, "rcvbuf-size", {}},
    legacy_option{"ko-count", 'k', N, "ko-count", {}},
    legacy_option{"allow-two-primaries", 'm', N, "allow-two-primaries", "yes"},
    legacy_option{"cram-hmac-alg", 'a', N, "cram-hmac-alg", {}},
    legacy_option{"shared-secret", 'x', N, "shared-secret", {}},
    legacy_option{"after-sb-0pri", 'A', N, "after-sb-0pri", {}},
    legacy_option{"after-sb-1pri", 'B', N, "after-sb-1pri", {}},
    legacy_option{"after-sb-2pri", 'C', N, "after-sb-2pri", {}},
    legacy_option{"always-asbp", 'P', N, "always-asbp", "yes"},
    legacy_option{"rr-conflict", 'R', N, "rr-conflict", {}},
    legacy_option{"ping-timeout", 'p', N, "ping-timeout", {}},
    legacy_option{"data-integrity-alg", 'd', N, "data-integrity-alg", {}},
    legacy_option{"no-tcp-cork", 'o', N, "tcp-cork", "no"},
    legacy_option{"on-congestion", 'g', N, "on-congestion", {}},
    legacy_option{"congestion-fill", 'f', N, "congestion-fill", {}},
    legacy_option{"congestion-extents", 'h', N, "congestion-extents", {}},
};

constexpr std::array syncer_83{
    legacy_option{"rate", 'r', D, "resync-rate", {}},
    legacy_option{"after", 'a', D, "resync-after", {}},
    legacy_option{"al-extents", 'e', D, "al-extents", {}},
    legacy_option{"csums-alg", 'C', N, "csums-alg", {}},
    legacy_option{"verify-alg", 'v', N, "verify-alg", {}},
    legacy_option{"cpu-mask", 'c', R, "cpu-mask", {}},
    legacy_option{"use-rle", 'R', N, "use-rle", "yes"},
    legacy_option{"on-no-data-accessible", 'n', R, "on-no-data-accessible", {}},
    legacy_option{"c-plan-ahead", 'p', D, "c-plan-ahead", {}},
    legacy_option{"c-delay-target", 'd', D, "c-delay-target", {}},
    legacy_option{"c-fill-target", 's', D, "c-fill-target", {}},
    legacy_option{"c-max-rate", 'M', D, "c-max-rate", {}},
    legacy_option{"c-min-rate", 'm', D, "c-min-rate", {}},
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
