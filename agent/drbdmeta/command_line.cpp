#include "agent/drbdmeta/command_line.hpp"

#include <getopt.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <iterator>

#include <fmt/format.h>

#include "agent/drbdmeta/console.hpp"

namespace lockstep::drbdmeta {

namespace {

// The largest activity log that drbdmeta makes: 32 MiB.
constexpr std::uint64_t al_blocks_created_max = 8192;
constexpr std::uint64_t peer_max_bio_size_max = 1U << 20U;
constexpr long node_id_max = 31;

struct option_values {
    std::uint64_t stripes = 1;
    std::uint64_t stripe_blocks = 8;
    std::optional<std::uint64_t> node_id;
};

tl::unexpected<error> usage(const std::string& program) {
    std::string text = fmt::format(
        "\nUSAGE: {} [--force] DEVICE FORMAT [FORMAT ARGS...] COMMAND [CMD ARGS...]\n", program);
    text += "\nFORMATS:\n  v06 minor\n  v07 device index\n  v08 device index\n  v09 device index\n";
    text += "\nCOMMANDS:\n";
    for (const auto& command : commands()) {
        if (command.in_usage) {
            text += fmt::format("  {}{} {}\n", command.name,
                                command.takes_node_id ? " --node-id {val}" : "",
                                command.arguments == nullptr ? "" : command.arguments);
        }
    }
    console(false, 0).print(text);
    return stop(20);
}

// A number with an optional unit; the value is in units of 2^default_shift bytes, and a smaller
// unit rounds up.
result<std::uint64_t> number(const std::string& text, unsigned default_shift) {
    char* end = nullptr;
    errno = 0;
    const bool digits = !text.empty() && std::isdigit(static_cast<unsigned char>(text[0])) != 0;
    std::uint64_t value = digits ? std::strtoull(text.c_str(), &end, 10) : 0;
    const std::string unit = digits ? end : "?";
    unsigned shift = default_shift;
    if (unit == "K" || unit == "k") {
        shift = 10;
    } else if (unit == "M" || unit == "m") {
        shift = 20;
    } else if (unit == "G" || unit == "g") {
        shift = 30;
    } else if (unit == "s") {
        shift = 9;
    } else if (!unit.empty()) {
        return stop(20, fmt::format("{} is not a valid number\n", text));
    }
    if (errno != 0 || value > (~std::uint64_t{0} >> shift)) {
        return stop(20, fmt::format("{}: out of range\n", text));
    }
    value <<= shift;
    const std::uint64_t one = std::uint64_t{1} << default_shift;
    return value / one + (value % one != 0 ? 1 : 0);
}

result<bitmap_mode> read_bitmap_mode(const std::string& text) {
    constexpr std::array names = {"automatic", "zeroout", "pwrite", "skip"};
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (text == names[i]) {
            return static_cast<bitmap_mode>(i);
        }
    }
    return stop(10, fmt::format("invalid initialize-bitmap-mode \"{}\", should be one of "
                                "automatic|zeroout|pwrite|skip\n",
                                text));
}

result<> take_peer_max_bio_size(invocation& into, const std::string& text) {
    const auto value = number(text, 0);
    if (!value) {
        return tl::unexpected(value.error());
    }
    if (*value > peer_max_bio_size_max) {
        return stop(10, "peer-max-bio-size out of range (0...1M)\n");
    }
    into.peer_max_bio_size = static_cast<std::uint32_t>(*value);
    return {};
}

result<> take_node_id(option_values& into, const std::string& text) {
    const auto value = number(text, 0);
    if (!value) {
        return tl::unexpected(value.error());
    }
    if (*value > node_id_max) {
        return stop(10, fmt::format("node-id out of range (0...{})\n", node_id_max));
    }
    into.node_id = *value;
    return {};
}

result<> take_striping(invocation& into, std::uint64_t& field, const std::string& text,
                       unsigned shift, std::uint64_t divisor) {
    const auto value = number(text, shift);
    if (!value) {
        return tl::unexpected(value.error());
    }
    field = *value / divisor;
    into.striping_given = true;
    return {};
}

result<> take_option(int option, const std::string& value, invocation& into,
                     option_values& values) {
    switch (option) {
    case 0:
        return {};
    case 'f':
        into.force = true;
        return {};
    case 'v':
        ++into.verbosity;
        return {};
    case 'p':
        return take_peer_max_bio_size(into, value);
    case 'i':
        return take_node_id(values, value);
    case 's':
        return take_striping(into, values.stripes, value, 0, 1);
    case 'z':
        return take_striping(into, values.stripe_blocks, value, 10, 4);
    case 'b': {
        const auto mode = read_bitmap_mode(value);
        if (!mode) {
            return tl::unexpected(mode.error());
        }
        into.bitmap = *mode;
        return {};
    }
    default:
        return usage(into.program);
    }
}

result<> read_options(int argc, char** argv, invocation& into, option_values& values) {
    int ignore_sanity_checks = 0;
    int dry_run = 0;
    const std::array<option, 10> known = {{
        {"ignore-sanity-checks", no_argument, &ignore_sanity_checks, 1},
        {"dry-run", no_argument, &dry_run, 1},
        {"force", no_argument, nullptr, 'f'},
        {"verbose", no_argument, nullptr, 'v'},
        {"peer-max-bio-size", required_argument, nullptr, 'p'},
        {"node-id", required_argument, nullptr, 'i'},
        {"al-stripes", required_argument, nullptr, 's'},
        {"al-stripe-size-kB", required_argument, nullptr, 'z'},
        {"initialize-bitmap", required_argument, nullptr, 'b'},
        {nullptr, 0, nullptr, 0},
    }};
    for (;;) {
        const int found = getopt_long(argc, argv, "fvp:i:s:z:b:", known.data(), nullptr);
        if (found == -1) {
            break;
        }
        if (auto taken = take_option(found, optarg == nullptr ? "" : optarg, into, values);
            !taken) {
            return taken;
        }
    }
    into.ignore_sanity_checks = ignore_sanity_checks != 0;
    into.dry_run = dry_run != 0;
    return {};
}

result<format::placement> read_index(const std::string& text) {
    if (text == "internal" || text == "flex-internal") {
        return format::placement{format::placement_kind::internal, 0};
    }
    if (text == "flex-external") {
        return format::placement{format::placement_kind::flex_external, 0};
    }
    char* end = nullptr;
    errno = 0;
    const long index = std::strtol(text.c_str(), &end, 0);
    if (text.empty() || *end != 0 || index < 0 || index > 255 || errno != 0) {
        return stop(20, fmt::format("'{}' is not a valid index number.\n", text));
    }
    return format::placement{format::placement_kind::indexed, static_cast<std::uint32_t>(index)};
}

result<> check_format(const std::string& name) {
    if (name == "v08") {
        return {};
    }
    if (name == "v06" || name == "v07") {
        return stop(20, fmt::format("Metadata of format {} (DRBD {}) is not supported: convert it "
                                    "to v08 with the drbdmeta of drbd-utils.\n",
                                    name, name == "v06" ? "0.6" : "0.7"));
    }
    if (name == "v09") {
        return stop(20, "Metadata of format v09 (DRBD 9) is not supported: this suite works with "
                        "v08. Convert it with the\ndrbdmeta of drbd-utils 9 (MINOR v08 DEVICE "
                        "INDEX create-md offers it), or make new v08 metadata.\n");
    }
    return stop(20, fmt::format("Unknown format '{}'.\n", name));
}

result<> read_words(std::vector<std::string> words, invocation& into) {
    if (words.empty()) {
        return usage(into.program);
    }
    into.drbd_device = words[0];
    if (words.size() < 2) {
        return stop(20, "Format identifier missing\n");
    }
    if (auto known = check_format(words[1]); !known) {
        return known;
    }
    if (words.size() < 4) {
        return stop(20, "Too few arguments for format\n");
    }
    into.device = words[2];
    const auto where = read_index(words[3]);
    if (!where) {
        return tl::unexpected(where.error());
    }
    into.where = *where;
    if (words.size() < 5) {
        return stop(20, "command missing\n");
    }
    for (const auto& command : commands()) {
        if (words[4] == command.name) {
            into.command = &command;
        }
    }
    if (into.command == nullptr) {
        return stop(20, fmt::format("Unknown command '{}'.\n", words[4]));
    }
    into.arguments.assign(std::make_move_iterator(words.begin() + 5),
                          std::make_move_iterator(words.end()));
    return {};
}

result<> check_combination(invocation& call, const option_values& values) {
    const std::string command = call.command->name;
    if (call.peer_max_bio_size != 0 && command != "create-md") {
        return stop(10, "The --peer-max-bio-size option is only allowed with create-md\n");
    }
    if (call.striping_given && command != "create-md" && command != "restore-md") {
        return stop(10, "The --al-stripe* options are only allowed with create-md and "
                        "restore-md\n");
    }
    const bool overflow =
        values.stripe_blocks != 0 && values.stripes > al_blocks_created_max / values.stripe_blocks;
    if (overflow) {
        return stop(10, "invalid (too large) al-stripe* settings\n");
    }
    if (values.stripes * values.stripe_blocks < format::al_blocks_min) {
        return stop(10, "invalid (too small) al-stripe* settings\n");
    }
    call.striping = {static_cast<std::uint32_t>(values.stripes),
                     static_cast<std::uint32_t>(values.stripe_blocks)};
    if (values.node_id && !call.command->takes_node_id) {
        return stop(10,
                    fmt::format("The {} command does not accept the --node-id option\n", command));
    }
    if (values.node_id && *values.node_id != 0) {
        console(false, 0).remark("Not v09, implicitly set --node-id = 0\n");
    }
    return {};
}

} // namespace

const std::vector<command_info>& commands() {
    static const std::vector<command_info> table = {
        {"get-gi", nullptr, true, true, false},
        {"show-gi", nullptr, true, true, false},
        {"dump-md", nullptr, true, false, false},
        {"restore-md", "file", true, false, true},
        {"verify-dump", "file", true, false, false},
        {"apply-al", nullptr, true, false, true},
        {"wipe-md", nullptr, true, false, true},
        {"outdate", nullptr, true, false, true},
        {"invalidate", nullptr, true, false, true},
        {"dstate", nullptr, true, false, false},
        {"read-dev-uuid", nullptr, false, false, false},
        {"write-dev-uuid", "VAL", false, false, true},
        {"set-gi", ":::VAL:VAL:...", false, true, true},
        {"check-resize", nullptr, true, false, true},
        {"create-md",
         "[--peer-max-bio-size {val}] [--al-stripes {val}] [--al-stripe-size-kB {val}]", true,
         false, true},
    };
    return table;
}

result<invocation> read_command_line(int argc, char** argv) {
    invocation call;
    const std::string name = argc > 0 ? argv[0] : "drbdmeta";
    call.program = name.substr(name.find_last_of('/') + 1);
    call.words.emplace_back(call.program);
    for (int i = 1; i < argc; ++i) {
        call.words.emplace_back(argv[i]);
    }
    if (argc < 4) {
        return usage(call.program);
    }
    option_values values;
    const auto good = read_options(argc, argv, call, values)
                          .and_then([&] {
                              return read_words({argv + optind, argv + argc}, call);
                          })
                          .and_then([&] { return check_combination(call, values); });
    if (!good) {
        return tl::unexpected(good.error());
    }
    return call;
}

} // namespace lockstep::drbdmeta
