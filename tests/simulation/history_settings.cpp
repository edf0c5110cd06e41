#include "history_settings.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace lockstep::simulation {
namespace {

constexpr std::uint64_t sectors_per_mib = 2048;

void draw_devices(random_source& random, history_settings& drawn, bool wide) {
    auto& node = drawn.node;
    drawn.wide = random.percent(8) || wide;
    const auto size = random.below(10);
    node.device_sectors = drawn.wide ? std::uint64_t{680} * format::al_extent_sectors
                          : size < 7 ? sectors_per_mib * random.between(1, 2) + 8 * random.below(16)
                                     : sectors_per_mib * random.between(5, 10);
    node.external_metadata = random.percent(30);
    node.volumes = random.percent(70) ? 1 : random.percent(80) ? 2 : 3;
    node.peer_pool_bytes = random.percent(20) ? 2U << 20U : 4U << 20U;
}

void draw_net(random_source& random, history_settings& drawn) {
    auto& net = drawn.node.net;
    const auto protocol = random.below(10);
    net.protocol = protocol < 6   ? options::protocol::c
                   : protocol < 8 ? options::protocol::b
                                  : options::protocol::a;
    net.timeout_ds = static_cast<std::uint32_t>(random.between(20, 60));
    net.ping_int_s = static_cast<std::uint32_t>(random.between(1, 10));
    net.ping_timeout_ds = static_cast<std::uint32_t>(random.between(3, 10));
    net.ko_count = static_cast<std::uint32_t>(random.between(2, 7));
    net.max_epoch_size =
        random.percent(30) ? static_cast<std::uint32_t>(random.between(1, 20)) : 2048;
    net.use_rle = random.percent(70);
    net.max_buffers = static_cast<std::uint32_t>(random.between(32, 2048));
    if (random.percent(20)) {
        net.data_integrity_alg = "crc32c";
    }
    if (random.percent(30)) {
        net.csums_alg = "crc32c";
    }
    net.verify_alg = "crc32c";
    if (random.percent(20)) {
        net.cram_hmac_alg = "sha1";
        net.shared_secret = "secret";
    }
}

void draw_disk(random_source& random, history_settings& drawn) {
    auto& device = drawn.node.disk;
    device.al_extents = drawn.wide || random.percent(20) ? 67 : 1237;
    device.on_io_error = static_cast<options::on_io_error>(random.below(3));
    device.c_max_rate_kib = !drawn.wide && random.percent(20) ? 2000 : 1 << 20;
    device.c_plan_ahead_ds = random.percent(20) ? 0 : 20;
    device.resync_rate_kib = 1 << 18;
    if (random.percent(25)) {
        device.read_balancing = static_cast<options::read_balancing>(random.below(11));
    }
    if (random.percent(20)) {
        device.rs_discard_granularity = 65536;
    }
    drawn.node.resource.on_no_data_accessible =
        random.percent(50) ? options::on_no_data::suspend_io : options::on_no_data::io_error;
}

// An in-kernel peer of an older version, as far as the two agree on less.
void draw_dialect(random_source& random, history_settings& drawn) {
    if (!random.percent(25)) {
        return;
    }
    drawn.dialect.version_max = static_cast<std::uint32_t>(random.between(86, 101));
    drawn.dialect.features = drawn.dialect.version_max < 100 || random.percent(30)
                                 ? 0
                                 : static_cast<std::uint32_t>(random.below(16));
    auto& net = drawn.node.net;
    if (drawn.dialect.version_max < 100) {
        drawn.node.volumes = 1;
    }
    if (drawn.dialect.version_max < 88) {
        net.verify_alg.clear();
    }
    if (drawn.dialect.version_max < 89) {
        net.csums_alg.clear();
    }
    if (drawn.dialect.version_max < 87) {
        net.data_integrity_alg.clear();
    }
}

void draw_themes(random_source& random, history_settings& drawn) {
    auto& node = drawn.node;
    drawn.disk_errors = random.percent(30);
    drawn.administration = !drawn.wide && random.percent(20);
    drawn.grows = !drawn.wide && random.percent(8);
    if (random.percent(35)) {
        node.disk.fencing = random.percent(25) ? options::fencing::resource_only
                                               : options::fencing::resource_and_stonith;
        if (drawn.freezes()) {
            node.net.protocol = options::protocol::c;
            drawn.two_primaries = random.percent(35);
            node.net.allow_two_primaries = drawn.two_primaries;
        }
    }
    if (drawn.grows) {
        node.disk.size_sectors = node.device_sectors / 2 / 8 * 8;
    }
}

} // namespace

history_settings draw_settings(random_source& random, const run_options& given) {
    history_settings drawn;
    draw_devices(random, drawn, given.wide);
    draw_net(random, drawn);
    draw_disk(random, drawn);
    draw_dialect(random, drawn);
    draw_themes(random, drawn);
    // Drawn apart, so that all other histories stay as they were.
    random_source apart(~given.seed);
    drawn.devices_grow = !drawn.wide && apart.percent(given.growing ? 100 : 8);
    return drawn;
}

std::string history_settings::text() const {
    std::string said =
        fmt::format("protocol {} version {} al-extents {} {} KiB {} volumes {}",
                    static_cast<char>('A' + static_cast<int>(node.net.protocol) - 1),
                    dialect.version_max, node.disk.al_extents, node.device_sectors / 2,
                    node.volumes, node.external_metadata ? "external" : "internal");
    said +=
        disk_errors ? fmt::format(" on-io-error {}", static_cast<int>(node.disk.on_io_error)) : "";
    said += fencing() ? fmt::format(" fencing {}", static_cast<int>(node.disk.fencing)) : "";
    said += two_primaries ? " two-primaries" : "";
    said += administration ? " administration" : "";
    said += grows ? " grows" : "";
    said += devices_grow ? " devices-grow" : "";
    return said;
}

} // namespace lockstep::simulation
