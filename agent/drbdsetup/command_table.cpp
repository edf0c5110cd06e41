#include "agent/drbdsetup/command_table.hpp"

#include <algorithm>
#include <array>

namespace lockstep::drbdsetup {

namespace {

using control::command;
using text = std::string_view;
using kind = option_kind;

constexpr std::int64_t max_sectors = 2199023255552;

constexpr own_option flag(text name, char short_name, bool ours = false) {
    own_option made;
    made.name = name;
    made.short_name = short_name;
    made.ours = ours;
    return made;
}

constexpr own_option boolean(text name, text alias = {}, bool ours = false) {
    own_option made;
    made.name = name;
    made.kind = kind::boolean;
    made.alias = alias;
    made.ours = ours;
    return made;
}

constexpr own_option number(text name, std::int64_t min, std::int64_t max, std::int64_t initial,
                            char scale, text unit, text refused = {}) {
    own_option made;
    made.name = name;
    made.kind = kind::number;
    made.min = min;
    made.max = max;
    made.default_value = initial;
    made.scale = scale;
    made.unit = unit;
    made.refused = refused;
    return made;
}

constexpr own_option words(text name, char short_name, bool argument_may_lack) {
    own_option made;
    made.name = name;
    made.short_name = short_name;
    made.kind = kind::text;
    made.argument_may_lack = argument_may_lack;
    return made;
}

constexpr own_option address(text name, text refused) {
    own_option made;
    made.name = name;
    made.kind = kind::address;
    made.refused = refused;
    return made;
}

constexpr text one_pair = "a resource has one pair of addresses; use bonding of the interfaces "
                          "for a second path";
constexpr text fixed_layout = "the activity log is laid out by drbdmeta create-md "
                              "(--al-stripes, --al-stripe-size-kB) and does not move online";

constexpr std::array disk_arguments{text("lower_dev"), text("meta_data_dev"),
                                    text("meta_data_index")};
constexpr std::array minor_arguments{text("resource"), text("minor"), text("volume")};

constexpr std::array primary_options{boolean("force", "overwrite-data-of-peer")};
constexpr std::array force_options{boolean("force")};
constexpr std::array down_options{boolean("force", {}, true)};
// Of DRBD 9.
constexpr std::array secondary_options{boolean("force", {}, true)};
constexpr std::array detach_options{boolean("force"), boolean("diskless", {}, true)};
constexpr std::array connect_options{boolean("tentative", "dry-run"), boolean("discard-my-data"),
                                     address("alternate-address", one_pair),
                                     address("alternate-peer-address", one_pair)};
constexpr std::array resize_options{
    number("size", 0, max_sectors, 0, 's', "bytes"), boolean("assume-peer-has-space"),
    boolean("assume-clean"), number("al-stripes", 1, 1024, 1, '1', {}, fixed_layout),
    number("al-stripe-size-kB", 4, 16777216, 32, 'k', {}, fixed_layout)};
constexpr std::array uuid_options{boolean("clear-bitmap")};
constexpr std::array verify_options{number("start", 0, max_sectors, 0, 's', "bytes"),
                                    number("stop", 0, max_sectors, 0, 's', "bytes")};
constexpr std::array show_options{flag("show-defaults", 'D'), flag("json", 'j', true)};
constexpr std::array status_options{flag("verbose", 'v'), flag("statistics", 's'),
                                    words("color", 'c', true), flag("json", 'j', true)};
constexpr std::array events_options{flag("minors-only", 0, true)};
constexpr std::array events2_options{flag("timestamps", 'T'), flag("statistics", 's'),
                                     flag("now", 'n'),        flag("full", 'f', true),
                                     flag("diff", 'i', true), flag("poll", 'p', true)};
constexpr std::array wait_options{
    words("wfc-timeout", 't', false), words("degr-wfc-timeout", 'd', false),
    words("outdated-wfc-timeout", 'o', false), words("wait-after-sb", 'w', true)};

constexpr section_use all_of(options::section section) {
    return {section, false};
}
constexpr section_use changeable(options::section section) {
    return {section, true};
}

class row_maker {
public:
    constexpr row_maker(text name, std::uint8_t contexts, text summary) {
        row_.name = name;
        row_.contexts = contexts;
        row_.summary = summary;
    }
    constexpr row_maker arguments(std::span<const text> list) const {
        row_maker next = *this;
        next.row_.arguments = list;
        return next;
    }
    constexpr row_maker options(std::span<const own_option> list) const {
        row_maker next = *this;
        next.row_.options = list;
        return next;
    }
    constexpr row_maker section(section_use use) const {
        row_maker next = *this;
        next.row_.section = use;
        next.row_.set_defaults = use.only_at_run_time;
        return next;
    }
    constexpr row_maker asks(command what) const {
        row_maker next = *this;
        next.row_.request = what;
        return next;
    }
    constexpr row_maker ours() const {
        row_maker next = *this;
        next.row_.ours = true;
        return next;
    }
    constexpr row_maker or_all() const {
        row_maker next = *this;
        next.row_.all_is_ours = true;
        return next;
    }
    constexpr operator command_row() const { return row_; }

private:
    command_row row_;
};

constexpr options::section disk = options::section::disk;
constexpr options::section net = options::section::net;
constexpr options::section resource = options::section::resource;

// In the order of the original's help.
constexpr std::array<command_row, 38> table = {{
    row_maker("primary", on_minor, "Makes this node Primary.")
        .options(primary_options)
        .asks(command::primary),
    row_maker("secondary", on_minor, "Makes this node Secondary.")
        .options(secondary_options)
        .asks(command::secondary),
    row_maker("attach", on_minor, "Gives a volume its disk.")
        .arguments(disk_arguments)
        .section(all_of(disk))
        .asks(command::attach),
    row_maker("disk-options", on_minor, "Changes options of an attached disk.")
        .section(changeable(disk))
        .asks(command::disk_options),
    row_maker("detach", on_minor, "Takes the disk from a volume.")
        .options(detach_options)
        .asks(command::detach),
    row_maker("connect", on_resource | on_connection, "Connects to the peer.")
        .options(connect_options)
        .section(all_of(net))
        .asks(command::connect),
    row_maker("net-options", on_connection, "Changes options of a connection.")
        .section(changeable(net))
        .asks(command::net_options),
    row_maker("disconnect", on_connection, "Ends the connection to the peer.")
        .options(force_options)
        .asks(command::disconnect),
    row_maker("resize", on_minor, "Uses the size that the disks have now.")
        .options(resize_options)
        .asks(command::resize),
    row_maker("resource-options", on_resource, "Changes options of a resource.")
        .section(changeable(resource))
        .asks(command::resource_options),
    row_maker("new-current-uuid", on_minor, "Begins a new data generation.")
        .options(uuid_options)
        .asks(command::new_current_uuid),
    row_maker("invalidate", on_minor, "Makes the local data a target of a full sync.")
        .asks(command::invalidate),
    row_maker("invalidate-remote", on_minor, "Makes the peer's data a target of a full sync.")
        .asks(command::invalidate_remote),
    row_maker("pause-sync", on_minor, "Pauses the resync.").asks(command::pause_sync),
    row_maker("resume-sync", on_minor, "Lets the resync go on.").asks(command::resume_sync),
    row_maker("suspend-io", on_minor, "Freezes application I/O.").asks(command::suspend_io),
    row_maker("resume-io", on_minor, "Lets application I/O go on.").asks(command::resume_io),
    row_maker("outdate", on_minor, "Marks the local data as outdated.").asks(command::outdate),
    row_maker("verify", on_minor, "Compares the disks block by block.")
        .options(verify_options)
        .asks(command::verify),
    row_maker("down", on_resource, "Takes a resource down and ends its engine.")
        .options(down_options)
        .asks(command::down)
        .or_all(),
    row_maker("state", on_minor, "The old name of role."),
    row_maker("role", on_minor, "Prints local/peer role."),
    row_maker("sh-status", on_minor | on_resource | on_all, "Prints states for shell scripts."),
    row_maker("cstate", on_minor, "Prints the connection state."),
    row_maker("dstate", on_minor, "Prints local/peer disk state."),
    row_maker("show-gi", on_minor, "Draws the generation identifiers."),
    row_maker("get-gi", on_minor, "Prints the generation identifiers."),
    row_maker("show", on_minor | on_resource | on_all, "Prints the running configuration.")
        .options(show_options),
    row_maker("status", on_resource | on_all, "Prints what the resources do.")
        .options(status_options),
    row_maker("check-resize", on_minor, "Remembers the size of the disk for drbdmeta."),
    row_maker("events", on_minor | on_resource | on_all, "Prints changes of states.")
        .options(events_options),
    row_maker("events2", on_resource | on_all, "Prints what happens, as it happens.")
        .options(events2_options),
    row_maker("wait-connect", on_minor, "Waits for the connection.").options(wait_options),
    row_maker("wait-sync", on_minor, "Waits until the data is in sync.").options(wait_options),
    row_maker("new-resource", on_resource, "Starts the engine of a resource.")
        .section(all_of(resource)),
    row_maker("new-minor", on_nothing, "Makes a volume and its device.")
        .arguments(minor_arguments)
        .asks(command::new_minor),
    row_maker("del-minor", on_minor, "Removes a volume and its device.").asks(command::del_minor),
    row_maker("del-resource", on_resource, "Ends the engine of an empty resource.")
        .asks(command::del_resource),
}};

constexpr std::array<command_row, 1> our_table = {{
    row_maker("proc", on_all, "Prints what /proc/drbd would.").ours(),
}};

constexpr std::array<command_row, table.size() + our_table.size()> joined() {
    std::array<command_row, table.size() + our_table.size()> all = {};
    std::copy(table.begin(), table.end(), all.begin());
    std::copy(our_table.begin(), our_table.end(), all.begin() + table.size());
    return all;
}

constexpr auto all_commands = joined();

} // namespace

std::span<const command_row> commands() {
    return all_commands;
}

const command_row* find_command(std::string_view name) {
    const auto found = std::find_if(all_commands.begin(), all_commands.end(),
                                    [&](const command_row& row) { return row.name == name; });
    return found == all_commands.end() ? nullptr : &*found;
}

const own_option* find_option(const command_row& row, std::string_view name) {
    for (const own_option& option : row.options) {
        if (option.name == name || (!option.alias.empty() && option.alias == name)) {
            return &option;
        }
    }
    return nullptr;
}

bool takes(const command_row& row, const options::option_row& option) {
    return row.section && row.section->section == option.section &&
           (option.at_run_time || !row.section->only_at_run_time);
}

std::string first_argument(const command_row& row) {
    std::string choices;
    const auto add = [&](context which, std::string_view word) {
        if ((row.contexts & which) != 0) {
            choices += choices.empty() ? "" : "|";
            choices += word;
        }
    };
    add(on_resource, "resource");
    add(on_minor, "minor");
    add(on_all, "all");
    return choices.empty() ? choices : "{" + choices + "}";
}

} // namespace lockstep::drbdsetup
