#include "agent/config/words.hpp"

#include <algorithm>
#include <array>
#include <span>

namespace lockstep::config {

namespace {

// Sorted by text.
constexpr std::array reserved{
    reserved_word{"_remote_host", key::remote_host},
    reserved_word{"_this_host", key::this_host},
    reserved_word{"address", key::address},
    reserved_word{"after", key::disk_option, true},
    reserved_word{"after-resync-target", key::handler_option},
    reserved_word{"after-sb-0pri", key::net_option},
    reserved_word{"after-sb-1pri", key::net_option},
    reserved_word{"after-sb-2pri", key::net_option},
    reserved_word{"al-extents", key::disk_option, true},
    reserved_word{"al-updates", key::disk_flag},
    reserved_word{"allow-two-primaries", key::net_flag},
    reserved_word{"alternate-link-address", key::alternate_address},
    reserved_word{"always-asbp", key::net_flag},
    reserved_word{"ask", key::ask},
    reserved_word{"become-primary-on", key::startup_delegate},
    reserved_word{"before-resync-source", key::handler_option},
    reserved_word{"before-resync-target", key::handler_option},
    reserved_word{"bwlimit", key::proxy_option, false, true},
    reserved_word{"c-delay-target", key::disk_option, true},
    reserved_word{"c-fill-target", key::disk_option, true},
    reserved_word{"c-max-rate", key::disk_option, true},
    reserved_word{"c-min-rate", key::disk_option, true},
    reserved_word{"c-plan-ahead", key::disk_option, true},
    reserved_word{"cmd-timeout-long", key::cmd_timeout_long},
    reserved_word{"cmd-timeout-medium", key::cmd_timeout_medium},
    reserved_word{"cmd-timeout-short", key::cmd_timeout_short},
    reserved_word{"common", key::common},
    reserved_word{"compression", key::proxy_option, false, true},
    reserved_word{"congestion-extents", key::net_option},
    reserved_word{"congestion-fill", key::net_option},
    reserved_word{"connect-int", key::net_option},
    reserved_word{"cpu-mask", key::resource_option, true},
    reserved_word{"cram-hmac-alg", key::net_option},
    reserved_word{"csums-after-crash-only", key::net_flag},
    reserved_word{"csums-alg", key::net_option, true},
    reserved_word{"data-integrity-alg", key::net_option},
    reserved_word{"degr-wfc-timeout", key::startup_option},
    reserved_word{"delay-probe-interval", key::deprecated_option},
    reserved_word{"delay-probe-volume", key::deprecated_option},
    reserved_word{"device", key::device},
    reserved_word{"dialog-refresh", key::dialog_refresh},
    reserved_word{"disable-ip-verification", key::disable_ip_verification},
    reserved_word{"disable-write-same", key::disk_flag},
    reserved_word{"discard-my-data", key::net_delegate},
    reserved_word{"discard-zeroes-if-aligned", key::disk_flag},
    reserved_word{"disk", key::disk},
    reserved_word{"disk-barrier", key::disk_flag},
    reserved_word{"disk-drain", key::disk_flag},
    reserved_word{"disk-flushes", key::disk_flag},
    reserved_word{"disk-timeout", key::disk_option},
    reserved_word{"fence-peer", key::handler_option},
    reserved_word{"fencing", key::disk_option},
    reserved_word{"flexible-meta-disk", key::flexible_meta_disk},
    reserved_word{"floating", key::floating},
    reserved_word{"global", key::global},
    reserved_word{"handlers", key::handlers},
    reserved_word{"hold-off-threshold", key::deprecated_option},
    reserved_word{"ignore-on", key::ignore_on},
    reserved_word{"include", key::include},
    reserved_word{"initial-split-brain", key::handler_option},
    reserved_word{"inside", key::inside},
    reserved_word{"ipv4", key::ipv4},
    reserved_word{"ipv6", key::ipv6},
    reserved_word{"ko-count", key::net_option},
    reserved_word{"local-io-error", key::handler_option},
    reserved_word{"max-bio-bvecs", key::disk_option},
    reserved_word{"max-buffers", key::net_option},
    reserved_word{"max-epoch-size", key::net_option},
    reserved_word{"md-flushes", key::disk_flag},
    reserved_word{"memlimit", key::proxy_option, false, true},
    reserved_word{"meta-disk", key::meta_disk},
    reserved_word{"minor", key::minor},
    reserved_word{"minor-count", key::minor_count},
    reserved_word{"net", key::net},
    reserved_word{"no", key::no},
    reserved_word{"no-disk-barrier", key::disk_no_flag},
    reserved_word{"no-disk-drain", key::disk_no_flag},
    reserved_word{"no-disk-flushes", key::disk_no_flag},
    reserved_word{"no-md-flushes", key::disk_no_flag},
    reserved_word{"no-tcp-cork", key::net_no_flag},
    reserved_word{"on", key::on},
    reserved_word{"on-congestion", key::net_option},
    reserved_word{"on-io-error", key::disk_option},
    reserved_word{"on-no-data-accessible", key::resource_option, true},
    reserved_word{"options", key::options},
    reserved_word{"out-of-sync", key::handler_option},
    reserved_word{"outdate-peer", key::handler_option},
    reserved_word{"outdated-wfc-timeout", key::startup_option},
    reserved_word{"outside", key::outside},
    reserved_word{"ping-int", key::net_option},
    reserved_word{"ping-timeout", key::net_option, false, true},
    reserved_word{"plugin", key::proxy_delegate},
    reserved_word{"pri-lost", key::handler_option},
    reserved_word{"pri-lost-after-sb", key::handler_option},
    reserved_word{"pri-on-incon-degr", key::handler_option},
    reserved_word{"protocol", key::net_option},
    reserved_word{"proxy", key::proxy},
    reserved_word{"rate", key::disk_option, true},
    reserved_word{"rcvbuf-size", key::net_option, false, true},
    reserved_word{"read-balancing", key::disk_option},
    reserved_word{"read-loops", key::proxy_option, false, true},
    reserved_word{"resource", key::resource},
    reserved_word{"resync-after", key::disk_option},
    reserved_word{"resync-rate", key::disk_option},
    reserved_word{"rr-conflict", key::net_option},
    reserved_word{"rs-discard-granularity", key::disk_option},
    reserved_word{"sci", key::ssocks},
    reserved_word{"sdp", key::sdp},
    reserved_word{"shared-secret", key::net_option},
    reserved_word{"size", key::disk_option},
    reserved_word{"skip", key::skip},
    reserved_word{"sndbuf-size", key::net_option, false, true},
    reserved_word{"socket-check-timeout", key::net_option},
    reserved_word{"split-brain", key::handler_option},
    reserved_word{"ssocks", key::ssocks},
    reserved_word{"stacked-on-top-of", key::stacked_on_top_of},
    reserved_word{"stacked-timeouts", key::startup_delegate},
    reserved_word{"startup", key::startup},
    reserved_word{"syncer", key::syncer},
    reserved_word{"tcp-cork", key::net_flag},
    reserved_word{"throttle-threshold", key::deprecated_option},
    reserved_word{"timeout", key::net_option},
    reserved_word{"udev-always-use-vnr", key::udev_always_use_vnr},
    reserved_word{"unfence-peer", key::handler_option},
    reserved_word{"unplug-watermark", key::net_option},
    reserved_word{"usage-count", key::usage_count},
    reserved_word{"use-bmbv", key::disk_flag},
    reserved_word{"use-rle", key::net_flag, true},
    reserved_word{"verify-alg", key::net_option, true},
    reserved_word{"volume", key::volume},
    reserved_word{"wait-after-sb", key::startup_flag},
    reserved_word{"wfc-timeout", key::startup_option},
    reserved_word{"yes", key::yes},
};

constexpr std::string_view daemon =
    "the cluster daemon acts on it, the replication engine does not";
constexpr std::string_view three_nodes = "it matters with three or more nodes only";
constexpr std::string_view other_driver = "it tunes a driver that is not used here";
constexpr std::string_view no_auto_promote =
    "promotion at open needs a kernel part; promote by drbdadm, the daemon or Pacemaker";

constexpr std::array resource_words{
    word_of_9{"auto-promote", no_auto_promote},
    word_of_9{"auto-promote-timeout", no_auto_promote},
    word_of_9{"drbd8-compat-mode", "the wire protocol of 8.4 is the only one"},
    word_of_9{"max-io-depth", other_driver},
    word_of_9{"on-no-quorum", daemon},
    word_of_9{"on-suspended-primary-outdated", daemon},
    word_of_9{"peer-ack-delay", three_nodes},
    word_of_9{"peer-ack-window", three_nodes},
    word_of_9{"quorum", daemon},
    word_of_9{"quorum-minimum-redundancy", daemon},
    word_of_9{"twopc-retry-timeout", three_nodes},
    word_of_9{"twopc-timeout", three_nodes},
};

constexpr std::array net_words{
    word_of_9{"allow-remote-read", "reads of a diskless node always go through the peer"},
    word_of_9{"load-balance-paths", other_driver},
    word_of_9{"rdma-ctrl-rcvbuf-size", other_driver},
    word_of_9{"rdma-ctrl-sndbuf-size", other_driver},
    word_of_9{"tls", "the replication link is not encrypted; use a tunnel", "no"},
    word_of_9{"tls-certificate", "it matters with tls only"},
    word_of_9{"tls-keyring", "it matters with tls only"},
    word_of_9{"tls-privkey", "it matters with tls only"},
    word_of_9{"transport", "TCP is the only transport", "tcp"},
};

constexpr std::array disk_words{
    word_of_9{"bitmap", three_nodes},
    word_of_9{"block-size", "the block size follows the backing device"},
    word_of_9{"discard-granularity", "the granularity follows the backing device"},
    word_of_9{"max-bio-size", other_driver},
    word_of_9{"resync-without-replication", three_nodes},
    word_of_9{"tiebreaker", three_nodes},
};

constexpr std::array handler_words{
    word_of_9{"disconnected", daemon},
    word_of_9{"quorum-lost", daemon},
};

} // namespace

std::span<const reserved_word> reserved_words() {
    return reserved;
}

std::span<const word_of_9> words_of_9(section_9 section) {
    switch (section) {
    case section_9::resource_options:
        return resource_words;
    case section_9::net:
        return net_words;
    case section_9::disk:
        return disk_words;
    case section_9::handlers:
        break;
    }
    return handler_words;
}

const reserved_word* find_word(std::string_view text) {
    const auto found = std::lower_bound(
        reserved.begin(), reserved.end(), text,
        [](const reserved_word& row, std::string_view wanted) { return row.text < wanted; });
    return found != reserved.end() && found->text == text ? &*found : nullptr;
}

const word_of_9* find_word_of_9(section_9 section, std::string_view text) {
    const auto all = words_of_9(section);
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const auto& row) { return row.text == text; });
    return found == all.end() ? nullptr : &*found;
}

} // namespace lockstep::config
