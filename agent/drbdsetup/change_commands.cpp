#include "agent/drbdsetup/change_commands.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <optional>

#include <fmt/format.h>

#include "agent/drbdmeta/minor.hpp"
#include "agent/drbdsetup/messages.hpp"
#include "agent/drbdsetup/query_commands.hpp"

namespace lockstep::drbdsetup {

namespace {

// As long as the original waits for an answer of the kernel.
constexpr std::int64_t answer_ms = 120000;

std::uint64_t sectors(const invocation& asked, std::string_view option, std::uint64_t fallback) {
    const std::string text = asked.value(option, "");
    return text.empty() ? fallback : std::strtoull(text.c_str(), nullptr, 10);
}

// A path that means the same to the engine, whose working directory is another.
std::string absolute(const std::string& path) {
    if (path.empty() || path[0] == '/') {
        return path;
    }
    const std::unique_ptr<char, void (*)(void*)> here(::getcwd(nullptr, 0), &std::free);
    return here ? fmt::format("{}/{}", here.get(), path) : "/" + path;
}

// The engine opens the device itself; this look only makes the mistake of a forgotten argument
// ("internal" taken for a device) visible at once, in the original's words.
result<> check_block_device(const std::string& typed) {
    const int device = ::open(typed.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (device < 0) {
        return fail_errno(errno, fmt::format("Can not open device '{}'", typed), {},
                          "The arguments of attach are MINOR, the data device, the metadata device "
                          "(the same for internal), and internal, flexible or a slot number.");
    }
    struct stat seen = {};
    // Whether a regular file will do is the engine's to say (its option --files).
    const bool is_device =
        ::fstat(device, &seen) == 0 && (S_ISBLK(seen.st_mode) || S_ISREG(seen.st_mode));
    ::close(device);
    if (!is_device) {
        return fail(fmt::format("{} is not a block device!", typed), {},
                    "To use a file, make a loop device of it: losetup -f --show FILE.");
    }
    return {};
}

result<> fill_attach(const invocation& asked, control::request& into) {
    into.backing_device = absolute(asked.arguments[0]);
    into.meta_device = absolute(asked.arguments[1]);
    into.meta_index = asked.arguments[2];
    // Old names of the kernel for internal and flexible (drbd.h: DRBD_MD_INDEX_INTERNAL,
    // ..._FLEX_EXT, ..._FLEX_INT).
    if (into.meta_index == "-1" || into.meta_index == "-3") {
        into.meta_index = "internal";
    } else if (into.meta_index == "-2") {
        into.meta_index = "flexible";
    }
    const bool digits = !into.meta_index.empty() && into.meta_index.size() < 10 &&
                        into.meta_index.find_first_not_of("0123456789") == std::string::npos;
    if (into.meta_index != "internal" && into.meta_index != "flexible" && !digits) {
        return fail(fmt::format("'{}' is no metadata index", asked.arguments[2]), {},
                    "Give internal, flexible, or the number of a slot on the metadata device.");
    }
    for (const std::string& typed : {asked.arguments[0], asked.arguments[1]}) {
        result<> checked = check_block_device(typed);
        if (!checked) {
            return checked;
        }
    }
    return {};
}

result<> fill_new_minor(const invocation& asked, control::request& into) {
    const std::optional<unsigned> minor = drbdmeta::minor_of(asked.arguments[1]);
    if (!minor || *minor > control::max_minor) {
        return fail(
            fmt::format("Cannot determine minor device number of device '{}'", asked.arguments[1]));
    }
    const std::string& volume = asked.arguments[2];
    const bool digits = !volume.empty() && volume.size() < 6 &&
                        volume.find_first_not_of("0123456789") == std::string::npos;
    const unsigned long number = digits ? std::strtoul(volume.c_str(), nullptr, 10) : 0;
    if (!digits || number > control::max_volume) {
        return fail(fmt::format("'{}' is no volume number", volume), {},
                    fmt::format("Give a number from 0 to {}.", control::max_volume));
    }
    into.minor = *minor;
    into.volume = static_cast<std::uint32_t>(number);
    return {};
}

result<control::request> request_of(const invocation& asked) {
    control::request made;
    made.what = *asked.row->request;
    made.minor = asked.minor;
    made.settings = asked.settings;
    made.set_defaults = asked.set_defaults;
    made.force = asked.has("force");
    made.by_intention = asked.has("diskless");
    made.discard_my_data = asked.has("discard-my-data");
    made.tentative = asked.has("tentative");
    made.clear_bitmap = asked.has("clear-bitmap");
    made.assume_clean = asked.has("assume-clean");
    made.assume_peer_has_space = asked.has("assume-peer-has-space");
    made.size_sectors = sectors(asked, "size", 0);
    made.start_sector = sectors(asked, "start", control::where_it_stopped);
    made.stop_sector = sectors(asked, "stop", control::whole_device);
    made.local_address = asked.local_address;
    made.peer_address = asked.peer_address;
    result<> filled;
    if (made.what == control::command::attach) {
        filled = fill_attach(asked, made);
    } else if (made.what == control::command::new_minor) {
        filled = fill_new_minor(asked, made);
    }
    if (!filled) {
        return tl::unexpected<error>(filled.error());
    }
    return made;
}

result<client_pointer> engine_of(const session& now) {
    const invocation& asked = now.asked;
    if (asked.row->request == control::command::new_minor) {
        return now.nodes.of_resource(asked.arguments[0]);
    }
    if (asked.object_kind == on_minor) {
        return now.nodes.of_minor(asked.minor);
    }
    if (asked.object_kind == on_resource) {
        return now.nodes.of_resource(asked.object);
    }
    return now.nodes.of_connection(asked.local_address, asked.peer_address);
}

int ask(const session& now, engine_client& engine, const control::request& what) {
    const result<control::reply> answer = engine.ask(
        what, now_ms() + answer_ms, [&](const std::string& reason) { now.tell_pending(reason); });
    return answer ? now.report(*answer) : now.refuse(answer.error());
}

} // namespace

int run_change(const session& now) {
    const invocation& asked = now.asked;
    // Keeps drbdmeta and other drbdsetups from the device meanwhile.
    std::optional<drbdmeta::minor_lock> held;
    // One that waits does not hold up the one that takes the disk away.
    const bool takes_away = asked.row->request == control::command::detach && asked.has("force");
    if (asked.object_kind == on_minor && !takes_away) {
        result<drbdmeta::minor_lock> lock = drbdmeta::minor_lock::take(asked.minor);
        if (!lock) {
            now.terminal.complain(lock.error().what);
            return exit_usage;
        }
        held.emplace(std::move(*lock));
    }
    const result<control::request> what = request_of(asked);
    if (!what) {
        return now.refuse(what.error());
    }
    const result<client_pointer> engine = engine_of(now);
    if (!engine) {
        return now.refuse(engine.error());
    }
    const int ended = ask(now, **engine, *what);
    if (ended == exit_ok && what->what == control::command::attach) {
        remember_attached(what->minor, what->backing_device, what->meta_index);
    }
    return ended;
}

} // namespace lockstep::drbdsetup
