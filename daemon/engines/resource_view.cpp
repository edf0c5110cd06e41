#include "daemon/engines/resource_view.hpp"

#include <algorithm>

namespace lockstep::engines {

namespace {

// What a line does not say stays as it was.
void set_if_told(bool& what, const event_line& event, std::string_view key, std::string_view word) {
    if (const std::string* value = event.field(key)) {
        what = *value == word;
    }
}

// The name is not always there. Who prints no number has but one peer.
std::uint32_t peer_of(const event_line& event) {
    return event.peer_node.value_or(0);
}

template <class Container, class Test>
bool some_and_all(const Container& of, Test test) {
    return !of.empty() && std::all_of(of.begin(), of.end(), test);
}

} // namespace

void resource_view::begin() {
    begun_.emplace();
}

void resource_view::take(const event_line& event, instant now) {
    if (event.object == event_object::other) {
        return;
    }
    if (event.action == event_action::exists) {
        if (event.object == event_object::none) {
            take_end_of_exists(now);
        } else {
            take_exists(event);
        }
        return;
    }
    if (event.action == event_action::rename) {
        take_rename(event, now);
        return;
    }
    const auto found = engines_.find(event.resource);
    const bool of_resource = event.object == event_object::resource;
    if (event.action == event_action::destroy && of_resource) {
        engines_.erase(event.resource);
    } else if (event.action == event_action::create && of_resource) {
        engine fresh;
        fresh.started = now;
        set(fresh, event);
        engines_[event.resource] = std::move(fresh);
    } else if (found == engines_.end()) {
        return; // an echo of what is gone
    } else if (event.action == event_action::destroy) {
        remove(found->second, event);
    } else {
        set(found->second, event);
    }
    look(event.resource, now);
}

void resource_view::take_exists(const event_line& event) {
    if (!begun_) {
        begun_.emplace();
    }
    set((*begun_)[event.resource], event);
}

void resource_view::take_end_of_exists(instant now) {
    if (begun_) {
        engines_ = std::move(*begun_);
    } else {
        engines_.clear();
    }
    begun_.reset();
    for (auto& [name, its] : engines_) {
        its.started = now;
    }
    for (auto& [name, its] : histories_) {
        if (!its.facts.running) {
            continue;
        }
        // As if it had ended just now, whether it did or not.
        its.facts.connection += its.facts.connected ? 1 : 0;
        its.facts.connected = false;
        its.facts.separated = now;
        its.linked = false;
        look(name, now);
    }
    for (const auto& [name, its] : engines_) {
        look(name, now);
    }
}

void resource_view::take_rename(const event_line& event, instant now) {
    const std::string* const name = event.field("new_name");
    auto its = engines_.extract(event.resource);
    if (name == nullptr || its.empty()) {
        return;
    }
    its.key() = *name;
    engines_.insert(std::move(its));
    look(event.resource, now);
    look(*name, now);
}

void resource_view::set(engine& of, const event_line& event) {
    switch (event.object) {
    case event_object::resource:
        set_if_told(of.primary, event, "role", "Primary");
        break;
    case event_object::connection: {
        peer& its = of.peers[peer_of(event)];
        set_if_told(its.is_linked, event, "connection", "Connected");
        set_if_told(its.stands_alone, event, "connection", "StandAlone");
        set_if_told(its.primary, event, "role", "Primary");
        break;
    }
    case event_object::device:
        set_if_told(of.up_to_date[*event.volume], event, "disk", "UpToDate");
        break;
    case event_object::peer_device: {
        volume_link& its = of.peers[peer_of(event)].volumes[*event.volume];
        set_if_told(its.up_to_date, event, "peer-disk", "UpToDate");
        if (const std::string* word = event.field("replication")) {
            its.replicates = *word != "Off";
        }
        break;
    }
    default:
        break;
    }
}

void resource_view::remove(engine& of, const event_line& event) {
    const auto its = of.peers.find(peer_of(event));
    if (event.object == event_object::device) {
        of.up_to_date.erase(*event.volume);
    } else if (its == of.peers.end()) {
        return;
    } else if (event.object == event_object::connection) {
        of.peers.erase(its);
    } else if (event.object == event_object::peer_device) {
        its->second.volumes.erase(*event.volume);
    }
}

// That a volume of ours is missing over there is no replication, either.
bool resource_view::is_connected(const engine& its) {
    return some_and_all(its.peers, [&](const auto& each) {
        const peer& other = each.second;
        const bool has_all = some_and_all(its.up_to_date, [&](const auto& volume) {
            return other.volumes.count(volume.first) != 0;
        });
        return other.is_linked && has_all && some_and_all(other.volumes, [](const auto& volume) {
                   return volume.second.replicates;
               });
    });
}

engine_facts resource_view::state_of(const engine& its) {
    engine_facts now;
    now.running = true;
    now.primary = its.primary;
    now.up_to_date = some_and_all(its.up_to_date, [](const auto& each) { return each.second; });
    now.connected = is_connected(its);
    now.stands_alone = std::all_of(its.peers.begin(), its.peers.end(),
                                   [](const auto& each) { return each.second.stands_alone; });
    now.peer_up_to_date = some_and_all(its.peers, [](const auto& each) {
        return some_and_all(each.second.volumes,
                            [](const auto& volume) { return volume.second.up_to_date; });
    });
    now.peer_primary = std::any_of(its.peers.begin(), its.peers.end(),
                                   [](const auto& each) { return each.second.primary; });
    now.started = its.started;
    return now;
}

void resource_view::look(const std::string& resource, instant now) {
    const auto found = engines_.find(resource);
    history& its = histories_[resource];
    engine_facts facts = found == engines_.end() ? engine_facts{} : state_of(found->second);
    const bool linked = found != engines_.end() &&
                        std::any_of(found->second.peers.begin(), found->second.peers.end(),
                                    [](const auto& each) { return each.second.is_linked; });
    facts.connection = its.facts.connection + (its.facts.connected && !facts.connected ? 1 : 0);
    // The link goes before the replication is told to have ended, and is there before that begins.
    const bool is_lost = (its.linked || its.facts.connected) && !linked;
    const bool is_new = facts.running && its.facts.started != facts.started;
    facts.separated = (is_lost || is_new) ? now : its.facts.separated;
    its.linked = linked;
    its.facts = facts;
    changed_.insert(resource);
}

std::vector<facts_change> resource_view::changes() {
    std::vector<facts_change> all;
    if (begun_) {
        return all;
    }
    for (const std::string& name : changed_) {
        history& its = histories_.at(name);
        const bool was_never_heard_of = !its.told && !its.facts.running;
        if (!was_never_heard_of && its.told != its.facts) {
            its.told = its.facts;
            all.push_back({name, its.facts});
        }
    }
    changed_.clear();
    return all;
}

} // namespace lockstep::engines
