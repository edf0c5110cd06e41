// The metadata of one volume on an open device: found, checked, read, and written back safely.
//
// A change is durable in this order: bitmap, activity log, then the superblock, each flushed
// before the next, so that a superblock never promises what is not there yet.
#pragma once

#include <optional>
#include <vector>

#include "agent/drbdmeta/command_line.hpp"
#include "agent/drbdmeta/console.hpp"
#include "agent/drbdmeta/last_known.hpp"
#include "agent/drbdmeta/md_device.hpp"
#include "kernel/format/superblock.hpp"

namespace lockstep::drbdmeta {

enum class md_found : std::uint8_t {
    here,
    nowhere,
    at_last_known_place, // internal, where it was before the device grew
};

// Byte offsets on the metadata device.
struct md_offsets {
    std::uint64_t superblock = 0;
    std::uint64_t activity_log = 0;
    std::uint64_t bitmap = 0;
};

md_offsets offsets_of(const format::superblock& value, std::uint64_t superblock_offset);

// Whether a superblock is of version 8 and lies as it must on a device of that size; says what is
// wrong if only the layout is.
bool plausible(const format::superblock& value, format::placement where, std::uint64_t device_bytes,
               const console& out);

class metadata {
public:
    // Opens the device and looks for metadata. `minor` is empty for "-". Errors: exit 10 for a
    // device too small, 20 if it cannot be opened.
    static result<metadata> open(const invocation& call, const console& out,
                                 std::optional<unsigned> minor);

    md_found found() const { return found_; }
    // In their place are metadata that make no sense; it was said what of them.
    bool damaged() const { return damaged_; }
    const invocation& call() const { return *call_; }
    const console& out() const { return *out_; }
    md_device& device() { return device_; }
    std::uint64_t device_size() const { return device_.size(); }
    const std::optional<last_known>& known() const { return known_; }

    // The superblock; meaningful unless nothing was found, or after `renew`.
    format::superblock block;

    // Where the areas are; for metadata at its last known place, where they should be.
    md_offsets at() const;
    std::uint64_t superblock_offset() const { return superblock_offset_; }
    std::uint64_t max_usable_sectors() const;
    // Of the bitmap for the last agreed size, in bytes on disk.
    std::uint64_t bitmap_bytes() const;
    bool al_clean() const;

    // Starts over with new metadata of that striping; nothing is written. Errors: exit 10 if it
    // does not fit.
    result<> renew(format::al_striping striping);
    // Recomputes the layout for this device, keeping everything else.
    result<> relocate();

    // The metadata is in its place now: allows writes there and nowhere else.
    void settle();

    // Says so and cuts la_size if it is more than fits.
    void clip_size();

    result<std::vector<std::byte>> read_activity_log();
    // The whole log in the state "nothing to do".
    result<> write_empty_activity_log();
    // Flushes what went before, writes the superblock, flushes again.
    result<> write_superblock();
    // Brings the last known device file up to date.
    void record_device();

private:
    metadata(const invocation& call, const console& out, md_device device)
        : call_(&call), out_(&out), device_(std::move(device)) {}
    result<format::superblock> read_block(std::uint64_t offset);
    result<> look();
    result<> look_at_last_known_place();
    void report_last_known(std::uint64_t offset, bool valid) const;
    void allow_area();

    const invocation* call_;
    const console* out_;
    md_device device_;
    std::optional<unsigned> minor_;
    std::uint64_t superblock_offset_ = 0;
    md_found found_ = md_found::nowhere;
    bool damaged_ = false;
    std::optional<last_known> known_;
};

} // namespace lockstep::drbdmeta
