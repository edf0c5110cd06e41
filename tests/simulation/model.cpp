#include "model.hpp"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

namespace lockstep::simulation {
namespace {

constexpr std::size_t words = sector_bytes / 8;

std::uint64_t word_of(std::uint64_t id, std::uint64_t at, std::size_t index) {
    return index == 0 ? id : (id * 0x9e3779b97f4a7c15U) ^ (at * 0xbf58476d1ce4e5b9U) ^ index;
}

} // namespace

void model::fill(write_id id, std::uint64_t at, std::byte* into) {
    for (std::size_t index = 0; index < words; ++index) {
        const std::uint64_t word = word_of(id, at, index);
        std::memcpy(into + index * 8, &word, 8);
    }
}

bool model::identify(std::uint64_t at, const std::byte* content, write_id& id) {
    std::memcpy(&id, content, 8);
    if (id == 0) {
        return std::all_of(content, content + sector_bytes,
                           [](std::byte each) { return each == std::byte{0}; });
    }
    sector expected;
    fill(id, at, expected.data());
    return std::memcmp(expected.data(), content, sector_bytes) == 0;
}

model::write_id model::issue(unsigned side, std::uint64_t first, std::uint64_t count, bool zeroes) {
    const write_id id = writes_.size();
    writes_.push_back({id, first, count, zeroes, now(), still_open, false, false, side});
    for (std::uint64_t at = first; at < first + count; ++at) {
        auto& history = sectors_[at];
        if (history.empty()) {
            history.push_back(0);
        }
        history.push_back(id);
    }
    unsettled_.push_back(id);
    return id;
}

void model::acknowledge(write_id id, bool durable) {
    if (id < (durable ? durable_doubtful_before_ : doubtful_before_)) {
        abandon(id);
        return;
    }
    writes_[id].acknowledged = true;
    writes_[id].durable = durable && id >= cached_before_;
    writes_[id].ended = now();
}

void model::abandon(write_id id) {
    writes_[id].ended = now();
}

void model::flushed(moment issued, std::optional<unsigned> side) {
    if (issued < flushes_void_before_) {
        return;
    }
    for (const write_id id : unsettled_) {
        write& each = writes_[id];
        const bool covered = !side || each.side == *side;
        each.durable |= covered && each.acknowledged && each.ended <= issued;
    }
}

void model::forget_unflushed() {
    for (const write_id id : unsettled_) {
        if (!writes_[id].durable) {
            writes_[id].acknowledged = false;
            writes_[id].ended = now();
        }
    }
}

void model::forget_unsettled() {
    for (const write_id id : unsettled_) {
        writes_[id].acknowledged = false;
        writes_[id].durable = false;
        writes_[id].ended = now();
    }
}

void model::doubt_open(bool durable_counts) {
    doubtful_before_ = writes_.size();
    if (!durable_counts) {
        durable_doubtful_before_ = writes_.size();
    }
}

void model::forget_durable() {
    for (const write_id id : unsettled_) {
        writes_[id].durable = false;
    }
    cached_before_ = writes_.size();
    flushes_void_before_ = now();
}

void model::forget_all() {
    const moment when = now();
    for (auto& [at, history] : sectors_) {
        for (const write_id id : history) {
            write& each = writes_[id];
            if (id != 0 && each.ended != still_open) {
                each.acknowledged = false;
                each.durable = false;
                each.ended = when;
            }
        }
    }
}

bool model::excluded(const std::vector<write_id>& history, write_id id, moment read_issued) const {
    const write& it = at(id);
    return std::ranges::any_of(history, [&](write_id other_id) {
        const write& other = at(other_id);
        return other_id != id && other.acknowledged && other.ended <= read_issued &&
               other.issued >= it.ended;
    });
}

std::string model::check(std::uint64_t at_sector, const std::byte* content,
                         moment read_issued) const {
    write_id id = 0;
    const bool known_content = identify(at_sector, content, id);
    if (!known_content && at_sector < zeroes_end_) {
        return fmt::format("sector {} holds what nobody wrote there", at_sector);
    }
    const auto found = sectors_.find(at_sector);
    if (found == sectors_.end()) {
        return id == 0 || !known_content
                   ? std::string{}
                   : fmt::format("sector {} was never written, but holds write {}", at_sector, id);
    }
    const auto& history = found->second;
    for (const write_id each : history) {
        const bool same = !known_content ? at(each).content == 0
                          : id == 0      ? at(each).zeroes
                                         : at(each).content == id && !at(each).zeroes;
        if (same && !excluded(history, each, read_issued)) {
            return {};
        }
    }
    std::string known;
    for (const write_id each : history) {
        const write& it = at(each);
        known += fmt::format(" {}{}[{}..{}{}]", it.content, it.zeroes ? "z" : "", it.issued,
                             it.ended == still_open ? 0 : it.ended,
                             it.acknowledged ? (it.durable ? " durable" : " ack") : "");
    }
    return fmt::format("sector {} holds write {}, which was overwritten; known:{}", at_sector, id,
                       known);
}

std::string model::settle(std::uint64_t at_sector, const std::byte* content) {
    if (auto wrong = check(at_sector, content, now()); !wrong.empty()) {
        return wrong;
    }
    write_id id = 0;
    if (!identify(at_sector, content, id)) {
        id = 0; // as it was in the beginning
    }
    auto found = sectors_.find(at_sector);
    if (found == sectors_.end()) {
        return {};
    }
    // From here on it is this one, for certain.
    const write_id settled = writes_.size();
    const moment when = now();
    writes_.push_back({id, at_sector, 1, id == 0, when, when, true, true});
    found->second = {settled};
    return {};
}

} // namespace lockstep::simulation
