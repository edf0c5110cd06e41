#include "agent/drbdmeta/dump_writer.hpp"

#include <bit>
#include <iterator>

#include <fmt/format.h>

#include "kernel/base/check.hpp"

namespace lockstep::drbdmeta {

namespace {

// One line of text: four words of 64 bits. The original looks at halves of words, so only words
// whose halves are equal make a run, and only whole lines are counted.
constexpr std::size_t group_bytes = 32;
constexpr std::uint64_t words_per_group = 4;
constexpr std::uint64_t comment_every_bytes = 256;     // of bitmap: 8 MiB of data
constexpr std::uint64_t data_kib_per_bitmap_byte = 32; // 8 bits of 4 KiB
constexpr std::size_t text_bytes_kept = 64U << 10U;

bool uniform(const_byte_span group, std::uint32_t word) {
    for (std::size_t i = 0; i < group_bytes; i += sizeof word) {
        if (load_little<std::uint32_t>(group.data() + i) != word) {
            return false;
        }
    }
    return true;
}

} // namespace

bitmap_writer::bitmap_writer(std::uint64_t total_bytes, sink out)
    : total_bytes_(total_bytes), out_(std::move(out)), text_("{") {
    LOCKSTEP_CHECK(total_bytes % group_bytes == 0);
}

void bitmap_writer::pass_on(std::size_t limit) {
    if (text_.size() >= limit) {
        out_(text_);
        text_.clear();
    }
}

void bitmap_writer::begin_line() {
    if (position_ % comment_every_bytes == 0) {
        fmt::format_to(std::back_inserter(text_), "\n   # at {}kB",
                       position_ * data_kib_per_bitmap_byte);
    }
    text_ += "\n   ";
}

void bitmap_writer::write_group(const_byte_span group) {
    for (std::size_t i = 0; i < group_bytes; i += sizeof(std::uint64_t)) {
        const auto word = load_little<std::uint64_t>(group.data() + i);
        fmt::format_to(std::back_inserter(text_), " 0x{:016X};", word);
        bits_set_ += static_cast<std::uint64_t>(std::popcount(word));
    }
    position_ += group_bytes;
}

void bitmap_writer::write_run() {
    const std::uint64_t words = run_groups_ * words_per_group;
    fmt::format_to(std::back_inserter(text_), " {} times 0x{:08X}{:08X};", words, run_word_,
                   run_word_);
    bits_set_ += words * 2 * static_cast<std::uint64_t>(std::popcount(run_word_));
    run_groups_ = 0;
}

void bitmap_writer::feed(const_byte_span piece) {
    LOCKSTEP_CHECK(piece.size() % group_bytes == 0);
    LOCKSTEP_CHECK(position_ + piece.size() <= total_bytes_);
    std::size_t at = 0;
    while (at < piece.size()) {
        const bool continues = run_groups_ != 0;
        if (!continues) {
            begin_line();
            run_word_ = load_little<std::uint32_t>(piece.data() + at);
        }
        std::size_t end = at;
        while (end < piece.size() && uniform(piece.subspan(end, group_bytes), run_word_)) {
            end += group_bytes;
        }
        const std::size_t length = (end - at) / group_bytes;
        // A single line is written out, even as the rest of a run from the piece before.
        if (length > 1) {
            run_groups_ += length;
            position_ += end - at;
            at = end;
            if (at == piece.size() && position_ < total_bytes_) {
                return;
            }
            write_run();
        } else if (continues) {
            write_run();
        } else {
            write_group(piece.subspan(at, group_bytes));
            at += group_bytes;
        }
        pass_on(text_bytes_kept);
    }
}

void bitmap_writer::finish() {
    LOCKSTEP_CHECK(position_ == total_bytes_ && run_groups_ == 0);
    text_ += "\n}\n";
    pass_on(0);
}

} // namespace lockstep::drbdmeta
