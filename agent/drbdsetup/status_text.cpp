#include "agent/drbdsetup/status_text.hpp"

#include <array>
#include <string_view>

#include <fmt/format.h>

#include "agent/drbdsetup/wrapped_text.hpp"
#include "kernel/control/protocol/state_words.hpp"

namespace lockstep::drbdsetup {

namespace {

enum class shade : std::uint8_t { transitional, normal, primary, good, bad };

// Escape codes of drbd-utils (drbdsetup_colors.c): bold and coloured for what is here, coloured
// for what is there.
constexpr std::array<std::string_view, 5> local_codes = {"\033[1m", "", "\033[1;36m", "\033[1;32m",
                                                         "\033[1;31m"};
constexpr std::array<std::string_view, 5> peer_codes = {"", "", "\033[36m", "\033[32m", "\033[31m"};
constexpr std::string_view stop_code = "\033[0m";

shade shade_of(state::role value) {
    switch (value) {
    case state::role::primary:
        return shade::primary;
    case state::role::secondary:
        return shade::normal;
    default:
        return shade::transitional;
    }
}

shade shade_of(state::disk value) {
    switch (value) {
    case state::disk::diskless:
    case state::disk::inconsistent:
    case state::disk::outdated:
        return shade::bad;
    case state::disk::up_to_date:
        return shade::good;
    default:
        return shade::transitional;
    }
}

shade shade_of_connection(state::connection value) {
    if (value >= state::connection::wf_report_params) {
        return shade::normal;
    }
    const bool bad =
        value == state::connection::standalone || value == state::connection::wf_connection;
    return bad ? shade::bad : shade::transitional;
}

shade shade_of_replication(state::connection value) {
    switch (value) {
    case state::connection::sync_source:
    case state::connection::sync_target:
    case state::connection::paused_sync_t:
        return shade::bad;
    case state::connection::connected:
    case state::connection::verify_s:
    case state::connection::verify_t:
    case state::connection::paused_sync_s:
    case state::connection::ahead:
        return shade::normal;
    default:
        return shade::transitional;
    }
}

bool concerns_local_data(state::connection value) {
    return value == state::connection::sync_target || value == state::connection::paused_sync_t ||
           value == state::connection::behind;
}

class painter {
public:
    painter(const control::snapshot& from, const status_style& style)
        : from_(from), style_(style), out_(style.columns),
          alone_(from.volumes.size() == 1 && from.volumes.front().volume == 0) {}

    std::string paint() {
        resource();
        for (const control::volume_snapshot& volume : from_.volumes) {
            device(volume);
        }
        if (from_.has_net) {
            connection();
        }
        out_.end_line();
        return out_.text();
    }

private:
    void resource();
    void device(const control::volume_snapshot& volume);
    void device_statistics(const control::volume_snapshot& volume);
    void connection();
    void peer_device(const control::volume_snapshot& volume);
    void waiting(const control::volume_snapshot& volume);

    void coloured(int indent, std::string_view key, std::string_view word, shade which,
                  bool local) {
        const std::string_view code =
            (local ? local_codes : peer_codes)[static_cast<std::size_t>(which)];
        if (!style_.colour || code.empty()) {
            out_.add(indent, fmt::format(" {}:{}", key, word));
            return;
        }
        out_.add(indent, fmt::format(" {}:{}{}{}", key, code, word, stop_code),
                 key.size() + word.size() + 2);
    }

    template <class Value>
    void field(int indent, std::string_view key, const Value& value) {
        out_.add(indent, fmt::format(" {}:{}", key, value));
    }

    const control::snapshot& from_;
    const status_style& style_;
    wrapped_text out_;
    bool alone_; // the only volume, and number 0: not worth naming
};

void painter::resource() {
    out_.add(0, from_.resource);
    coloured(4, "role", state::name(from_.role), shade_of(from_.role), true);
    if (style_.verbose || from_.suspended()) {
        field(4, "suspended", control::suspended_words(from_));
    }
    if (style_.statistics && style_.verbose) {
        out_.end_line();
        const char letter = from_.volumes.empty() ? 'f' : from_.volumes.front().write_ordering;
        field(4, "write-ordering", control::write_ordering_word(letter));
    }
    out_.end_line();
}

void painter::device(const control::volume_snapshot& volume) {
    int indent = 2;
    if (style_.verbose || !alone_) {
        out_.add(indent, fmt::format("volume:{}", volume.volume));
        indent = 6;
        if (style_.verbose) {
            field(indent, "minor", volume.minor);
        }
    }
    const state::disk disk = volume.state.disk;
    coloured(indent, "disk", state::name(disk), volume.client ? shade::normal : shade_of(disk),
             true);
    if (volume.client) {
        field(indent, "client", "yes");
    }
    // Worth a word: a Primary that nobody uses.
    const bool idle = from_.role == state::role::primary && volume.open_is_known && !volume.open;
    if (idle && !style_.verbose) {
        field(indent, "open", "no");
    }
    if (style_.statistics) {
        out_.end_line();
        device_statistics(volume);
    }
    if (style_.verbose || from_.suspended()) {
        field(6, "blocked", control::blocked_words(from_));
    }
    out_.end_line();
    waiting(volume);
}

void painter::device_statistics(const control::volume_snapshot& volume) {
    constexpr int indent = 6;
    if (style_.verbose) {
        field(indent, "size", volume.size_sectors / 2);
    }
    field(indent, "read", volume.read_kib);
    field(indent, "written", volume.written_kib);
    if (style_.verbose) {
        field(indent, "al-writes", volume.al_writes);
        field(indent, "bm-writes", volume.bm_writes);
        field(indent, "upper-pending", volume.upper_pending);
        field(indent, "lower-pending", volume.lower_pending);
        field(indent, "al-suspended", volume.al_suspended ? "yes" : "no");
    }
}

// Not in the original: every wait has a reason, and --verbose tells it.
void painter::waiting(const control::volume_snapshot& volume) {
    if (style_.verbose && !volume.waiting_for.empty()) {
        out_.add(6, fmt::format("# {}", volume.waiting_for));
        out_.end_line();
    }
}

void painter::connection() {
    const bool connected = from_.connection >= state::connection::wf_report_params;
    out_.add(2, "peer");
    if (style_.verbose || !connected) {
        coloured(6, "connection", control::connection_word(from_.connection),
                 shade_of_connection(from_.connection), true);
    }
    if (style_.verbose || connected) {
        coloured(6, "role", state::name(from_.peer_role), shade_of(from_.peer_role), false);
    }
    bool congested = false;
    for (const control::volume_snapshot& volume : from_.volumes) {
        congested = congested || volume.congested;
    }
    if (style_.verbose || congested) {
        field(6, "congested", congested ? "yes" : "no");
    }
    out_.end_line();
    if (style_.verbose || style_.statistics || connected) {
        for (const control::volume_snapshot& volume : from_.volumes) {
            peer_device(volume);
        }
    }
}

void painter::peer_device(const control::volume_snapshot& volume) {
    const state::connection replication = volume.state.connection;
    int indent = 4;
    if (style_.verbose || !alone_) {
        out_.add(indent, fmt::format("volume:{}", volume.volume));
        indent = 8;
    }
    if (style_.verbose || replication > state::connection::wf_report_params) {
        coloured(indent, "replication", control::replication_word(replication),
                 shade_of_replication(replication), concerns_local_data(replication));
        indent = 8;
    }
    const state::disk disk = volume.state.peer_disk;
    if (style_.verbose || style_.statistics || disk != state::disk::unknown ||
        replication > state::connection::wf_report_params) {
        coloured(indent, "peer-disk", state::name(disk), shade_of(disk), false);
        indent = 8;
        if (volume.progress.running && volume.progress.total_bits != 0) {
            field(indent, "done", control::percent_done(volume.progress));
        }
        const std::string paused = control::resync_suspended_words(volume);
        if (style_.verbose || paused != "no") {
            field(indent, "resync-suspended", paused);
        }
        if (style_.statistics) {
            out_.end_line();
            field(indent, "received", volume.received_kib);
            field(indent, "sent", volume.sent_kib);
            if (style_.verbose || volume.out_of_sync_kib != 0) {
                field(indent, "out-of-sync", volume.out_of_sync_kib);
            }
            if (style_.verbose) {
                field(indent, "pending", volume.pending);
                field(indent, "unacked", volume.unacked);
            }
        }
    }
    out_.end_line();
}

} // namespace

std::string status_text(const control::snapshot& from, const status_style& style) {
    return painter(from, style).paint();
}

} // namespace lockstep::drbdsetup
