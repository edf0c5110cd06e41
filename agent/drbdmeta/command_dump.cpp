// dump-md: everything in the metadata as text.
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>

#include <fmt/format.h>

#include "agent/drbdmeta/al_listing.hpp"
#include "agent/drbdmeta/commands.hpp"
#include "agent/drbdmeta/dump_writer.hpp"

namespace lockstep::drbdmeta {

namespace {

std::string head(const invocation& call) {
    std::array<char, HOST_NAME_MAX + 1> host = {};
    ::gethostname(host.data(), host.size() - 1);
    std::array<char, 64> date = {};
    const std::time_t now = std::time(nullptr);
    std::tm local = {};
    localtime_r(&now, &local);
    std::strftime(date.data(), date.size(), "%F %T %z", &local);
    std::string text =
        fmt::format("# DRBD meta data dump\n# {} [{}]\n# {}>", date.data(), now, host.data());
    for (const auto& word : call.words) {
        text += " " + word;
    }
    return text + "\n#\n\n";
}

std::string unclean_mark() {
    // Not a comment on purpose: restore-md must stumble over it.
    return "This_is_an_unclean_meta_data_dump._Don't_trust_the_bitmap.\n"
           "# You should \"apply-al\" first, if you plan to restore this.\n\n";
}

// Where the areas were found, which is not where they should be if the device has grown.
md_offsets found_at(const metadata& source, std::string& text) {
    if (source.found() == md_found::here) {
        return source.at();
    }
    const last_known known = source.known().value();
    const md_offsets expected = source.at();
    const std::uint64_t old =
        format::superblock_offset(source.call().where, known.size).value_or(0);
    text += fmt::format("#\n### Device seems to have been resized!\n"
                        "### dumping meta data from the last known position\n"
                        "### current size of {}: {} byte\n"
                        "### expected position of meta data:\n"
                        "## md_offset {}\n## al_offset {}\n## bm_offset {}\n"
                        "### last known size of {}: {} byte\n"
                        "### adjusted position of meta data:\n",
                        source.call().device, source.device_size(), expected.superblock,
                        expected.activity_log, expected.bitmap,
                        known.name.empty() ? "-?-" : known.name, known.size);
    return offsets_of(source.block, old);
}

std::string fields(const format::superblock& block, std::uint64_t bitmap_bytes) {
    // drbd-utils 9.22 prints the flags of a peer, of which v08 has none: always zero. A dump is
    // compared with theirs, so it says the same here; get-gi shows the real ones.
    return fmt::format("uuid {{\n    0x{:016X}; 0x{:016X}; 0x{:016X}; 0x{:016X};\n"
                       "    flags 0x00000000;\n}}\n"
                       "# al-extents {};\nla-size-sect {};\nbm-byte-per-bit {};\n"
                       "device-uuid 0x{:016X};\nla-peer-max-bio-size {};\nal-stripes {};\n"
                       "al-stripe-size-4k {};\n# bm-bytes {};\n",
                       block.uuids.current, block.uuids.bitmap, block.uuids.history[0],
                       block.uuids.history[1], block.al_nr_extents, block.la_size_sectors,
                       block.bytes_per_bit, block.device_uuid, block.peer_max_bio_size,
                       block.al_stripes, block.al_stripe_size_blocks, bitmap_bytes);
}

result<> dump_bitmap(metadata& source, std::uint64_t offset) {
    const std::uint64_t bytes = source.bitmap_bytes();
    const console& out = source.out();
    out.print("bm ");
    bitmap_writer writer(bytes, [&out](std::string_view text) { out.print(text); });
    if (bytes != 0) {
        aligned_buffer buffer(std::min(bytes, bitmap_writer::piece_bytes));
        for (std::uint64_t done = 0; done < bytes;) {
            const auto piece = buffer.first(std::min<std::uint64_t>(buffer.size(), bytes - done));
            if (auto read = source.device().read(offset + done, piece, "bitmap"); !read) {
                return read;
            }
            writer.feed(piece);
            done += piece.size();
        }
    }
    writer.finish();
    out.print(fmt::format("# bits-set {};\n", writer.bits_set()));
    return {};
}

} // namespace

outcome dump_md(const session& with) {
    constexpr int verbosity_of_log = 10;
    with.expect_arguments(0);
    auto opened = metadata::open(with.call, with.out, with.minor);
    if (!opened) {
        return tl::unexpected(opened.error());
    }
    if (opened->found() == md_found::nowhere) {
        return stop_without_metadata(*opened);
    }
    const bool clean = opened->al_clean();
    if (!clean) {
        with.out.remark("Found meta data is \"unclean\", please apply-al first\n");
        if (!with.call.force) {
            return 1;
        }
    }
    std::string text = head(with.call) + "version \"v08\";\n\n" + (clean ? "" : unclean_mark()) +
                       fmt::format("# md_size_sect {}\n", opened->block.md_size_sectors);
    const md_offsets at = found_at(*opened, text);
    text += fmt::format("# md_offset {}\n# al_offset {}\n# bm_offset {}\n\n", at.superblock,
                        at.activity_log, at.bitmap);
    with.out.print(text + fields(opened->block, opened->bitmap_bytes()));
    if (auto dumped = dump_bitmap(*opened, at.bitmap); !dumped) {
        return tl::unexpected(dumped.error());
    }
    if (with.out.verbosity() >= verbosity_of_log && opened->found() == md_found::here) {
        const auto area = opened->read_activity_log();
        if (!area) {
            return tl::unexpected(area.error());
        }
        with.out.print(al_listing(opened->block, *area));
    }
    return 0;
}

} // namespace lockstep::drbdmeta
