#include "kernel/format/superblock.hpp"

#include "kernel/base/check.hpp"

namespace lockstep::format {

void encode(const superblock& value, byte_span block) {
    LOCKSTEP_CHECK(block.size() == block_bytes);
    byte_writer out(block);
    out.put(value.la_size_sectors);
    out.put(value.uuids.current);
    out.put(value.uuids.bitmap);
    out.put(value.uuids.history[0]);
    out.put(value.uuids.history[1]);
    out.put(value.device_uuid);
    out.put(std::uint64_t{0});
    out.put(value.flags);
    out.put(value.magic);
    out.put(value.md_size_sectors);
    out.put(static_cast<std::uint32_t>(value.al_offset_sectors));
    out.put(value.al_nr_extents);
    out.put(static_cast<std::uint32_t>(value.bm_offset_sectors));
    out.put(value.bytes_per_bit);
    out.put(value.peer_max_bio_size);
    out.put(value.al_stripes);
    out.put(value.al_stripe_size_blocks);
    LOCKSTEP_CHECK(out.written() == superblock_used_bytes);
    out.put_zeros(block_bytes - superblock_used_bytes);
    LOCKSTEP_CHECK(decode_superblock(block) == value);
}

superblock decode_superblock(const_byte_span block) {
    LOCKSTEP_CHECK(block.size() >= superblock_used_bytes);
    byte_reader in(block.first(superblock_used_bytes));
    superblock value;
    value.la_size_sectors = in.take<std::uint64_t>();
    value.uuids.current = in.take<std::uint64_t>();
    value.uuids.bitmap = in.take<std::uint64_t>();
    value.uuids.history[0] = in.take<std::uint64_t>();
    value.uuids.history[1] = in.take<std::uint64_t>();
    value.device_uuid = in.take<std::uint64_t>();
    in.take<std::uint64_t>();
    value.flags = in.take<std::uint32_t>();
    value.magic = in.take<std::uint32_t>();
    value.md_size_sectors = in.take<std::uint32_t>();
    value.al_offset_sectors = static_cast<std::int32_t>(in.take<std::uint32_t>());
    value.al_nr_extents = in.take<std::uint32_t>();
    value.bm_offset_sectors = static_cast<std::int32_t>(in.take<std::uint32_t>());
    value.bytes_per_bit = in.take<std::uint32_t>();
    value.peer_max_bio_size = in.take<std::uint32_t>();
    value.al_stripes = in.take<std::uint32_t>();
    value.al_stripe_size_blocks = in.take<std::uint32_t>();
    LOCKSTEP_CHECK(in.ok() && in.remaining() == 0);
    return value;
}

superblock new_superblock(const geometry& layout) {
    superblock value;
    value.uuids.current = uuid_just_created;
    value.flags = md_flag::al_clean;
    value.magic = magic_v08;
    value.md_size_sectors = layout.md_size_sectors;
    value.al_offset_sectors = layout.al_offset_sectors;
    // What drbdmeta writes; the engine stores its configured number at attach.
    value.al_nr_extents = 257;
    value.bm_offset_sectors = layout.bm_offset_sectors;
    value.bytes_per_bit = block_bytes;
    value.al_stripes = layout.striping.count;
    value.al_stripe_size_blocks = layout.striping.blocks;
    return value;
}

} // namespace lockstep::format
