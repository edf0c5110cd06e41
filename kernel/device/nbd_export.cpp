#include "kernel/device/nbd_export.hpp"

#include <algorithm>

#include "kernel/base/check.hpp"
#include "kernel/device/nbd_protocol.hpp"

namespace lockstep::device {

// A flush of the replica covers every write that was acknowledged before, whichever connection it
// came over: that is what "multi-conn" promises.
std::uint16_t nbd_export::transmission_flags() const {
    std::uint16_t flags = nbd::flag_has_flags | nbd::flag_send_flush | nbd::flag_can_multi_conn;
    if (properties.read_only) {
        return flags | nbd::flag_read_only;
    }
    flags |= nbd::flag_send_fua;
    if (properties.can_discard) {
        flags |= nbd::flag_send_trim | nbd::flag_send_write_zeroes;
    }
    return flags;
}

nbd_export& nbd_exports::add(const volume_properties& properties) {
    LOCKSTEP_CHECK(find(properties.volume) == nullptr);
    auto made = std::make_unique<nbd_export>();
    made->properties = properties;
    made->engine = engine_;
    const auto after = std::find_if(exports_.begin(), exports_.end(), [&](const auto& one) {
        return one->properties.volume > properties.volume;
    });
    return **exports_.insert(after, std::move(made));
}

void nbd_exports::remove(volume_number volume) {
    const auto found = std::find_if(exports_.begin(), exports_.end(), [&](const auto& one) {
        return one->properties.volume == volume;
    });
    if (found != exports_.end()) {
        LOCKSTEP_CHECK((*found)->clients == 0);
        exports_.erase(found);
    }
}

nbd_export* nbd_exports::find(volume_number volume) {
    for (const auto& one : exports_) {
        if (one->properties.volume == volume) {
            return one.get();
        }
    }
    return nullptr;
}

nbd_export* nbd_exports::find(std::string_view wanted) {
    if (exports_.empty()) {
        return nullptr;
    }
    if (wanted.empty() || wanted == resource_) {
        return exports_.front().get();
    }
    for (const auto& one : exports_) {
        if (wanted == name(*one) || wanted == std::to_string(one->properties.volume) ||
            wanted == "minor-" + std::to_string(one->properties.minor)) {
            return one.get();
        }
    }
    return nullptr;
}

std::string nbd_exports::name(const nbd_export& which) const {
    return resource_ + '/' + std::to_string(which.properties.volume);
}

} // namespace lockstep::device
