// The out-of-sync bitmap of one volume: a bit for every 4 KiB of data, set while the replicas may
// differ there. The words in memory are the bytes on disk (metadata v08: bit n is bit n % 8 of byte
// n / 8), so a page is written as it stands.
//
// Pages of 4 KiB (32768 bits, 128 MiB of data) are the unit of writing. Each has a count of its set
// bits, and two summaries tell which pages have any and which are full, so that walking a sparse
// bitmap costs next to nothing however large the device is.
//
// Memory comes from resize() alone, zeroed lazily by the C library: a 16 TiB device (512 MiB of
// bits) is attached without touching it. Everything else allocates nothing.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

#include "kernel/base/bytes.hpp"

namespace lockstep::replica {

class bitmap {
public:
    static constexpr std::uint64_t sectors_per_bit = 8;
    static constexpr std::uint64_t bits_per_page = 32768;
    static constexpr std::size_t page_size = 4096;
    // Where the searches end: "there is none".
    static constexpr std::uint64_t none = ~std::uint64_t{0};

    enum class fill : std::uint8_t { clear, set };

    bitmap() = default;
    explicit bitmap(std::uint64_t device_sectors, fill new_bits = fill::clear);

    // Keeps what the old and the new device share; bits that are new get `new_bits`, and every page
    // that differs from what it was, or did not exist, is dirty. A block that was the partial end
    // of the old device keeps its bit. No page write is under way meanwhile. False if there is no
    // memory: then nothing has changed.
    [[nodiscard]] bool resize(std::uint64_t device_sectors, fill new_bits);

    std::uint64_t device_sectors() const { return device_sectors_; }
    std::uint64_t bits() const { return bits_; }
    // Whole little-endian 64-bit words, as BITMAP packets count them.
    std::uint64_t words() const { return (bits_ + 63) / 64; }
    // Number of set bits.
    std::uint64_t weight() const { return weight_; }

    // Sector ranges are clipped to the device. set() rounds outward: each block touched. clear()
    // rounds inward: only blocks wholly covered, the partial block at the end of an odd-sized
    // device counting as whole. Both return how many bits changed.
    std::uint64_t set(std::uint64_t sector, std::uint64_t sectors);
    std::uint64_t clear(std::uint64_t sector, std::uint64_t sectors);
    // Whether any, and how many, of the blocks touched by the range are set.
    bool any_in(std::uint64_t sector, std::uint64_t sectors) const;
    std::uint64_t count_in(std::uint64_t sector, std::uint64_t sectors) const;

    // Bit ranges, clipped to bits().
    bool test(std::uint64_t bit) const;
    std::uint64_t set_run(std::uint64_t bit, std::uint64_t count);
    std::uint64_t clear_run(std::uint64_t bit, std::uint64_t count);
    std::uint64_t count_run(std::uint64_t bit, std::uint64_t count) const;
    // The first set (clear) bit at or after `from`, or none.
    std::uint64_t find_next_set(std::uint64_t from) const;
    std::uint64_t find_next_clear(std::uint64_t from) const;
    void set_all();
    void clear_all();

    // Received words (little-endian, a multiple of 8 bytes) are ORed in from word `first_word`;
    // bits past the end are ignored. False if they do not fit into words(). Returns through
    // weight() what is new.
    [[nodiscard]] bool merge_words(std::uint64_t first_word, const_byte_span little_endian);
    // The bytes of words first_word.. for a BITMAP packet; out.size() is a multiple of 8 and ends
    // within words().
    void copy_words(std::uint64_t first_word, byte_span out) const;

    // Pages, as they stand on disk from the start of the bitmap area.
    std::uint64_t pages() const { return pages_; }
    static std::uint64_t page_of_bit(std::uint64_t bit) { return bit / bits_per_page; }
    static std::uint64_t page_of_sector(std::uint64_t sector) {
        return sector / (bits_per_page * sectors_per_bit);
    }
    const_byte_span page_bytes(std::uint64_t page) const;
    // Takes 4096 bytes read from disk in place of the page, which is then clean; bits past the end
    // of the device are dropped.
    void load_page(std::uint64_t page, const_byte_span bytes);

    // Writing. A page is dirty when memory differs from what was last handed out or loaded. The
    // copy is taken by begin_page_write, so later changes make the page dirty again and do not leak
    // into the write on its way: a cleared bit must not reach the disk before the data is flushed.
    // A page has at most one write under way.
    bool page_dirty(std::uint64_t page) const;
    bool page_writing(std::uint64_t page) const;
    // Neither dirty nor being written: the disk has it.
    bool page_stored(std::uint64_t page) const { return !page_dirty(page) && !page_writing(page); }
    std::uint64_t dirty_pages() const { return dirty_count_; }
    std::uint64_t writing_pages() const { return writing_count_; }
    // The first page at or after `from` that is dirty and not being written, or none.
    std::uint64_t next_dirty_page(std::uint64_t from) const;
    // Copies the page to `out` (4096 bytes), marks it clean and being written.
    void begin_page_write(std::uint64_t page, byte_span out);
    // A failed write leaves the page dirty.
    void end_page_write(std::uint64_t page, bool stored);
    void mark_page_dirty(std::uint64_t page);
    // Counts the changes that cleared bits. A page may be stored once the data device was flushed
    // after the last of them: what the cleared bits vouch for is durable then.
    std::uint64_t clears() const { return clears_; }
    std::uint64_t page_cleared_at(std::uint64_t page) const { return cleared_at_[page]; }
    void mark_all_dirty();

    // Every count and summary agrees with the words. Walks everything: for tests.
    bool consistent() const;

private:
    // On a big-endian machine the words would have to be swapped at each access.
    static_assert(std::endian::native == std::endian::little);

    struct released {
        void operator()(void* memory) const noexcept { std::free(memory); }
    };
    template <class T>
    using zeroed_array = std::unique_ptr<T[], released>;

    template <class T>
    static zeroed_array<T> allocate(std::uint64_t count) {
        return zeroed_array<T>(static_cast<T*>(std::calloc(count > 0 ? count : 1, sizeof(T))));
    }

    std::uint64_t bits_in_page(std::uint64_t page) const;
    void recount(std::uint64_t page, std::uint32_t count);
    template <bool Set>
    std::uint64_t change(std::uint64_t first, std::uint64_t end);
    template <bool Set>
    std::uint64_t change_in_page(std::uint64_t first, std::uint64_t end);
    std::uint64_t count_in_page(std::uint64_t first, std::uint64_t end) const;
    std::uint64_t clipped_end(std::uint64_t first, std::uint64_t count) const;

    std::uint64_t device_sectors_ = 0;
    std::uint64_t bits_ = 0;
    std::uint64_t pages_ = 0;
    std::uint64_t weight_ = 0;
    std::uint64_t dirty_count_ = 0;
    std::uint64_t writing_count_ = 0;
    std::uint64_t clears_ = 0;
    zeroed_array<std::uint64_t> words_;       // pages_ * 512
    zeroed_array<std::uint32_t> page_counts_; // set bits of each page
    zeroed_array<std::uint64_t> any_;         // a bit for each page: has a set bit
    zeroed_array<std::uint64_t> full_;        // a bit for each page: has no clear bit
    zeroed_array<std::uint64_t> dirty_;
    zeroed_array<std::uint64_t> writing_;
    zeroed_array<std::uint64_t> cleared_at_; // of each page: clears_ then
};

} // namespace lockstep::replica
