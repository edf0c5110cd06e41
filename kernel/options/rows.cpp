#include <array>

#include "kernel/options/table.hpp"

namespace lockstep::options {

namespace {

using enum effect;
using enum kind;

template <class E>
constexpr word_value w(std::string_view word, E value) {
    return {word, static_cast<int>(value)};
}

constexpr std::array on_io_error_words{
    w("pass_on", on_io_error::pass_on),
    w("call-local-io-error", on_io_error::call_local_io_error),
    w("detach", on_io_error::detach),
};

constexpr std::array fencing_words{
    w("dont-care", fencing::dont_care),
    w("resource-only", fencing::resource_only),
    w("resource-and-stonith", fencing::resource_and_stonith),
};

constexpr std::array read_balancing_words{
    w("prefer-local", read_balancing::prefer_local),
    w("prefer-remote", read_balancing::prefer_remote),
    w("round-robin", read_balancing::round_robin),
    w("least-pending", read_balancing::least_pending),
    w("when-congested-remote", read_balancing::when_congested_remote),
    w("32K-striping", read_balancing::striping_32k),
    w("64K-striping", read_balancing::striping_64k),
    w("128K-striping", read_balancing::striping_128k),
    w("256K-striping", read_balancing::striping_256k),
    w("512K-striping", read_balancing::striping_512k),
    w("1M-striping", read_balancing::striping_1m),
};

constexpr std::array protocol_words{
    w("A", protocol::a),
    w("B", protocol::b),
    w("C", protocol::c),
};

constexpr std::array after_sb_0p_words{
    w("disconnect", after_split_brain::disconnect),
    w("discard-younger-primary", after_split_brain::discard_younger_primary),
    w("discard-older-primary", after_split_brain::discard_older_primary),
    w("discard-zero-changes", after_split_brain::discard_zero_changes),
    w("discard-least-changes", after_split_brain::discard_least_changes),
    w("discard-local", after_split_brain::discard_local),
    w("discard-remote", after_split_brain::discard_remote),
};

constexpr std::array after_sb_1p_words{
    w("disconnect", after_split_brain::disconnect),
    w("consensus", after_split_brain::consensus),
    w("discard-secondary", after_split_brain::discard_secondary),
    w("call-pri-lost-after-sb", after_split_brain::call_pri_lost),
    w("violently-as0p", after_split_brain::violently_as_0p),
};

constexpr std::array after_sb_2p_words{
    w("disconnect", after_split_brain::disconnect),
    w("call-pri-lost-after-sb", after_split_brain::call_pri_lost),
    w("violently-as0p", after_split_brain::violently_as_0p),
};

constexpr std::array rr_conflict_words{
    w("disconnect", rr_conflict::disconnect),
    w("call-pri-lost", rr_conflict::call_pri_lost),
    w("violently", rr_conflict::violently),
};

constexpr std::array on_congestion_words{
    w("block", on_congestion::block),
    w("pull-ahead", on_congestion::pull_ahead),
    w("disconnect", on_congestion::disconnect),
};

constexpr std::array on_no_data_words{
    w("io-error", on_no_data::io_error),
    w("suspend-io", on_no_data::suspend_io),
};

constexpr option_row number_row(section where, std::string_view name, std::string_view preset,
                                std::int64_t min, std::int64_t max, char scale,
                                std::string_view unit, std::string_view help) {
    return {name, where, number, preset, min, max, scale, unit, {}, true, acts, {}, help, false};
}

constexpr option_row boolean_row(section where, std::string_view name, std::string_view preset,
                                 std::string_view help) {
    return {name, where, boolean, preset, 0, 1, '1', {}, {}, true, acts, {}, help, false};
}

constexpr option_row word_row(section where, std::string_view name, std::string_view preset,
                              std::span<const word_value> words, std::string_view help) {
    return {name, where, word, preset, 0, 0, '1', {}, words, true, acts, {}, help, false};
}

constexpr option_row text_row(section where, std::string_view name, std::int64_t longest,
                              std::string_view help) {
    return {name, where, text, {}, 0, longest, '1', {}, {}, true, acts, {}, help, false};
}

constexpr option_row fixed(option_row row) {
    row.at_run_time = false;
    return row;
}

constexpr option_row clamped(option_row row) {
    row.clamped = true;
    return row;
}

constexpr option_row meaningless(option_row row, std::string_view reason) {
    row.effect = meaningless_here;
    row.reason = reason;
    return row;
}

constexpr std::string_view tenths = "1/10 seconds";
constexpr std::string_view rate = "bytes/second";

constexpr section D = section::disk;
constexpr section N = section::net;
constexpr section R = section::resource;

// SHARED_SECRET_MAX of DRBD: names of algorithms and the secret are at most 64 bytes.
constexpr std::int64_t longest_text = 64;

constexpr std::array disk_rows{
    fixed(number_row(D, "size", "0s", 0, 2199023255552, 's', "bytes",
                     "Use only this much of the backing device; 0 takes what both nodes have.")),
    fixed(meaningless(
        number_row(D, "max-bio-bvecs", "0", 0, 128, '1', "",
                   "Limit the segments of one request to the backing device."),
        "requests to the backing device are single vectors of user memory, there is no bio")),
    word_row(D, "on-io-error", "detach", on_io_error_words,
             "What to do when the backing device reports an error."),
    word_row(D, "fencing", "dont-care", fencing_words,
             "Whether the fence-peer handler is called when the peer is lost, and I/O frozen."),
    meaningless(boolean_row(D, "disk-barrier", "no",
                            "Order writes with barrier requests of the backing device."),
                "block devices know no barrier requests; disk-flushes orders the writes"),
    boolean_row(D, "disk-flushes", "yes", "Order writes with cache flushes."),
    meaningless(boolean_row(D, "disk-drain", "yes", "Order writes by waiting for earlier ones."),
                "earlier writes are always waited for"),
    boolean_row(D, "md-flushes", "yes", "Flush the device that holds the metadata."),
    number_row(D, "resync-rate", "250k", 1, 4194304, 'k', rate,
               "Resync speed while the dynamic controller is off."),
    number_row(D, "resync-after", "-1", -1, 1048575, '1', "",
               "Resync this device only after that minor; -1 depends on none."),
    clamped(number_row(D, "al-extents", "1237", 67, 65534, '1', "",
                       "Number of 4 MiB extents that may be hot at the same time.")),
    boolean_row(D, "al-updates", "yes", "Keep the activity log up to date on disk."),
    meaningless(boolean_row(D, "discard-zeroes-if-aligned", "yes",
                            "Treat aligned discards as writing zeroes."),
                "discarded blocks always read as zeros, on both nodes"),
    meaningless(boolean_row(D, "disable-write-same", "no", "Never use WRITE SAME requests."),
                "WRITE SAME is never offered, whatever this says"),
    number_row(D, "c-plan-ahead", "20", 0, 300, '1', tenths,
               "How far the resync controller looks ahead; 0 switches it off."),
    number_row(D, "c-delay-target", "10", 1, 100, '1', tenths,
               "Delay that the resync controller aims at when c-fill-target is 0."),
    number_row(D, "c-fill-target", "100s", 0, 1048576, 's', "bytes",
               "Resync data in flight that the controller aims at."),
    number_row(D, "c-max-rate", "102400k", 250, 4194304, 'k', rate,
               "Upper limit of the resync controller."),
    number_row(D, "c-min-rate", "250k", 0, 4194304, 'k', rate,
               "Resync speed below which application I/O does not push it; 0: no throttling."),
    number_row(D, "disk-timeout", "0", 0, 6000, '1', tenths,
               "Detach when the backing device answers later than this; 0 waits for ever."),
    word_row(D, "read-balancing", "prefer-local", read_balancing_words,
             "Which replica answers reads."),
    number_row(D, "rs-discard-granularity", "0", 0, 1048576, '1', "",
               "Resync zeroed areas of at least this many bytes as discards; 0: never."),
};

constexpr std::array net_rows{
    word_row(N, "protocol", "C", protocol_words,
             "When a write is complete: A sent, B received, C on the peer's disk."),
    number_row(N, "timeout", "60", 1, 600, '1', tenths,
               "How long the peer may take to answer; less than connect-int and ping-int."),
    number_row(N, "max-epoch-size", "2048", 1, 20000, '1', "", "Most writes between two barriers."),
    number_row(N, "max-buffers", "2048", 32, 131072, '1', "",
               "Pages for data from the peer that is not on disk yet."),
    meaningless(number_row(N, "unplug-watermark", "128", 1, 131072, '1', "",
                           "Pending requests at which the backing device's queue is started."),
                "requests are submitted to the backing device at once, there is no plugged queue"),
    number_row(N, "connect-int", "10", 1, 120, '1', "seconds",
               "Pause between two attempts to connect."),
    number_row(N, "ping-int", "10", 1, 120, '1', "seconds",
               "Idle time after which the peer is asked whether it lives."),
    number_row(N, "sndbuf-size", "0", 0, 10485760, '1', "bytes",
               "Send buffer of the data socket; 0 lets the system tune it."),
    number_row(N, "rcvbuf-size", "0", 0, 10485760, '1', "bytes",
               "Receive buffer of the data socket; 0 lets the system tune it."),
    number_row(N, "ko-count", "7", 0, 200, '1', "",
               "Expel a peer that misses this many timeouts with a request; 0: never."),
    boolean_row(N, "allow-two-primaries", "no", "Both nodes may be Primary at the same time."),
    text_row(N, "cram-hmac-alg", longest_text, "Digest that authenticates the peer."),
    text_row(N, "shared-secret", longest_text, "Secret that both nodes share."),
    word_row(N, "after-sb-0pri", "disconnect", after_sb_0p_words,
             "After a split brain with no Primary: whose changes to discard."),
    word_row(N, "after-sb-1pri", "disconnect", after_sb_1p_words,
             "After a split brain with one Primary: whose changes to discard."),
    word_row(N, "after-sb-2pri", "disconnect", after_sb_2p_words,
             "After a split brain with two Primaries: what to do."),
    boolean_row(N, "always-asbp", "no",
                "Apply the after-sb policies to unrelated data of an older split as well."),
    word_row(N, "rr-conflict", "disconnect", rr_conflict_words,
             "What to do when the data decides against the present roles."),
    number_row(N, "ping-timeout", "5", 1, 300, '1', tenths, "How long a ping may take."),
    text_row(N, "data-integrity-alg", longest_text, "Digest over every block that is sent."),
    boolean_row(N, "tcp-cork", "yes", "Gather small packets with TCP_CORK."),
    word_row(N, "on-congestion", "block", on_congestion_words,
             "What to do when the peer does not keep up (protocol A): wait, go on ahead of it and "
             "resync later, or disconnect."),
    number_row(N, "congestion-fill", "0s", 0, 20971520, 's', "bytes",
               "Data in flight that counts as congestion; 0: off."),
    number_row(N, "congestion-extents", "1237", 67, 65534, '1', "",
               "Active extents that count as congestion."),
    text_row(N, "csums-alg", longest_text, "Digest for resync by checksums."),
    boolean_row(N, "csums-after-crash-only", "no",
                "Use checksums only in the resync after a Primary crashed."),
    text_row(N, "verify-alg", longest_text, "Digest for online verification."),
    boolean_row(N, "use-rle", "yes", "Send the bitmap run-length encoded."),
    number_row(N, "socket-check-timeout", "0", 0, 300, '1', "",
               "How long to wait for the peer when connecting, 1/10 s; 0: ping-timeout."),
};

constexpr std::array resource_rows{
    text_row(R, "cpu-mask", longest_text, "CPUs that the engine may use, as a hexadecimal mask."),
    word_row(R, "on-no-data-accessible", "io-error", on_no_data_words,
             "What a request gets when no replica has the data."),
};

} // namespace

std::span<const option_row> rows(section where) {
    switch (where) {
    case section::disk:
        return disk_rows;
    case section::net:
        return net_rows;
    case section::resource:
        return resource_rows;
    }
    return {};
}

} // namespace lockstep::options
