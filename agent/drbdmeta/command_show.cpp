// Commands that only look: get-gi, show-gi, dstate, read-dev-uuid.
#include <fmt/format.h>

#include "agent/drbdmeta/commands.hpp"
#include "agent/drbdmeta/generation_text.hpp"

namespace lockstep::drbdmeta {

namespace {

std::string size_lines(const format::superblock& block) {
    if (block.la_size_sectors == 0) {
        return "zero size device -- never seen peer yet?\n";
    }
    return fmt::format("last agreed size: {} ({} sectors)\nlast agreed max bio size: {} Byte\n",
                       pretty_size(block.la_size_sectors / 2), block.la_size_sectors,
                       block.peer_max_bio_size);
}

std::string_view disk_state(const format::superblock& block) {
    namespace flag = format::md_flag;
    if (!block.has(flag::consistent)) {
        return "Inconsistent";
    }
    if (!block.has(flag::was_up_to_date)) {
        return "Outdated";
    }
    return block.has(flag::peer_out_dated) ? "UpToDate" : "Consistent";
}

template <class Text>
outcome show(const session& with, Text text) {
    with.expect_arguments(0);
    const auto opened = with.open_valid();
    if (!opened) {
        return tl::unexpected(opened.error());
    }
    with.out.print(text(opened->block));
    return 0;
}

} // namespace

outcome get_gi(const session& with) {
    return show(with,
                [](const format::superblock& block) { return generation_line(block) + "\n"; });
}

outcome show_gi(const session& with) {
    return show(with, [](const format::superblock& block) {
        return generation_drawing(block) + size_lines(block);
    });
}

outcome dstate(const session& with) {
    return show(with, [](const format::superblock& block) {
        return fmt::format("{}\n", disk_state(block));
    });
}

outcome read_device_uuid(const session& with) {
    return show(with, [](const format::superblock& block) {
        return fmt::format("{:016X}\n", block.device_uuid);
    });
}

} // namespace lockstep::drbdmeta
