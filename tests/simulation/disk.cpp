#include "disk.hpp"

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace lockstep::simulation {

using operation = replica::disk_request::operation;

namespace {

bool changes(const replica::disk_request& request) {
    return request.op != operation::read && request.op != operation::flush;
}

} // namespace

void disk::submit(replica::disk_request& request,
                  std::function<void(replica::disk_request&, int)> ended) {
    if (complaint_.empty() && request.op != operation::flush &&
        (request.offset % sector_bytes != 0 || request.size % sector_bytes != 0 ||
         request.size == 0 || request.offset + request.size > sectors_ * sector_bytes)) {
        complaint_ = fmt::format("a request for {} bytes at {} of a disk of {} sectors",
                                 request.size, request.offset, sectors_);
    }
    check_overlap(request);
    const std::uint64_t id = next_id_++;
    under_way_.emplace(id, pending{&request, std::move(ended), stamp_});
    schedule(id);
}

// Two writes to the same place at a time end in an unknown order: the engine must not do that.
void disk::check_overlap(const replica::disk_request& request) {
    if (!changes(request)) {
        return;
    }
    for (const auto& [id, other] : under_way_) {
        const auto& theirs = *other.request;
        if (changes(theirs) && theirs.offset < request.offset + request.size &&
            request.offset < theirs.offset + theirs.size && complaint_.empty()) {
            complaint_ = fmt::format("two writes at a time: {}+{} and {}+{}", request.offset,
                                     request.size, theirs.offset, theirs.size);
        }
    }
}

void disk::schedule(std::uint64_t id) {
    if (faults.hung) {
        return;
    }
    const instant shortest = 20'000;
    const instant longest = std::max(faults.latency_max, shortest + 1);
    events_.after(random_.between(shortest, longest), [this, id] { finish(id); });
}

void disk::unhang() {
    faults.hung = false;
    for (const auto& [id, each] : under_way_) {
        schedule(id);
    }
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
        if (!fails && !sabotage.ignore_flush) {
            harden(ended.stamp);
        }
    } else {
        apply(request, request.fua && !sabotage.ignore_fua && !fails, fails);
    }
    ++stamp_;
    ended.ended(request, fails ? EIO : 0);
}

void disk::apply(const replica::disk_request& request, bool durable, bool torn) {
    static const sector zeroes{};
    for (std::uint64_t done = 0; done < request.size; done += sector_bytes) {
        if (torn && random_.percent(50)) {
            continue;
        }
        const std::byte* from =
            request.op == operation::write ? request.memory + done : zeroes.data();
        put((request.offset + done) / sector_bytes, from, durable);
    }
}

void disk::put(std::uint64_t at, const std::byte* content, bool durable) {
    if (durable) {
        cached_.erase(at);
        auto& place = durable_[at];
        if (place == nullptr) {
            place = std::make_unique<sector>();
        }
        std::memcpy(place->data(), content, sector_bytes);
        return;
    }
    auto copy = std::make_unique<sector>();
    std::memcpy(copy->data(), content, sector_bytes);
    cached_[at].push_back({stamp_, std::move(copy)});
}

void disk::harden(std::uint64_t stamp) {
    for (auto each = cached_.begin(); each != cached_.end();) {
        auto& versions = each->second;
        std::size_t certain = 0;
        while (certain < versions.size() && versions[certain].stamp < stamp) {
            ++certain;
        }
        if (certain > 0) {
            durable_[each->first] = std::move(versions[certain - 1].content);
            versions.erase(versions.begin(),
                           versions.begin() + static_cast<std::ptrdiff_t>(certain));
        }
        each = versions.empty() ? cached_.erase(each) : std::next(each);
    }
}

void disk::crash() {
    for (const auto& [id, each] : under_way_) {
        if (changes(*each.request)) {
            apply(*each.request, false, true);
        }
    }
    under_way_.clear();
    const unsigned lost_percent = static_cast<unsigned>(random_.below(101));
    for (auto& [at, versions] : cached_) {
        if (random_.percent(lost_percent)) {
            continue;
        }
        durable_[at] = std::move(versions[random_.below(versions.size())].content);
    }
    cached_.clear();
}

const sector* disk::find(std::uint64_t at) const {
    if (const auto cached = cached_.find(at); cached != cached_.end()) {
        return cached->second.back().content.get();
    }
    const auto stored = durable_.find(at);
    return stored == durable_.end() ? nullptr : stored->second.get();
}

void disk::read_now(std::uint64_t offset, byte_span into) const {
    for (std::size_t done = 0; done < into.size(); done += sector_bytes) {
        const sector* content = find((offset + done) / sector_bytes);
        if (content == nullptr) {
            std::memset(into.data() + done, 0, sector_bytes);
        } else {
            std::memcpy(into.data() + done, content->data(), sector_bytes);
        }
    }
}

void disk::write_now(std::uint64_t offset, const_byte_span from) {
    for (std::size_t done = 0; done < from.size(); done += sector_bytes) {
        put((offset + done) / sector_bytes, from.data() + done, true);
    }
}

} // namespace lockstep::simulation
