#include "agent/drbdsetup/event_text.hpp"

#include <algorithm>
#include <cstdlib>
#include <ctime>

#include <fmt/format.h>

namespace lockstep::drbdsetup {

namespace {

std::string key_of(const control::event& what) {
    if (what.object == control::event_object::none) {
        return "-";
    }
    std::string key = fmt::format("{} name:{}", control::name(what.object), what.resource);
    using object = control::event_object;
    const bool of_peer = what.object == object::connection || what.object == object::peer_device ||
                         what.object == object::helper;
    key += of_peer ? " peer-node-id:0" : "";
    key += what.has_connection ? " conn-name:peer" : "";
    key += what.volume ? fmt::format(" volume:{}", *what.volume) : "";
    key += what.minor ? fmt::format(" minor:{}", *what.minor) : "";
    return key;
}

const control::event_field* find(const control::event* in, const std::string& key) {
    if (in == nullptr) {
        return nullptr;
    }
    const auto found =
        std::find_if(in->fields.begin(), in->fields.end(),
                     [&](const control::event_field& field) { return field.key == key; });
    return found == in->fields.end() ? nullptr : &*found;
}

} // namespace

std::string timestamp(std::int64_t time_us) {
    const std::time_t seconds = time_us / 1000000;
    std::tm local = {};
    ::localtime_r(&seconds, &local);
    const long offset = local.tm_gmtoff;
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}{}{:02}:{:02}",
                       local.tm_year + 1900, local.tm_mon + 1, local.tm_mday, local.tm_hour,
                       local.tm_min, local.tm_sec, time_us % 1000000, offset < 0 ? '-' : '+',
                       std::labs(offset) / 3600, std::labs(offset) / 60 % 60);
}

std::string event_text::fields(const control::event& what, const control::event* before) const {
    std::string text;
    for (const control::event_field& field : what.fields) {
        const control::event_field* old = find(before, field.key);
        const bool changed = old == nullptr || old->value != field.value;
        // Statistics go with every line that is printed, except those that only say something when
        // they change.
        const bool shown = style_.full       ? style_.statistics || !field.statistic
                           : field.statistic ? style_.statistics && (changed || !field.quiet)
                                             : changed;
        if (!shown) {
            continue;
        }
        text += style_.diff && old != nullptr && changed
                    ? fmt::format(" {}:{}->{}", field.key, old->value, field.value)
                    : fmt::format(" {}:{}", field.key, field.value);
    }
    return text;
}

std::string event_text::line(const control::event& what) {
    const std::string key = key_of(what);
    const auto before = known_.find(key);
    const bool lasting =
        what.object != control::event_object::none && what.object != control::event_object::helper;
    const bool compares = what.kind == control::event_kind::change && before != known_.end();
    std::string text = style_.timestamps ? timestamp(what.time_us) + " " : std::string();
    text += fmt::format("{} {}", control::name(what.kind), key);
    text += fields(what, compares ? &before->second : nullptr);
    if (lasting && what.kind == control::event_kind::destroy) {
        known_.erase(key);
    } else if (lasting) {
        known_[key] = what;
    }
    return text + "\n";
}

} // namespace lockstep::drbdsetup
