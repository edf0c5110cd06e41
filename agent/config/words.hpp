// The reserved words of drbd.conf. A reserved word is never a name: a resource or host of that
// name has to be quoted.
// Source: drbd-utils 8.4, scanner of drbdadm; the words of DRBD 9 are not reserved here, so that
// every file of 8.3 and 8.4 keeps its meaning.
#pragma once

#include <span>
#include <string_view>

namespace lockstep::config {

enum class key : unsigned char {
    none, // not reserved
    on,
    ignore_on,
    stacked_on_top_of,
    floating,
    no,
    net,
    yes,
    ask,
    skip,
    disk,
    proxy,
    minor,
    inside,
    volume,
    cmd_timeout_short,
    cmd_timeout_medium,
    cmd_timeout_long,
    syncer,
    device,
    global,
    common,
    options,
    outside,
    address,
    alternate_address,
    startup,
    include,
    handlers,
    minor_count,
    disable_ip_verification,
    udev_always_use_vnr,
    dialog_refresh,
    resource,
    meta_disk,
    flexible_meta_disk,
    usage_count,
    this_host,
    remote_host,
    ssocks, // "sci" too
    sdp,
    ipv4,
    ipv6,
    disk_option,
    disk_flag,
    disk_no_flag, // no-disk-flushes and its kind
    net_option,
    net_flag,
    net_no_flag,
    net_delegate, // discard-my-data
    resource_option,
    startup_option,
    startup_flag,
    startup_delegate,
    handler_option,
    proxy_option,
    proxy_delegate,    // plugin
    deprecated_option, // 8.3's dead options: accepted with a value, without effect
};

struct reserved_word {
    std::string_view text;
    key id;
    bool in_syncer = false; // allowed in 8.3's syncer {}
    bool in_proxy = false;  // allowed in proxy {} as well
};

// Null if the word is not reserved.
const reserved_word* find_word(std::string_view text);
std::span<const reserved_word> reserved_words();

// Options of DRBD 9, by the section that takes them: legal in drbd.conf, kept and dumped, and not
// passed to an 8.4 engine. `reason` says why; where `only_value` is given, any other value is
// refused, because it would promise something that is not there.
struct word_of_9 {
    std::string_view text;
    std::string_view reason;
    std::string_view only_value = {};
};

enum class section_9 : unsigned char { resource_options, net, disk, handlers };

const word_of_9* find_word_of_9(section_9 section, std::string_view text);
std::span<const word_of_9> words_of_9(section_9 section);

} // namespace lockstep::config
