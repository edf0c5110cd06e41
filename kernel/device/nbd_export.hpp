// What the NBD server has on offer: one export for each published volume.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/device/volume_io.hpp"

namespace lockstep::device {

struct nbd_export {
    volume_properties properties;
    volume_io* engine = nullptr;
    unsigned clients = 0; // connections that are past negotiation

    std::uint16_t transmission_flags() const;
};

// The names under which an export is found: "RES/VOL", "minor-N", "VOL"; "RES" and the empty
// (default) name stand for the lowest volume.
class nbd_exports {
public:
    nbd_exports(std::string resource, volume_io& engine)
        : resource_(std::move(resource)), engine_(&engine) {}

    // The export stays where it is until remove(), which needs that no client has it.
    nbd_export& add(const volume_properties& properties);
    void remove(volume_number volume);
    nbd_export* find(std::string_view name);
    nbd_export* find(volume_number volume);
    std::size_t count() const { return exports_.size(); }
    // By volume number.
    nbd_export& at(std::size_t index) { return *exports_[index]; }
    std::string name(const nbd_export& which) const;

private:
    std::string resource_;
    volume_io* engine_;
    std::vector<std::unique_ptr<nbd_export>> exports_;
};

} // namespace lockstep::device
