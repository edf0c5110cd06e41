#include "disk.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace lockstep::simulation {

using operation = replica::disk_request::operation;

namespace {

bool changes(const replica::disk_request& request) {
    return request.op != operation::read && request.op != operation::flush;
}

constexpr std::array<std::byte, 4096> zeroes{};

} // namespace

disk::disk(event_queue& events, random_source& random, std::uint64_t sectors)
    : events_(events), random_(random), sectors_(sectors), places_(sectors / chunk_sectors + 1),
      chunks_(static_cast<chunk**>(std::calloc(places_, sizeof(void*)))) {
    LOCKSTEP_CHECK(chunks_ != nullptr);
}

void disk::grow(std::uint64_t sectors) {
    sectors_ = sectors;
    const std::uint64_t wanted = sectors / chunk_sectors + 1;
    if (wanted <= places_) {
        return;
    }
    decltype(chunks_) larger(static_cast<chunk**>(std::calloc(wanted, sizeof(void*))));
    LOCKSTEP_CHECK(larger != nullptr);
    for (const std::uint64_t index : made_) {
        larger[index] = chunks_[index];
    }
    places_ = wanted;
    chunks_ = std::move(larger);
}

disk::~disk() {
    drop_chunks();
}

void disk::drop_chunks() {
    for (const std::uint64_t index : made_) {
        delete chunks_[index];
        chunks_[index] = nullptr;
    }
    made_.clear();
    dirty_.clear();
}

disk::chunk& disk::chunk_at(std::uint64_t index) {
    chunk*& place = chunks_[index];
    if (place == nullptr) {
        place = new chunk;
        made_.push_back(index);
    }
    return *place;
}

void disk::complain(const std::string& about) const {
    if (on_complaint) {
        on_complaint(about);
    }
}

void disk::submit(replica::disk_request& request,
                  std::function<void(replica::disk_request&, int)> ended) {
    if (request.op != operation::flush &&
        (request.offset % sector_bytes != 0 || request.size % sector_bytes != 0 ||
         request.size == 0 || request.offset + request.size > sectors_ * sector_bytes)) {
        complain(fmt::format("a request for {} bytes at {} of a disk of {} sectors", request.size,
                             request.offset, sectors_));
    }
    check_overlap(request);
    count(request);
    const std::uint64_t id = next_id_++;
    under_way_.emplace(id, pending{&request, std::move(ended), stamp_});
    schedule(id);
}

void disk::count(const replica::disk_request& request) {
    switch (request.op) {
    case operation::read:
        ++counters.reads;
        break;
    case operation::write:
        ++counters.writes;
        counters.fua_writes += request.fua ? 1 : 0;
        break;
    case operation::flush:
        ++counters.flushes;
        break;
    case operation::discard:
        ++counters.discards;
        break;
    case operation::write_zeroes:
        ++counters.zeroes;
        break;
    }
}

// Two writes to the same place at a time end in an unknown order: the engine must not do that.
void disk::check_overlap(const replica::disk_request& request) {
    if (!changes(request)) {
        return;
    }
    for (const auto& [id, other] : under_way_) {
        const auto& theirs = *other.request;
        if (changes(theirs) && theirs.offset < request.offset + request.size &&
            request.offset < theirs.offset + theirs.size) {
            complain(fmt::format("two writes at a time: {}+{} and {}+{}", request.offset,
                                 request.size, theirs.offset, theirs.size));
        }
    }
}

void disk::schedule(std::uint64_t id) {
    if (faults.hung) {
        return;
    }
    const instant shortest = 20'000;
    const instant longest = std::max(faults.latency_max, shortest + 1);
    const bool flush = under_way_.at(id).request->op == operation::flush;
    events_.after(random_.between(shortest, longest) + (flush ? faults.flush_latency : 0),
                  [this, id] { finish(id); });
}

void disk::unhang() {
    faults.hung = false;
    for (const auto& [id, each] : under_way_) {
        schedule(id);
    }
}

void disk::replace() {
    LOCKSTEP_CHECK(under_way_.empty());
    drop_chunks();
    faults.dead = false;
}

void disk::finish(std::uint64_t id) {
    const auto found = under_way_.find(id);
    if (found == under_way_.end() || faults.hung) {
        return;
    }
    pending ended = std::move(found->second);
    under_way_.erase(found);
    replica::disk_request& request = *ended.request;
    const unsigned chance = request.op == operation::read    ? faults.read_error_permille
                            : request.op == operation::flush ? faults.flush_error_permille
                                                             : faults.write_error_permille;
    const bool fails = faults.dead || (chance > 0 && random_.permille(chance));
    if (request.op == operation::read) {
        if (!fails) {
            read_now(request.offset, {request.memory, request.size});
        }
    } else if (request.op == operation::flush) {
        ++flushes;
        if (!fails && !sabotage.ignore_flush) {
            harden(ended.stamp);
        }
    } else {
        apply(request, request.fua && !sabotage.ignore_fua && !fails, fails);
        ++writes_ended_;
    }
    ++stamp_;
    errors_ += fails ? 1 : 0;
    ended.ended(request, fails ? EIO : 0);
}

void disk::apply(const replica::disk_request& request, bool durable, bool torn) {
    const std::uint64_t end = (request.offset + request.size) / sector_bytes;
    const std::byte* from = request.memory;
    for (std::uint64_t at = request.offset / sector_bytes; at < end;) {
        const std::uint64_t stop = std::min(end, (at / chunk_sectors + 1) * chunk_sectors);
        const auto count = static_cast<unsigned>(stop - at);
        unsigned mask = (1U << count) - 1;
        for (unsigned bit = 0; torn && bit < count; ++bit) {
            if (random_.percent(50)) {
                mask &= ~(1U << bit);
            }
        }
        const bool has_data = request.op == operation::write;
        put(at, mask, has_data ? from : zeroes.data(), durable);
        from += has_data ? count * sector_bytes : 0;
        at = stop;
    }
}

std::unique_ptr<disk::chunk_content> disk::blank() {
    if (spare_.empty()) {
        return std::make_unique<chunk_content>();
    }
    auto made = std::move(spare_.back());
    spare_.pop_back();
    return made;
}

// Sectors from `at` on, all in one chunk; bit n of the mask: the n-th of them is written.
void disk::put(std::uint64_t at, unsigned mask, const std::byte* first_sector, bool durable) {
    const std::uint64_t index = at / chunk_sectors;
    const unsigned shift = at % chunk_sectors;
    if (mask == 0) {
        return;
    }
    if (chunks_[index] == nullptr &&
        std::memcmp(first_sector, zeroes.data(), std::bit_width(mask) * sector_bytes) == 0) {
        return; // that is what it holds
    }
    chunk& into = chunk_at(index);
    chunk_content* content = &into.durable;
    if (durable) {
        for (version& each : into.cached) {
            each.mask &= ~(mask << shift);
        }
    } else {
        if (into.cached.empty()) {
            dirty_.push_back(index);
        }
        into.cached.push_back({stamp_, mask << shift, blank()});
        content = into.cached.back().content.get();
    }
    for (unsigned bit = 0; mask >> bit != 0; ++bit) {
        if ((mask >> bit & 1U) != 0) {
            std::memcpy(content->data() + (shift + bit) * sector_bytes,
                        first_sector + bit * sector_bytes, sector_bytes);
        }
    }
}

namespace {

template <class Content>
void copy_sectors(unsigned mask, const Content& from, Content& to) {
    if (mask == 0xff) {
        to = from;
        return;
    }
    for (unsigned bit = 0; mask >> bit != 0; ++bit) {
        if ((mask >> bit & 1U) != 0) {
            std::memcpy(to.data() + bit * sector_bytes, from.data() + bit * sector_bytes,
                        sector_bytes);
        }
    }
}

} // namespace

void disk::harden(std::uint64_t stamp) {
    std::erase_if(dirty_, [&](std::uint64_t index) {
        chunk& each = *chunks_[index];
        std::size_t certain = 0;
        while (certain < each.cached.size() && each.cached[certain].stamp < stamp) {
            version& done = each.cached[certain++];
            copy_sectors(done.mask, *done.content, each.durable);
            spare_.push_back(std::move(done.content));
        }
        each.cached.erase(each.cached.begin(),
                          each.cached.begin() + static_cast<std::ptrdiff_t>(certain));
        return each.cached.empty();
    });
}

void disk::crash() {
    for (const auto& [id, each] : under_way_) {
        if (changes(*each.request)) {
            apply(*each.request, false, true);
        }
    }
    under_way_.clear();
    const auto lost_percent = static_cast<unsigned>(random_.below(101));
    for (const std::uint64_t index : dirty_) {
        chunk& each = *chunks_[index];
        for (unsigned bit = 0; bit < chunk_sectors; ++bit) {
            const unsigned mask = 1U << bit;
            const auto wrote = [mask](const version& one) { return (one.mask & mask) != 0; };
            const auto count = std::ranges::count_if(each.cached, wrote);
            if (count == 0 || random_.percent(lost_percent)) {
                continue;
            }
            std::uint64_t chosen = random_.below(static_cast<std::uint64_t>(count));
            for (const version& one : each.cached) {
                if (wrote(one) && chosen-- == 0) {
                    copy_sectors(mask, *one.content, each.durable);
                    break;
                }
            }
        }
        each.cached.clear();
    }
    dirty_.clear();
}

void disk::read_now(std::uint64_t offset, byte_span into) const {
    for (std::size_t done = 0; done < into.size();) {
        const std::uint64_t at = (offset + done) / sector_bytes;
        const std::uint64_t shift = at % chunk_sectors;
        const std::size_t part =
            std::min(into.size() - done, (chunk_sectors - shift) * sector_bytes);
        const chunk* found = chunks_[at / chunk_sectors];
        std::byte* to = into.data() + done;
        if (found == nullptr) {
            std::memset(to, 0, part);
        } else {
            std::memcpy(to, found->durable.data() + shift * sector_bytes, part);
            for (const version& each : found->cached) {
                for (std::size_t bit = shift; bit < shift + part / sector_bytes; ++bit) {
                    if ((each.mask >> bit & 1U) != 0) {
                        std::memcpy(to + (bit - shift) * sector_bytes,
                                    each.content->data() + bit * sector_bytes, sector_bytes);
                    }
                }
            }
        }
        done += part;
    }
}

void disk::write_now(std::uint64_t offset, const_byte_span from) {
    for (std::size_t done = 0; done < from.size();) {
        const std::uint64_t at = (offset + done) / sector_bytes;
        const std::size_t part = std::min<std::size_t>(
            from.size() - done, (chunk_sectors - at % chunk_sectors) * sector_bytes);
        put(at, (1U << (part / sector_bytes)) - 1, from.data() + done, true);
        done += part;
    }
}

} // namespace lockstep::simulation
