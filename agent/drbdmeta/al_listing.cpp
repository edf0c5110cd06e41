#include "agent/drbdmeta/al_listing.hpp"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "kernel/format/activity_log.hpp"
#include "kernel/format/al_replay.hpp"

namespace lockstep::drbdmeta {

namespace {

class listing {
public:
    void block84(std::size_t index, const format::al_block& block) {
        if (!block.valid || block.type == format::al_type_initialized) {
            add("#     block {:2} {{ {} }}\n", index, block.valid ? "INITIALIZED" : "INVALID");
            return;
        }
        add("#     block {:2} {{\n# \tmagic: 0x{:08x}\n# \ttype: 0x{:04x}\n# \ttr: {:10}\n"
            "# \tactive set size: {}\n",
            index, block.magic, block.type, block.number, block.slots);
        if (block.slots != 0) {
            seen(block.slots - 1U);
        }
        for (std::uint32_t i = 0; i < format::al_context_max; ++i) {
            const std::uint32_t slot = std::uint32_t{block.context_first} + i;
            if (block.context[i] != format::al_free || slot < block.slots) {
                seen(slot);
                add("# \t{:2}: {:10} {:10}\n", i, slot, block.context[i]);
            }
        }
        add("# \tupdates: {}\n", block.update_count);
        for (std::uint32_t i = 0; i < format::al_updates_max; ++i) {
            const auto& update = block.updates[i];
            if (i < block.update_count || update.slot != format::al_slot_unused) {
                seen(update.slot);
                add("# \t{:2}: {:10} {:10}\n", i, update.slot, update.extent);
            }
        }
        add("# \tcrc32c: 0x{:08x}\n#     }}\n", block.checksum);
    }

    void sector83(std::size_t index, const format::al83_sector& sector) {
        add("#     sector {:2} {{ {}\n# \tmagic: 0x{:08x}\n# \ttr: {:10}\n", index,
            sector.valid ? "valid" : "invalid", sector.magic, sector.number);
        for (std::size_t i = 0; i < sector.pairs.size(); ++i) {
            const auto& pair = sector.pairs[i];
            add("# \t{:2}: {:10} {:10}\n", i, pair.slot, pair.extent);
            if (pair.slot != format::al_free) {
                seen(pair.slot);
            }
        }
        add("# \txor: 0x{:08x}\n#     }}\n", sector.xor_sum);
    }

    std::string finish(std::uint32_t slots) {
        if (slot_max_ >= slots) {
            add("### CAUTION: maximum slot number found in AL: {}\n"
                "### CAUTION: but 'super-block' al-extents is: {}\n",
                slot_max_, slots);
        }
        text_ += "# }\n";
        return std::move(text_);
    }

private:
    template <class... Values>
    void add(fmt::format_string<const Values&...> form, const Values&... values) {
        fmt::vformat_to(std::back_inserter(text_), form, fmt::make_format_args(values...));
    }
    void seen(std::uint32_t slot) { slot_max_ = std::max(slot_max_, slot); }

    std::string text_ = "# al {\n";
    std::uint32_t slot_max_ = 0;
};

} // namespace

std::string al_listing(const format::superblock& block, const_byte_span area) {
    // The listing goes by what stands in the area, not by the superblock's magic: that is how the
    // original prints a log of 8.3.
    format::superblock clean = block;
    clean.magic = format::magic_v08;
    const bool old_form = format::detect_al_form(clean, area) == format::al_form::v83;
    const std::size_t unit = old_form ? format::sector_bytes : format::block_bytes;
    const std::size_t count =
        old_form ? format::al83_sectors_max : area.size() / format::block_bytes;
    listing list;
    for (std::size_t i = 0; i < count && (i + 1) * unit <= area.size(); ++i) {
        const auto piece = area.subspan(i * unit, unit);
        if (old_form) {
            list.sector83(i, format::decode_al83_sector(piece));
        } else {
            list.block84(i, format::decode_al_block(piece));
        }
    }
    return list.finish(block.al_nr_extents);
}

} // namespace lockstep::drbdmeta
