// wait-connect and wait-sync.
#include <charconv>
#include <optional>

#include <fmt/format.h>

#include "agent/drbdsetup/messages.hpp"
#include "agent/drbdsetup/watch_commands.hpp"

namespace lockstep::drbdsetup {

namespace {

// Seconds; as drbd_limits.h has them for all three.
constexpr std::int64_t timeout_s_max = 300000;

struct timeouts {
    std::int64_t wfc_s = 0; // 0: for ever
    std::int64_t degr_wfc_s = 0;
    std::int64_t outdated_wfc_s = 0;
};

result<std::int64_t> seconds_of(const invocation& asked, std::string_view option,
                                std::string_view shown) {
    const std::string text = asked.value(option, "0");
    std::int64_t value = -1;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (problem != std::errc() || end != text.data() + text.size() || value < 0 ||
        value > timeout_s_max) {
        return fail(fmt::format("{} => {} out of range [0..{}]", shown, text, timeout_s_max), {},
                    "Give seconds; 0 waits for ever.");
    }
    return value;
}

result<timeouts> timeouts_of(const invocation& asked) {
    const result<std::int64_t> wfc = seconds_of(asked, "wfc-timeout", "wfc_timeout");
    const result<std::int64_t> degr = seconds_of(asked, "degr-wfc-timeout", "degr_wfc_timeout");
    const result<std::int64_t> outdated =
        seconds_of(asked, "outdated-wfc-timeout", "outdated_wfc_timeout");
    for (const result<std::int64_t>* each : {&wfc, &degr, &outdated}) {
        if (!*each) {
            return tl::unexpected<error>(each->error());
        }
    }
    return timeouts{*wfc, *degr, *outdated};
}

// 0 stands for ever; so it is the longest.
std::int64_t at_most(std::int64_t value, std::int64_t limit) {
    return limit != 0 && (value == 0 || value > limit) ? limit : value;
}

// A node whose peer is outdated need not wait as long as one that was alone before, and that one
// not as long as any other. A longer time is cut, with a word about it, as drbd-utils do.
std::int64_t choose_timeout(const session& now, timeouts given,
                            const control::volume_snapshot& volume) {
    const std::int64_t degr = at_most(given.degr_wfc_s, given.wfc_s);
    if (degr != given.degr_wfc_s) {
        now.terminal.complain(fmt::format("degr-wfc-timeout has to be shorter than wfc-timeout\n"
                                          "degr-wfc-timeout implicitly set to wfc-timeout ({}s)\n",
                                          given.wfc_s));
    }
    const std::int64_t outdated = at_most(given.outdated_wfc_s, degr);
    if (outdated != given.outdated_wfc_s) {
        now.terminal.complain(
            fmt::format("outdated-wfc-timeout has to be shorter than degr-wfc-timeout\n"
                        "outdated-wfc-timeout implicitly set to degr-wfc-timeout ({}s)\n",
                        degr));
    }
    if (volume.state.peer_disk == state::disk::outdated) {
        return outdated;
    }
    return volume.was_degraded ? degr : given.wfc_s;
}

enum class wait_end : std::uint8_t { done, not_yet, no_connection };

wait_end reached(std::string_view command, const control::volume_snapshot& volume) {
    const state::connection connection = volume.state.connection;
    if (connection < state::connection::unconnected) {
        return wait_end::no_connection;
    }
    const bool done = command == "wait-sync" ? connection == state::connection::connected
                                             : connection >= state::connection::connected;
    return done ? wait_end::done : wait_end::not_yet;
}

const control::volume_snapshot* volume_in(const control::snapshot& state, std::uint32_t minor) {
    for (const control::volume_snapshot& volume : state.volumes) {
        if (volume.minor == minor) {
            return &volume;
        }
    }
    return nullptr;
}

// One look after another, each caused by an event.
class waiter {
public:
    waiter(const session& now, engine_client& engine, bool after_split_brain)
        : now_(now), engine_(engine), after_split_brain_(after_split_brain) {}

    int wait(const timeouts& given) {
        control::request subscribe;
        subscribe.what = control::command::events;
        const result<control::reply> subscribed = engine_.ask(subscribe, now_ms() + 2000);
        if (!subscribed) {
            return now_.refuse(subscribed.error());
        }
        std::optional<std::int64_t> deadline;
        for (;;) {
            const result<control::snapshot> state = engine_.look();
            if (!state) {
                return now_.refuse(state.error());
            }
            const control::volume_snapshot* volume = volume_in(*state, now_.asked.minor);
            if (volume == nullptr) {
                return now_.refuse({"Device minor not allocated",
                                    "it was removed meanwhile",
                                    {},
                                    code_minor_invalid});
            }
            if (finished(state->resource, *volume)) {
                return exit_ok;
            }
            if (!deadline) {
                const std::int64_t seconds = choose_timeout(now_, given, *volume);
                deadline = seconds == 0 ? no_deadline : now_ms() + seconds * 1000;
            }
            const result<control::server_message> event = engine_.receive(*deadline);
            if (!event) {
                return event.error().code == error_timed_out ? exit_timed_out
                                                             : now_.refuse(event.error());
            }
        }
    }

private:
    bool finished(const std::string& resource, const control::volume_snapshot& volume) {
        const wait_end end = reached(now_.asked.row->name, volume);
        if (end != wait_end::no_connection || !after_split_brain_) {
            return end != wait_end::not_yet;
        }
        if (told_ != volume.state.connection) {
            now_.terminal.complain(fmt::format("\ndrbd{} ({}[{}]) is {}, but I'm configured to "
                                               "wait anways (--wait-after-sb)\n",
                                               volume.minor, resource, volume.volume,
                                               state::name(volume.state.connection)));
        }
        told_ = volume.state.connection;
        return false;
    }

    const session& now_;
    engine_client& engine_;
    bool after_split_brain_;
    std::optional<state::connection> told_;
};

} // namespace

int run_wait(const session& now) {
    const result<timeouts> given = timeouts_of(now.asked);
    if (!given) {
        return now.refuse(given.error());
    }
    const result<client_pointer> engine = now.nodes.of_minor(now.asked.minor);
    if (!engine) {
        return now.refuse(engine.error());
    }
    const std::string after_split_brain = now.asked.value("wait-after-sb", "no");
    return waiter(now, **engine, after_split_brain.empty() || after_split_brain == "yes")
        .wait(*given);
}

} // namespace lockstep::drbdsetup
