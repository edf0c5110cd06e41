// The commands of drbdmeta. Each opens the metadata itself, prints, and returns the exit code; an
// error carries the exit code and what is left to say.
#pragma once

#include "agent/drbdmeta/metadata.hpp"

namespace lockstep::drbdmeta {

// What every command gets.
struct session {
    const invocation& call;
    const console& out;
    std::optional<unsigned> minor;

    // Complains about arguments beyond `expected`, as a remark.
    void expect_arguments(std::size_t expected) const;
    // Metadata in its place, or exit 1 with the reason.
    result<metadata> open_valid() const;
};

using outcome = result<int>;

// Exit 1: there are no metadata in this place; and why, if that is known.
tl::unexpected<error> stop_without_metadata(metadata& looked_at);

outcome get_gi(const session& with);
outcome show_gi(const session& with);
outcome dstate(const session& with);
outcome read_device_uuid(const session& with);

outcome set_gi(const session& with);
outcome outdate(const session& with);
outcome invalidate(const session& with);
outcome write_device_uuid(const session& with);
outcome wipe_md(const session& with);

outcome create_md(const session& with);
outcome dump_md(const session& with);
outcome restore_md(const session& with);
outcome verify_dump(const session& with);
outcome apply_al(const session& with);
outcome check_resize(const session& with);

// Moves internal metadata from its last known place to the end of a device that has grown. Safe
// against a crash at any point, if need be by way of a full sync. `target` was found at its last
// known place and is found in its new one afterwards.
result<> move_after_resize(metadata& target);

// The whole program; returns its exit status.
int run(int argc, char** argv);

} // namespace lockstep::drbdmeta
