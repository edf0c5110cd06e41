#include "kernel/replica/option_checks.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>

#include "kernel/replica/digests.hpp"
#include "kernel/replica/machinery.hpp"

namespace lockstep::replica {

using state::connection;
using state::role;

namespace {

outcome refuse_stonith() {
    return refused(154, "fencing resource-and-stonith is not possible with protocol A",
                   "set protocol C, or another fencing policy");
}

struct named_algorithm {
    std::string_view option;
    const std::string& name;
    int unknown_code;
};

outcome check_algorithms(const options::net_options& net) {
    if (net.cram_hmac_alg == "crc32c") {
        return refused(121, "cram-hmac-alg crc32c: a checksum can't authenticate",
                       "use sha1 or sha256");
    }
    const std::array all{named_algorithm{"cram-hmac-alg", net.cram_hmac_alg, 120},
                         named_algorithm{"data-integrity-alg", net.data_integrity_alg, 141},
                         named_algorithm{"csums-alg", net.csums_alg, 144},
                         named_algorithm{"verify-alg", net.verify_alg, 146}};
    for (const named_algorithm& each : all) {
        if (const auto known = digest_size(each.name); !known) {
            return refused(each.unknown_code,
                           fmt::format("{}: {}", each.option, known.error().what),
                           known.error().remedy);
        }
    }
    return {};
}

bool any_volume(const machinery& all, connection from, connection to) {
    return std::ranges::any_of(all.volumes, [&](const auto& entry) {
        const connection now = entry.second->state.connection;
        return now >= from && now <= to;
    });
}

bool resync_runs(const machinery& all) {
    return any_volume(all, connection::sync_source, connection::sync_target) ||
           any_volume(all, connection::paused_sync_s, connection::paused_sync_t);
}

} // namespace

outcome check_disk_options(const machinery& all, const volume& target,
                           const options::disk_options& wanted) {
    if (wanted.fencing == options::fencing::resource_and_stonith && all.has_net &&
        all.net.protocol == options::protocol::a) {
        return refuse_stonith();
    }
    if (const auto possible = all.order.check(target, wanted.resync_after); !possible) {
        return refused(possible.error().code, "resync-after: " + possible.error().what,
                       possible.error().remedy);
    }
    return {};
}

outcome check_net_options(const machinery& all, const options::net_options& wanted) {
    if (auto refused = check_algorithms(wanted); !refused.ok) {
        return refused;
    }
    if (wanted.allow_two_primaries && wanted.protocol != options::protocol::c) {
        return refused(139, "allow-two-primaries needs protocol C",
                       "set protocol C, or leave allow-two-primaries out");
    }
    for (const auto& [number, each] : all.volumes) {
        if (wanted.protocol == options::protocol::a && each->disk != nullptr &&
            each->options.fencing == options::fencing::resource_and_stonith) {
            return refuse_stonith();
        }
    }
    if (wanted.on_congestion != options::on_congestion::block &&
        wanted.protocol != options::protocol::a) {
        return refused(155, "on-congestion pull-ahead and disconnect need protocol A",
                       "set protocol A, or leave on-congestion at block");
    }
    return {};
}

outcome check_net_change(const machinery& all, const options::net_options& wanted) {
    const bool talks = all.link.up && !all.handshake.before_parameters();
    if (talks && !all.link.rules.has_ack_flags() &&
        (wanted.protocol != all.net.protocol ||
         wanted.allow_two_primaries != all.net.allow_two_primaries ||
         wanted.data_integrity_alg != all.net.data_integrity_alg)) {
        return refused(163,
                       "protocol, allow-two-primaries and data-integrity-alg can't change while "
                       "connected with this peer",
                       "disconnect, and connect with the new options");
    }
    if (!wanted.allow_two_primaries && all.common.role == role::primary &&
        all.common.peer_role == role::primary) {
        return refused(164, "allow-two-primaries can't be taken away while both are Primary",
                       "demote one of the nodes first");
    }
    if (wanted.csums_alg != all.net.csums_alg && resync_runs(all)) {
        return refused(148, "csums-alg can't change while a resync runs",
                       "wait until the resync is finished");
    }
    if (wanted.verify_alg != all.net.verify_alg &&
        any_volume(all, connection::verify_s, connection::verify_t)) {
        return refused(149, "verify-alg can't change while a verify runs",
                       "wait until the verify is finished");
    }
    return {};
}

} // namespace lockstep::replica
