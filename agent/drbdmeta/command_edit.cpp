// Commands that change fields of the superblock: set-gi, outdate, invalidate, write-dev-uuid; and
// wipe-md, which takes it away.
#include <cerrno>
#include <cstdlib>

#include <fmt/format.h>

#include "agent/drbdmeta/commands.hpp"
#include "agent/drbdmeta/generation_text.hpp"

namespace lockstep::drbdmeta {

namespace {

namespace flag = format::md_flag;

outcome store(metadata& target) {
    if (auto written = target.write_superblock(); !written) {
        return stop(written.error().code, written.error().what + "update failed\n");
    }
    target.record_device();
    return 0;
}

} // namespace

outcome set_gi(const session& with) {
    with.expect_arguments(1);
    if (with.call.arguments.empty()) {
        return stop(10, "Required Argument missing\n");
    }
    auto opened = with.open_valid();
    if (!opened) {
        return tl::unexpected(opened.error());
    }
    const auto changed = with_generation(opened->block, with.call.arguments[0]);
    if (!changed) {
        return tl::unexpected(changed.error());
    }
    with.out.print(fmt::format("previously {}\nset GI to  {}\n", generation_line(opened->block),
                               generation_line(*changed)));
    if (!with.out.confirmed("Write new GI to disk?")) {
        with.out.print("Operation canceled.\n");
        return 0;
    }
    opened->block = *changed;
    return store(*opened);
}

outcome outdate(const session& with) {
    with.expect_arguments(0);
    auto opened = with.open_valid();
    if (!opened) {
        return tl::unexpected(opened.error());
    }
    if (!opened->block.has(flag::consistent)) {
        return stop(5, "Device is inconsistent.\n");
    }
    opened->block.flags &= ~flag::was_up_to_date;
    return store(*opened);
}

outcome invalidate(const session& with) {
    with.expect_arguments(0);
    auto opened = with.open_valid();
    if (!opened) {
        return tl::unexpected(opened.error());
    }
    opened->block.flags &= ~(flag::consistent | flag::was_up_to_date);
    opened->block.flags |= flag::full_sync;
    return store(*opened);
}

outcome write_device_uuid(const session& with) {
    with.expect_arguments(1);
    if (with.call.arguments.empty()) {
        return stop(10, "Required Argument missing\n");
    }
    const std::string& text = with.call.arguments[0];
    char* end = nullptr;
    errno = 0;
    const std::uint64_t uuid = std::strtoull(text.c_str(), &end, 16);
    if (text.empty() || text[0] == '-' || *end != 0 || errno != 0) {
        return stop(10, fmt::format("'{}' is not a device UUID: up to 16 hex digits\n", text));
    }
    auto opened = with.open_valid();
    if (!opened) {
        return tl::unexpected(opened.error());
    }
    opened->block.device_uuid = uuid;
    return store(*opened);
}

outcome wipe_md(const session& with) {
    with.expect_arguments(0);
    auto opened = metadata::open(with.call, with.out, with.minor);
    if (!opened) {
        return tl::unexpected(opened.error());
    }
    if (opened->found() != md_found::here) {
        with.out.remark("There appears to be no drbd meta data to wipe out?\n");
        return 0;
    }
    if (!with.out.confirmed("Do you really want to wipe out the DRBD meta data?")) {
        with.out.print("Operation cancelled.\n");
        return stop(1);
    }
    with.out.print("Wiping meta data...\n");
    aligned_buffer zeros(format::block_bytes);
    const auto wiped = opened->device()
                           .write(opened->superblock_offset(), zeros.all(), "wipe")
                           .and_then([&opened] { return opened->device().flush(); });
    if (!wiped) {
        return stop(wiped.error().code, wiped.error().what + "operation failed\n");
    }
    with.out.print("DRBD meta data block successfully wiped out.\n");
    if (with.minor && !with.call.dry_run) {
        // It would lead to a place where nothing is any more.
        if (auto forgotten = delete_last_known(*with.minor); !forgotten) {
            with.out.remark(forgotten.error().what);
        }
    }
    return 0;
}

} // namespace lockstep::drbdmeta
