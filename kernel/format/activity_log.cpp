#include "kernel/format/activity_log.hpp"

#include "kernel/base/check.hpp"
#include "kernel/base/crc32c.hpp"

namespace lockstep::format {

namespace {

constexpr std::size_t checksum_at = 8;
constexpr std::size_t update_slots_at = 36;
constexpr std::size_t update_extents_at = 164;
constexpr std::size_t context_at = 420;

std::uint32_t checksum_of(const_byte_span block) {
    constexpr std::array<std::byte, 4> zero = {};
    std::uint32_t crc = crc32c_update(0, block.first(checksum_at));
    crc = crc32c_update(crc, zero);
    return crc32c_update(crc, block.subspan(checksum_at + zero.size()));
}

void seal(byte_span block) {
    store_big(block.data() + checksum_at, checksum_of(block));
}

} // namespace

void encode_al_update(const al_transaction& transaction, byte_span block) {
    LOCKSTEP_CHECK(block.size() == block_bytes);
    LOCKSTEP_CHECK(transaction.updates.size() <= al_updates_max);
    LOCKSTEP_CHECK(transaction.context.size() <= al_context_max);
    LOCKSTEP_CHECK(transaction.context.empty() || transaction.context_first < transaction.slots);
    byte_writer out(block);
    out.put(al_magic);
    out.put(transaction.number);
    out.put(std::uint32_t{0});
    out.put(al_type_update);
    out.put(static_cast<std::uint16_t>(transaction.updates.size()));
    out.put(transaction.slots);
    out.put(transaction.context_first);
    out.put_zeros(16);
    LOCKSTEP_CHECK(out.written() == update_slots_at);
    for (std::size_t i = 0; i < al_updates_max; ++i) {
        const bool used = i < transaction.updates.size();
        LOCKSTEP_CHECK(!used || transaction.updates[i].slot < transaction.slots);
        out.put(used ? transaction.updates[i].slot : al_slot_unused);
    }
    LOCKSTEP_CHECK(out.written() == update_extents_at);
    for (std::size_t i = 0; i < al_updates_max; ++i) {
        out.put(i < transaction.updates.size() ? transaction.updates[i].extent : al_free);
    }
    LOCKSTEP_CHECK(out.written() == context_at);
    for (std::size_t i = 0; i < al_context_max; ++i) {
        out.put(i < transaction.context.size() ? transaction.context[i] : al_free);
    }
    LOCKSTEP_CHECK(out.written() == block_bytes);
    seal(block);
}

void encode_al_initialized(byte_span block) {
    LOCKSTEP_CHECK(block.size() == block_bytes);
    byte_writer out(block);
    out.put(al_magic);
    out.put(std::uint32_t{0});
    out.put(std::uint32_t{0});
    out.put(al_type_initialized);
    out.put_zeros(block_bytes - out.written());
    seal(block);
}

std::uint64_t al_block_of(std::uint32_t number, al_striping striping) {
    const std::uint64_t total = striping.total_blocks();
    LOCKSTEP_CHECK(total != 0);
    const std::uint64_t position = number % total;
    return position % striping.count * striping.blocks + position / striping.count;
}

std::uint16_t al_next_context(std::uint16_t first, std::uint16_t slots) {
    const std::uint32_t next = std::uint32_t{first} + al_context_max;
    return next >= slots ? std::uint16_t{0} : static_cast<std::uint16_t>(next);
}

al_block decode_al_block(const_byte_span block) {
    LOCKSTEP_CHECK(block.size() == block_bytes);
    byte_reader in(block);
    al_block value;
    value.magic = in.take<std::uint32_t>();
    value.number = in.take<std::uint32_t>();
    value.checksum = in.take<std::uint32_t>();
    value.type = in.take<std::uint16_t>();
    value.update_count = in.take<std::uint16_t>();
    value.slots = in.take<std::uint16_t>();
    value.context_first = in.take<std::uint16_t>();
    in.take_bytes(16);
    for (auto& update : value.updates) {
        update.slot = in.take<std::uint16_t>();
    }
    for (auto& update : value.updates) {
        update.extent = in.take<std::uint32_t>();
    }
    for (auto& extent : value.context) {
        extent = in.take<std::uint32_t>();
    }
    LOCKSTEP_CHECK(in.ok() && in.remaining() == 0);
    value.valid = value.magic == al_magic && value.checksum == checksum_of(block);
    return value;
}

} // namespace lockstep::format
