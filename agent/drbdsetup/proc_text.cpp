#include "agent/drbdsetup/proc_text.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace lockstep::drbdsetup {

namespace {

// The version of the in-kernel DRBD whose formats and protocol these are. The second line has the
// shape of the kernel's, 24 hexadecimal digits; they are the letters "Lockstep 0.1".
constexpr std::string_view version_line = "version: 8.4.11 (api:1/proto:86-101)\n";
constexpr std::string_view build_line = "srcversion: 4C6F636B7374657020302E31 \n";

constexpr std::uint64_t kib_per_bit = 4;
// Above 4 GiB of bits sizes are shown in MiB.
constexpr std::uint64_t large_bits = std::uint64_t{1} << 20;

std::string hours(std::uint64_t seconds) {
    if (seconds == ~std::uint64_t{0}) {
        return "-:--:--";
    }
    return fmt::format("{}:{:02}:{:02}", seconds / 3600, seconds % 3600 / 60, seconds % 60);
}

std::string bar(unsigned permille) {
    const unsigned done = permille / 50;
    return std::string(done == 0 ? 0 : done - 1, '=') + ">" + std::string(20 - done, '.');
}

std::string amounts(const control::progress_snapshot& from) {
    const std::uint64_t left = std::min(from.left_bits, from.total_bits);
    if (from.total_bits > large_bits) {
        return fmt::format("({}/{})M", (left >> 10) * kib_per_bit,
                           (from.total_bits >> 10) * kib_per_bit);
    }
    return fmt::format("({}/{})K", left * kib_per_bit, from.total_bits * kib_per_bit);
}

char protocol_letter(const control::snapshot& from) {
    if (!from.has_net) {
        return ' ';
    }
    switch (from.net.protocol) {
    case options::protocol::a:
        return 'A';
    case options::protocol::b:
        return 'B';
    default:
        return 'C';
    }
}

// As many requests as a queue of the kernel takes by default (nr_requests).
constexpr std::uint32_t disk_queue_requests = 128;

// What holds the application up: frozen I/O, the network, the disk, or the last two.
char congestion(const control::volume_snapshot& from) {
    if (from.state.suspended() && from.upper_pending > 0) {
        return 'd';
    }
    const bool disk = from.lower_pending >= disk_queue_requests;
    if (from.congested) {
        return disk ? 'a' : 'n';
    }
    return disk ? 'b' : '-';
}

std::string flags(const control::volume_snapshot& from) {
    const state::volume_state& state = from.state;
    std::string six = "r-----";
    six[0] = state.suspended() ? 's' : 'r';
    six[1] = state.sync_paused_after ? 'a' : '-';
    six[2] = state.sync_paused_peer ? 'p' : '-';
    six[3] = state.sync_paused_user ? 'u' : '-';
    six[4] = congestion(from);
    six[5] = from.al_suspended ? 's' : '-';
    return six;
}

std::string paragraph(const control::snapshot& whole, const control::volume_snapshot& from) {
    const state::volume_state& state = from.state;
    if (state.connection == state::connection::standalone && state.disk == state::disk::diskless &&
        state.role == state::role::secondary) {
        return fmt::format("{:2}: cs:Unconfigured\n", from.minor);
    }
    return fmt::format("{:2}: cs:{} ro:{}/{} ds:{}/{} {} {}\n"
                       "    ns:{} nr:{} dw:{} dr:{} al:{} bm:{} lo:{} pe:{} ua:{} ap:{} ep:{} "
                       "wo:{} oos:{}\n",
                       from.minor, state::name(state.connection), state::name(state.role),
                       state::name(state.peer_role), state::name(state.disk),
                       state::name(state.peer_disk), protocol_letter(whole), flags(from),
                       from.sent_kib, from.received_kib, from.written_kib, from.read_kib,
                       from.al_writes, from.bm_writes, from.lower_pending, from.pending,
                       from.unacked, from.upper_pending, from.epochs, from.write_ordering,
                       from.out_of_sync_kib) +
           progress_lines(from);
}

} // namespace

// Computed without overflow: both numbers are shifted down first,
// so that small devices are coarse and a running sync never says 100 %.
unsigned permille_of(const control::progress_snapshot& from) {
    if (from.left_bits > from.total_bits) {
        return from.total_bits != 0 ? 0 : 1000;
    }
    const unsigned shift = from.total_bits > 0xffffffffU ? 16 : 10;
    const std::uint64_t left = from.left_bits >> shift;
    const std::uint64_t total = 1 + (from.total_bits >> shift);
    return static_cast<unsigned>(1000 - left * 1000 / total);
}

std::string grouped(std::uint64_t value) {
    if (value < 1000) {
        return fmt::format("{}", value);
    }
    return fmt::format("{},{:03}", grouped(value / 1000), value % 1000);
}

std::string version_lines() {
    return std::string(version_line) + std::string(build_line);
}

std::string progress_lines(const control::volume_snapshot& volume) {
    const state::connection connection = volume.state.connection;
    const bool verify =
        connection == state::connection::verify_s || connection == state::connection::verify_t;
    const bool sync = connection == state::connection::sync_source ||
                      connection == state::connection::sync_target;
    if (!verify && !sync) {
        return {};
    }
    const control::progress_snapshot& progress = volume.progress;
    const unsigned permille = permille_of(progress);
    const bool wants =
        connection == state::connection::sync_target || connection == state::connection::verify_s;
    std::string text = fmt::format("\t[{}] {}{:3}.{}% {}\n", bar(permille),
                                   verify ? "verified:" : "sync'ed:", permille / 10, permille % 10,
                                   amounts(progress));
    text += fmt::format("\tfinish: {} speed: {} ({}){} K/sec{}\n", hours(progress.seconds_left),
                        grouped(progress.speed_kib), grouped(progress.average_kib),
                        wants ? " want: " + grouped(progress.want_kib) : std::string(),
                        progress.stalled ? " (stalled)" : "");
    return text;
}

std::string proc_text(const std::vector<control::snapshot>& resources) {
    std::vector<std::pair<const control::volume_snapshot*, const control::snapshot*>> volumes;
    for (const control::snapshot& resource : resources) {
        for (const control::volume_snapshot& volume : resource.volumes) {
            volumes.emplace_back(&volume, &resource);
        }
    }
    std::sort(volumes.begin(), volumes.end(),
              [](const auto& a, const auto& b) { return a.first->minor < b.first->minor; });
    std::string text = version_lines();
    std::uint32_t expected = 0;
    for (const auto& each : volumes) {
        text += each.first->minor == expected ? "" : "\n";
        text += paragraph(*each.second, *each.first);
        expected = each.first->minor + 1;
    }
    return text;
}

} // namespace lockstep::drbdsetup
