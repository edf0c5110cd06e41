#include "kernel/replica/bitmap.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace lockstep::replica {

namespace {

constexpr std::uint64_t words_per_page = bitmap::page_size / sizeof(std::uint64_t);
constexpr std::uint64_t ones = ~std::uint64_t{0};

std::uint64_t words_for(std::uint64_t bits) {
    return (bits + 63) / 64;
}

// The bits first..end of the word that holds `first`; end may lie beyond the word.
std::uint64_t mask_of(std::uint64_t first, std::uint64_t end) {
    const std::uint64_t low = ones << (first % 64);
    const std::uint64_t word_end = (first / 64 + 1) * 64;
    return end >= word_end ? low : low & ~(ones << (end % 64));
}

bool flag(const std::uint64_t* flags, std::uint64_t at) {
    return (flags[at / 64] >> (at % 64) & 1) != 0;
}

// Returns whether that was a change.
bool put_flag(std::uint64_t* flags, std::uint64_t at, bool value) {
    const std::uint64_t bit = std::uint64_t{1} << (at % 64);
    const bool was = (flags[at / 64] & bit) != 0;
    flags[at / 64] = value ? flags[at / 64] | bit : flags[at / 64] & ~bit;
    return was != value;
}

// The first position in [from, end) at which word(index), taken as a bit stream, has a one.
template <class Word>
std::uint64_t next_one(std::uint64_t from, std::uint64_t end, Word word) {
    while (from < end) {
        const std::uint64_t found = word(from / 64) & (ones << (from % 64));
        if (found != 0) {
            const std::uint64_t at =
                from / 64 * 64 + static_cast<std::uint64_t>(std::countr_zero(found));
            return at < end ? at : bitmap::none;
        }
        from = (from / 64 + 1) * 64;
    }
    return bitmap::none;
}

} // namespace

bitmap::bitmap(std::uint64_t device_sectors, fill new_bits) {
    LOCKSTEP_CHECK(resize(device_sectors, new_bits));
}

bool bitmap::resize(std::uint64_t device_sectors, fill new_bits) {
    LOCKSTEP_CHECK(writing_count_ == 0);
    bitmap next;
    next.device_sectors_ = device_sectors;
    next.bits_ = device_sectors / sectors_per_bit + (device_sectors % sectors_per_bit != 0 ? 1 : 0);
    next.pages_ = (next.bits_ + bits_per_page - 1) / bits_per_page;
    const std::uint64_t summary_words = words_for(next.pages_);
    next.words_ = allocate<std::uint64_t>(next.pages_ * words_per_page);
    next.page_counts_ = allocate<std::uint32_t>(next.pages_);
    next.any_ = allocate<std::uint64_t>(summary_words);
    next.full_ = allocate<std::uint64_t>(summary_words);
    next.dirty_ = allocate<std::uint64_t>(summary_words);
    next.writing_ = allocate<std::uint64_t>(summary_words);
    next.cleared_at_ = allocate<std::uint64_t>(next.pages_);
    if (!next.words_ || !next.page_counts_ || !next.any_ || !next.full_ || !next.dirty_ ||
        !next.writing_ || !next.cleared_at_) {
        return false;
    }
    const std::uint64_t shared = std::min(pages_, next.pages_);
    next.clears_ = clears_;
    for (std::uint64_t page = 0; page < shared; ++page) {
        next.cleared_at_[page] = cleared_at_[page];
        if (page_counts_[page] != 0) {
            next.load_page(page, page_bytes(page));
        }
        // A shrunk last page may have lost bits.
        if (page_dirty(page) || next.page_counts_[page] != page_counts_[page]) {
            next.mark_page_dirty(page);
        }
    }
    if (new_bits == fill::set && next.bits_ > bits_) {
        next.set_run(bits_, next.bits_ - bits_);
    }
    for (std::uint64_t page = shared; page < next.pages_; ++page) {
        next.mark_page_dirty(page);
    }
    *this = std::move(next);
    return true;
}

std::uint64_t bitmap::bits_in_page(std::uint64_t page) const {
    return std::min(bits_per_page, bits_ - page * bits_per_page);
}

std::uint64_t bitmap::clipped_end(std::uint64_t first, std::uint64_t count) const {
    return first >= bits_ ? first : first + std::min(count, bits_ - first);
}

void bitmap::recount(std::uint64_t page, std::uint32_t count) {
    weight_ = weight_ - page_counts_[page] + count;
    page_counts_[page] = count;
    put_flag(any_.get(), page, count != 0);
    put_flag(full_.get(), page, count == bits_in_page(page));
}

template <bool Set>
std::uint64_t bitmap::change_in_page(std::uint64_t first, std::uint64_t end) {
    const std::uint64_t page = page_of_bit(first);
    const std::uint64_t before = page_counts_[page];
    if (before == (Set ? bits_in_page(page) : 0)) {
        return 0;
    }
    std::uint64_t changed = 0;
    if (end - first == bits_in_page(page)) {
        // The whole page: nothing to count, which is most of the time that set_all() takes.
        changed = Set ? end - first - before : before;
        const std::uint64_t whole = end / 64;
        std::fill(words_.get() + first / 64, words_.get() + whole, Set ? ones : 0);
        if (end % 64 != 0) {
            words_[whole] = Set ? mask_of(whole * 64, end) : 0;
        }
    } else {
        for (std::uint64_t at = first; at < end; at = (at / 64 + 1) * 64) {
            std::uint64_t& word = words_[at / 64];
            const std::uint64_t mask = mask_of(at, end);
            changed += static_cast<std::uint64_t>(std::popcount((Set ? ~word : word) & mask));
            word = Set ? word | mask : word & ~mask;
        }
    }
    if (changed != 0) {
        if (!Set) {
            cleared_at_[page] = ++clears_;
        }
        recount(page, static_cast<std::uint32_t>(Set ? before + changed : before - changed));
        mark_page_dirty(page);
    }
    return changed;
}

template <bool Set>
std::uint64_t bitmap::change(std::uint64_t first, std::uint64_t end) {
    std::uint64_t changed = 0;
    while (first < end) {
        const std::uint64_t part = std::min(end, (page_of_bit(first) + 1) * bits_per_page);
        changed += change_in_page<Set>(first, part);
        first = part;
    }
    return changed;
}

std::uint64_t bitmap::set_run(std::uint64_t bit, std::uint64_t count) {
    return change<true>(bit, clipped_end(bit, count));
}

std::uint64_t bitmap::clear_run(std::uint64_t bit, std::uint64_t count) {
    return change<false>(bit, clipped_end(bit, count));
}

void bitmap::set_all() {
    set_run(0, bits_);
}

void bitmap::clear_all() {
    // Only pages that have something: a sparse bitmap is cleared without touching the rest.
    for (std::uint64_t bit = find_next_set(0); bit != none; bit = find_next_set(bit)) {
        const std::uint64_t end = (page_of_bit(bit) + 1) * bits_per_page;
        change<false>(bit, std::min(end, bits_));
    }
}

std::uint64_t bitmap::set(std::uint64_t sector, std::uint64_t sectors) {
    if (sectors == 0 || sector >= device_sectors_) {
        return 0;
    }
    const std::uint64_t last = sector + std::min(sectors, device_sectors_ - sector) - 1;
    return change<true>(sector / sectors_per_bit, last / sectors_per_bit + 1);
}

std::uint64_t bitmap::clear(std::uint64_t sector, std::uint64_t sectors) {
    if (sectors == 0 || sector >= device_sectors_) {
        return 0;
    }
    const std::uint64_t end = sector + std::min(sectors, device_sectors_ - sector);
    const std::uint64_t end_bit = end == device_sectors_ ? bits_ : end / sectors_per_bit;
    return change<false>((sector + sectors_per_bit - 1) / sectors_per_bit, end_bit);
}

bool bitmap::any_in(std::uint64_t sector, std::uint64_t sectors) const {
    if (sectors == 0 || sector >= device_sectors_) {
        return false;
    }
    const std::uint64_t last = sector + std::min(sectors, device_sectors_ - sector) - 1;
    // The search is bounded by the range; most ranges lie within one page.
    const std::uint64_t end = last / sectors_per_bit + 1;
    std::uint64_t from = sector / sectors_per_bit;
    while (from < end) {
        const std::uint64_t part = std::min(end, (page_of_bit(from) + 1) * bits_per_page);
        if (page_counts_[page_of_bit(from)] != 0 &&
            next_one(from, part, [this](std::uint64_t at) { return words_[at]; }) != none) {
            return true;
        }
        from = part;
    }
    return false;
}

std::uint64_t bitmap::count_in(std::uint64_t sector, std::uint64_t sectors) const {
    if (sectors == 0 || sector >= device_sectors_) {
        return 0;
    }
    const std::uint64_t last = sector + std::min(sectors, device_sectors_ - sector) - 1;
    const std::uint64_t first_bit = sector / sectors_per_bit;
    return count_run(first_bit, last / sectors_per_bit + 1 - first_bit);
}

bool bitmap::test(std::uint64_t bit) const {
    return bit < bits_ && flag(words_.get(), bit);
}

std::uint64_t bitmap::count_in_page(std::uint64_t first, std::uint64_t end) const {
    const std::uint64_t page = page_of_bit(first);
    if (page_counts_[page] == 0 || end - first == bits_in_page(page)) {
        return page_counts_[page];
    }
    std::uint64_t count = 0;
    for (std::uint64_t at = first; at < end; at = (at / 64 + 1) * 64) {
        count += static_cast<std::uint64_t>(std::popcount(words_[at / 64] & mask_of(at, end)));
    }
    return count;
}

std::uint64_t bitmap::count_run(std::uint64_t bit, std::uint64_t count) const {
    const std::uint64_t end = clipped_end(bit, count);
    std::uint64_t found = 0;
    while (bit < end) {
        const std::uint64_t part = std::min(end, (page_of_bit(bit) + 1) * bits_per_page);
        found += count_in_page(bit, part);
        bit = part;
    }
    return found;
}

std::uint64_t bitmap::find_next_set(std::uint64_t from) const {
    while (from < bits_) {
        const std::uint64_t page =
            next_one(page_of_bit(from), pages_, [this](std::uint64_t at) { return any_[at]; });
        if (page == none) {
            return none;
        }
        from = std::max(from, page * bits_per_page);
        const std::uint64_t end = std::min(bits_, (page + 1) * bits_per_page);
        const std::uint64_t found =
            next_one(from, end, [this](std::uint64_t at) { return words_[at]; });
        if (found != none) {
            return found;
        }
        from = end;
    }
    return none;
}

std::uint64_t bitmap::find_next_clear(std::uint64_t from) const {
    while (from < bits_) {
        const std::uint64_t page =
            next_one(page_of_bit(from), pages_, [this](std::uint64_t at) { return ~full_[at]; });
        if (page == none) {
            return none;
        }
        from = std::max(from, page * bits_per_page);
        const std::uint64_t end = std::min(bits_, (page + 1) * bits_per_page);
        const std::uint64_t found =
            next_one(from, end, [this](std::uint64_t at) { return ~words_[at]; });
        if (found != none) {
            return found;
        }
        from = end;
    }
    return none;
}

bool bitmap::merge_words(std::uint64_t first_word, const_byte_span little_endian) {
    const std::uint64_t count = little_endian.size() / sizeof(std::uint64_t);
    if (little_endian.size() % sizeof(std::uint64_t) != 0 || first_word > words() ||
        count > words() - first_word) {
        return false;
    }
    for (std::uint64_t at = 0; at < count;) {
        const std::uint64_t page = (first_word + at) / words_per_page;
        const std::uint64_t end = std::min(count, (page + 1) * words_per_page - first_word);
        std::uint64_t added = 0;
        for (; at < end; ++at) {
            auto word = load_little<std::uint64_t>(little_endian.data() + at * 8);
            const std::uint64_t index = first_word + at;
            if ((index + 1) * 64 > bits_) {
                word &= mask_of(index * 64, bits_);
            }
            added += static_cast<std::uint64_t>(std::popcount(word & ~words_[index]));
            words_[index] |= word;
        }
        if (added != 0) {
            recount(page, static_cast<std::uint32_t>(page_counts_[page] + added));
            mark_page_dirty(page);
        }
    }
    return true;
}

void bitmap::copy_words(std::uint64_t first_word, byte_span out) const {
    LOCKSTEP_CHECK(out.size() % sizeof(std::uint64_t) == 0 && first_word <= words() &&
                   out.size() / sizeof(std::uint64_t) <= words() - first_word);
    if (!out.empty()) {
        std::memcpy(out.data(), words_.get() + first_word, out.size());
    }
}

const_byte_span bitmap::page_bytes(std::uint64_t page) const {
    LOCKSTEP_CHECK(page < pages_);
    return std::as_bytes(std::span(words_.get() + page * words_per_page, words_per_page));
}

void bitmap::load_page(std::uint64_t page, const_byte_span bytes) {
    LOCKSTEP_CHECK(page < pages_ && bytes.size() == page_size && !page_writing(page));
    if (put_flag(dirty_.get(), page, false)) {
        --dirty_count_;
    }
    // Empty pages, most of an attached device's, stay untouched and cost no memory.
    if (page_counts_[page] == 0 && all_zero(bytes)) {
        return;
    }
    std::uint64_t* const words = words_.get() + page * words_per_page;
    std::memcpy(words, bytes.data(), page_size);
    const std::uint64_t valid = bits_in_page(page);
    for (std::uint64_t at = valid / 64; at < words_per_page; ++at) {
        words[at] &= at * 64 >= valid ? 0 : mask_of(at * 64, valid);
    }
    std::uint64_t count = 0;
    for (std::uint64_t at = 0; at < words_per_page; ++at) {
        count += static_cast<std::uint64_t>(std::popcount(words[at]));
    }
    recount(page, static_cast<std::uint32_t>(count));
}

bool bitmap::page_dirty(std::uint64_t page) const {
    LOCKSTEP_CHECK(page < pages_);
    return flag(dirty_.get(), page);
}

bool bitmap::page_writing(std::uint64_t page) const {
    LOCKSTEP_CHECK(page < pages_);
    return flag(writing_.get(), page);
}

std::uint64_t bitmap::next_dirty_page(std::uint64_t from) const {
    if (dirty_count_ == 0) {
        return none;
    }
    return next_one(from, pages_, [this](std::uint64_t at) { return dirty_[at] & ~writing_[at]; });
}

void bitmap::begin_page_write(std::uint64_t page, byte_span out) {
    LOCKSTEP_CHECK(out.size() == page_size && !page_writing(page));
    std::memcpy(out.data(), page_bytes(page).data(), page_size);
    if (put_flag(dirty_.get(), page, false)) {
        --dirty_count_;
    }
    put_flag(writing_.get(), page, true);
    ++writing_count_;
}

void bitmap::end_page_write(std::uint64_t page, bool stored) {
    LOCKSTEP_CHECK(page_writing(page));
    put_flag(writing_.get(), page, false);
    --writing_count_;
    if (!stored) {
        mark_page_dirty(page);
    }
}

void bitmap::mark_page_dirty(std::uint64_t page) {
    LOCKSTEP_CHECK(page < pages_);
    if (put_flag(dirty_.get(), page, true)) {
        ++dirty_count_;
    }
}

void bitmap::mark_all_dirty() {
    for (std::uint64_t page = 0; page < pages_; ++page) {
        mark_page_dirty(page);
    }
}

bool bitmap::consistent() const {
    std::uint64_t total = 0;
    std::uint64_t dirty = 0;
    for (std::uint64_t page = 0; page < pages_; ++page) {
        std::uint64_t count = 0;
        const std::uint64_t valid = bits_in_page(page);
        for (std::uint64_t at = 0; at < bits_per_page; ++at) {
            const bool bit = flag(words_.get(), page * bits_per_page + at);
            if (bit && at >= valid) {
                return false;
            }
            count += bit ? 1 : 0;
        }
        if (count != page_counts_[page] || flag(any_.get(), page) != (count != 0) ||
            flag(full_.get(), page) != (count == valid)) {
            return false;
        }
        total += count;
        dirty += page_dirty(page) ? 1 : 0;
    }
    return total == weight_ && dirty == dirty_count_;
}

} // namespace lockstep::replica
