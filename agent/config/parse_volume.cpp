// device, disk and meta-disk statements, with or without volume {} around them.
#include <algorithm>
#include <charconv>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <fmt/format.h>

#include "agent/config/parser.hpp"

namespace lockstep::config {

namespace {

constexpr unsigned largest_minor = (1U << 20) - 1;
constexpr unsigned largest_volume = 65534;
constexpr unsigned drbd_major = 147;
constexpr std::string_view device_prefix = "/dev/drbd";

std::optional<unsigned> digits(std::string_view text) {
    unsigned value = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failed != std::errc{} || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return value;
}

// From the name, or from the node if somebody made one by hand.
std::optional<unsigned> minor_of_device(const std::string& device) {
    if (device.substr(0, device_prefix.size()) == device_prefix) {
        if (const auto number = digits(std::string_view(device).substr(device_prefix.size()))) {
            return number;
        }
    }
    struct stat found {};
    if (::stat(device.c_str(), &found) == 0 && S_ISBLK(found.st_mode) &&
        major(found.st_rdev) == drbd_major) {
        return minor(found.st_rdev);
    }
    return std::nullopt;
}

} // namespace

volume& parser::implicit_volume(std::vector<volume>& all) {
    if (all.empty()) {
        all.emplace_back();
        all.back().implicit = true;
        all.back().at = statement_;
    } else if (all.size() > 1 || !all.front().implicit) {
        state_.diag.error(here(), "mixing explicit and implicit volumes is not allowed");
    }
    return all.front();
}

void parser::add_volume(std::vector<volume>& all, volume row, const std::string& where) {
    const auto behind = std::find_if(
        all.begin(), all.end(), [&](const volume& other) { return other.number >= row.number; });
    if (behind != all.end() && behind->number == row.number && !state_.stopped) {
        // An implicit volume in the way is reported as mixing, at the end of the section.
        if (!behind->implicit) {
            state_.diag.error(row.at,
                              fmt::format("conflicting use of volume '{}:{}' ...\n{}: "
                                          "volume '{}:{}' first used here.",
                                          where, row.number, behind->at.text(), where, row.number));
            return;
        }
    }
    all.insert(behind, std::move(row));
}

unsigned parser::parse_volume_number() {
    return bounded(expect_number(), "volume", 0, largest_volume);
}

volume parser::parse_volume(const std::vector<std::string>& on_hosts, bool stacked) {
    volume row;
    row.at = statement_;
    row.number = parse_volume_number();
    expect('{');
    while (!state_.stopped && !next().is('}')) {
        const bool known = stacked
                               ? word() == key::device
                               : word() == key::device || word() == key::disk ||
                                     word() == key::meta_disk || word() == key::flexible_meta_disk;
        if (!known) {
            expected(stacked ? "device | }" : "device | disk | meta-disk | flexible-meta-disk | }");
            break;
        }
        parse_volume_statement(on_hosts, row);
    }
    if (stacked) {
        row.meta_disk = "internal";
        row.meta_index = "internal";
    }
    return row;
}

// The keyword has been read.
bool parser::parse_volume_statement(const std::vector<std::string>& on_hosts, volume& into) {
    switch (word()) {
    case key::disk:
        parse_disk_statement(into);
        return true;
    case key::device:
        parse_device(on_hosts, into);
        return true;
    case key::meta_disk:
        parse_meta_disk(into);
        return true;
    case key::flexible_meta_disk:
        into.meta_disk = expect_string();
        into.meta_index = into.internal_metadata() ? "internal" : "flexible";
        expect(';');
        return true;
    default:
        return unknown("device | disk | meta-disk");
    }
}

// disk PATH; or disk { options }
void parser::parse_disk_statement(volume& into) {
    next();
    if (token_.is('{')) {
        resource fencing_of_9;
        into.disk_options = parse_option_block(disk_section, fencing_of_9);
    } else if (is_string()) {
        into.disk = token_.text;
        expect(';');
    } else {
        expected("a path | {");
    }
}

// meta-disk internal; meta-disk DEVICE; meta-disk DEVICE [INDEX];
void parser::parse_meta_disk(volume& into) {
    into.meta_disk = expect_string();
    if (into.internal_metadata()) {
        into.meta_index = "internal";
        return expect(';');
    }
    next();
    if (token_.is('[')) {
        into.meta_index = expect_number();
        bounded(*into.meta_index, "meta-disk index", 0, 255);
        expect(']');
        expect(';');
    } else if (token_.is(';')) {
        into.meta_index = "flexible";
    } else {
        expected("[ | ;");
    }
}

// device NAME; device NAME minor N; device minor N;
void parser::parse_device(const std::vector<std::string>& on_hosts, volume& into) {
    next();
    if (is_string()) {
        parse_device_name(into);
    } else if (word() != key::minor) {
        return expected("a device name | minor");
    }
    if (word() == key::minor) {
        into.minor = bounded(expect_number(), "minor", 0, largest_minor);
        expect(';');
        check_device_name(into);
    }
    if (state_.stopped) {
        return;
    }
    for (const std::string& name : on_hosts) {
        if (into.minor) {
            claim(state_.everywhere, "device-minor",
                  fmt::format("device-minor:{}:{}", name, *into.minor));
        }
        if (into.device) {
            claim(state_.everywhere, "device", fmt::format("device:{}:{}", name, *into.device));
        }
    }
}

// Leaves the token behind the name as the current one: `minor` or ';'.
void parser::parse_device_name(volume& into) {
    const bool is_short = token_.text.substr(0, 4) == "drbd";
    into.device = is_short ? "/dev/" + token_.text : token_.text;
    if (into.device->substr(0, device_prefix.size()) != device_prefix) {
        state_.diag.error(statement_, "device name must start with /dev/drbd\n"
                                      "\t(/dev/ is optional, but drbd is required)");
    }
    next();
    if (word() == key::minor) {
        return;
    }
    if (!token_.is(';')) {
        return expected("minor | ;");
    }
    into.minor = minor_of_device(*into.device);
    if (!into.minor || *into.minor > largest_minor) {
        state_.diag.error(statement_, "no minor given nor device name contains a minor number");
        into.minor = 0;
    }
}

// /dev/drbdN and minor M must agree; other names start with /dev/drbd_.
void parser::check_device_name(const volume& row) {
    if (!row.device || !row.minor || row.device->size() <= device_prefix.size()) {
        return;
    }
    const std::string_view rest = std::string_view(*row.device).substr(device_prefix.size());
    const auto named = digits(rest);
    if (named && *named != *row.minor) {
        state_.diag.error(statement_,
                          fmt::format("explicit minor number must match with device name\n"
                                      "\tTry \"device /dev/drbd{} minor {};\",\n"
                                      "\tor leave off either device name or explicit minor.\n"
                                      "\tArbitrary device names must start with /dev/drbd_\n"
                                      "\tmind the '_'! (/dev/ is optional, but drbd_ is required)",
                                      *row.minor, *row.minor));
    } else if (!named && rest.front() != '_') {
        state_.diag.error(statement_, "arbitrary device name must start with /dev/drbd_\n"
                                      "\tmind the '_'! (/dev/ is optional, but drbd_ is required)");
    }
}

} // namespace lockstep::config
