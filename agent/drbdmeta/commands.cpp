#include "agent/drbdmeta/commands.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <string_view>

#include <fmt/format.h>

#include "agent/drbdmeta/minor.hpp"
#include "kernel/base/check.hpp"

namespace lockstep::drbdmeta {

namespace {

struct handler {
    std::string_view name;
    outcome (*function)(const session&);
};

constexpr std::array handlers = {
    handler{"get-gi", get_gi},
    handler{"show-gi", show_gi},
    handler{"dump-md", dump_md},
    handler{"restore-md", restore_md},
    handler{"verify-dump", verify_dump},
    handler{"apply-al", apply_al},
    handler{"wipe-md", wipe_md},
    handler{"outdate", outdate},
    handler{"invalidate", invalidate},
    handler{"dstate", dstate},
    handler{"read-dev-uuid", read_device_uuid},
    handler{"write-dev-uuid", write_device_uuid},
    handler{"set-gi", set_gi},
    handler{"check-resize", check_resize},
    handler{"create-md", create_md},
};

// Holds the minor's lock while the command runs.
outcome run_command(const invocation& call) {
    const console out(call.force, call.verbosity);
    const auto* const found =
        std::find_if(handlers.begin(), handlers.end(),
                     [&call](const handler& entry) { return entry.name == call.command->name; });
    LOCKSTEP_CHECK(found != handlers.end());
    if (call.drbd_device == "-") {
        return found->function({call, out, {}});
    }
    const auto minor = minor_of(call.drbd_device);
    if (!minor) {
        return stop(20, fmt::format("Cannot determine minor device number of drbd device '{}'\n",
                                    call.drbd_device));
    }
    const auto lock = minor_lock::take(*minor);
    if (!lock) {
        return tl::unexpected(lock.error());
    }
    const auto attached = is_attached(*minor);
    if (!attached) {
        return tl::unexpected(attached.error());
    }
    if (*attached && call.command->modifies) {
        return stop(20,
                    fmt::format("Device '{}' is configured!\n"
                                "It has its disk: drbdadm detach or down gives it free; drbdadm "
                                "adjust brings what runs to what the\nconfiguration says.\n",
                                call.drbd_device));
    }
    auto code = found->function({call, out, minor});
    if (*attached) {
        out.remark(fmt::format("# Output might be stale, since minor {} is attached\n", *minor));
    }
    return code;
}

} // namespace

void session::expect_arguments(std::size_t expected) const {
    if (call.arguments.size() > expected) {
        out.remark("Ignoring additional arguments\n");
    }
}

result<metadata> session::open_valid() const {
    auto opened = metadata::open(call, out, minor);
    if (opened && opened->found() == md_found::nowhere) {
        return stop_without_metadata(*opened);
    }
    if (opened && opened->found() == md_found::at_last_known_place) {
        return stop(1, "No valid meta data found in its place: the device has grown, run "
                       "check-resize\n");
    }
    return opened;
}

tl::unexpected<error> stop_without_metadata(metadata& looked_at) {
    std::string text = "No valid meta data found\n";
    const auto& known = looked_at.known();
    if (known && known->size > looked_at.device().size()) {
        // One that lost its end, to a wrong partition table or a shrunk volume, is no new disk.
        text += fmt::format(
            "{} has {} bytes; when this minor was attached last, {} had {}.\n"
            "The metadata are at the end of the disk: give it its old size again before "
            "anything is\nwritten to it.\n",
            looked_at.device().name(), looked_at.device().size(),
            known->name.empty() ? "its disk" : known->name, known->size);
    } else if (looked_at.damaged()) {
        text +=
            fmt::format("Those on {} are damaged. restore-md brings back what dump-md has saved; "
                        "after create-md\nall data come from the peer.\n",
                        looked_at.device().name());
    }
    return stop(1, std::move(text));
}

int run(int argc, char** argv) {
    const auto call = read_command_line(argc, argv);
    const outcome code = call.and_then([](const invocation& good) { return run_command(good); });
    const bool flushed = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
    if (!code) {
        std::fputs(code.error().what.c_str(), stderr);
        return code.error().code == 0 ? 1 : code.error().code;
    }
    if (!flushed) {
        std::fputs("drbdmeta: cannot write the output\n", stderr);
        return 10;
    }
    return *code;
}

} // namespace lockstep::drbdmeta
