// What drbdmeta does with a disk while no engine uses it, on a simulated disk.
#pragma once

#include "disk.hpp"
#include "kernel/format/superblock.hpp"

namespace lockstep::simulation {

struct metadata_place {
    disk* device = nullptr; // that the metadata lies on
    format::placement where;
    std::uint64_t data_sectors = 0; // of the data device, as it is or was
};

// create-md.
void create_metadata(const metadata_place& at);
// create-md, and what restore-md would do for two disks known to be equal: both UpToDate of one
// generation, nothing out of sync. size_sectors 0: as large as the disk allows.
void create_metadata_in_sync(const metadata_place& at, std::uint64_t current_uuid,
                             std::uint64_t size_sectors = 0);
// apply-al, as drbdadm does before each attach.
void apply_activity_log(const metadata_place& at);
bool has_metadata(const metadata_place& at);
// check-resize: brings internal metadata from the end of the device as it was known to its end now.
void follow_growth(const metadata_place& at, std::uint64_t sectors);
format::superblock read_superblock(const metadata_place& at);

} // namespace lockstep::simulation
