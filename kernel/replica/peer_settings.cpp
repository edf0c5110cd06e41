#include "kernel/replica/peer_settings.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "kernel/options/table.hpp"

namespace lockstep::replica {

namespace {

using options::after_split_brain;
using options::net_options;

struct policy {
    std::string_view option;
    after_split_brain net_options::*kept;
    std::uint32_t wire::connection_settings::*told;
};

constexpr std::array policies{
    policy{"after-sb-0pri", &net_options::after_sb_0pri, &wire::connection_settings::after_sb_0pri},
    policy{"after-sb-1pri", &net_options::after_sb_1pri, &wire::connection_settings::after_sb_1pri},
    policy{"after-sb-2pri", &net_options::after_sb_2pri, &wire::connection_settings::after_sb_2pri},
};

constexpr std::array<std::string_view, 6> compared{
    "protocol",      "after-sb-0pri",       "after-sb-1pri",
    "after-sb-2pri", "allow-two-primaries", "data-integrity-alg"};

// As the peer has them.
result<net_options> as_told(const net_options& own, const wire::connection_settings& told) {
    net_options out = own;
    out.protocol = static_cast<options::protocol>(told.wire_protocol);
    for (const policy& each : policies) {
        const std::uint32_t code = told.*each.told;
        const auto& words = options::find(options::section::net, each.option)->words;
        if (std::ranges::none_of(words, [&](const auto& word) {
                return static_cast<std::uint32_t>(word.value) == code;
            })) {
            return fail(fmt::format("incompatible {0} settings: {1} here, and on the peer number "
                                    "{2}, which is no policy of {0}. {3}",
                                    each.option, options::get(own, each.option), code,
                                    way_out_of_difference()));
        }
        out.*each.kept = static_cast<after_split_brain>(code);
    }
    out.allow_two_primaries = told.two_primaries != 0;
    out.data_integrity_alg = told.integrity.view();
    return out;
}

after_split_brain from_the_other_side(after_split_brain theirs) {
    switch (theirs) {
    case after_split_brain::discard_local:
        return after_split_brain::discard_remote;
    case after_split_brain::discard_remote:
        return after_split_brain::discard_local;
    default:
        return theirs;
    }
}

net_options from_the_other_side(net_options theirs) {
    for (const policy& each : policies) {
        theirs.*each.kept = from_the_other_side(theirs.*each.kept);
    }
    return theirs;
}

std::string for_a_person(const net_options& from, std::string_view option) {
    std::string text = options::get(from, option);
    return text.empty() ? "none" : text;
}

} // namespace

result<net_options> taken_over(const net_options& own, const wire::connection_settings& told) {
    return as_told(own, told).map(
        [](const net_options& theirs) { return from_the_other_side(theirs); });
}

std::string first_difference(const net_options& own, const wire::connection_settings& told,
                             const wire::protocol& rules) {
    auto theirs = as_told(own, told);
    if (!theirs) {
        return theirs.error().what;
    }
    if (!rules.has_integrity_algorithm()) {
        theirs->data_integrity_alg = own.data_integrity_alg;
    }
    const net_options wanted = from_the_other_side(*theirs);
    for (const std::string_view option : compared) {
        if (options::get(own, option) != options::get(wanted, option)) {
            const bool has_sides = options::get(wanted, option) != options::get(*theirs, option);
            return fmt::format("incompatible {} settings: {} here, {} on the peer{}. {}", option,
                               for_a_person(own, option), for_a_person(*theirs, option),
                               has_sides ? " (discard-local on one node goes with discard-remote "
                                           "on the other)"
                                         : "",
                               way_out_of_difference());
        }
    }
    return {};
}

std::string_view way_out_of_difference() {
    return "Make them alike in the net sections, then on both nodes: drbdadm adjust.";
}

} // namespace lockstep::replica
