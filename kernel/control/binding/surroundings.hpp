// What a command needs of the engine besides the replica: devices, addresses, the process. The
// engine implements this; resource_target calls it before or after the replica.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "kernel/base/error.hpp"
#include "kernel/options/options.hpp"
#include "kernel/replica/resource.hpp"

namespace lockstep::control {

// Where the data and the metadata of a volume are, as `attach` was given it.
struct disk_place {
    std::string backing_device; // absolute path
    std::string meta_device;    // the same for internal metadata
    replica::disk_properties::placement where = replica::disk_properties::placement::internal;
    std::uint32_t index = 0; // where == indexed
};

// Callbacks may be called from inside the call or later, exactly once each. Errors carry DRBD's
// code (104..116, 161 ...) where there is one.
class surroundings {
public:
    virtual ~surroundings() = default;

    using on_done = std::function<void(result<>)>;
    using on_disk = std::function<void(result<replica::disk_properties>)>;

    // Opens both devices and claims them against other engines and other users.
    virtual void open_disk(replica::volume_number volume, const disk_place& place,
                           const options::disk_options& options, on_disk done) = 0;
    // The attach that followed was refused: gives the devices back. (After a successful attach
    // the replica does this with ports::release_disk().)
    virtual void close_disk(replica::volume_number volume) = 0;
    // The sizes of the open devices as they are now (resize).
    virtual void measure_disk(replica::volume_number volume, on_disk done) = 0;

    // How long the open disk has not answered, while it has been asked for something; 0 if it does.
    virtual std::uint64_t disk_silent_ms(replica::volume_number volume) const = 0;

    // Whether somebody has the volume's device open; nothing if that can not be told.
    virtual std::optional<bool> device_open(replica::volume_number volume) const = 0;

    // Claims the minor, makes the device node and links; and the reverse.
    virtual void create_device(replica::volume_number volume, std::uint32_t minor,
                               on_done done) = 0;
    virtual void remove_device(replica::volume_number volume, std::uint32_t minor,
                               on_done done) = 0;

    // Parses and claims the addresses for the following replica::resource::connect(); codes
    // 102/103 if another resource of this node has them. clear_addresses() after a disconnect, or
    // if the connect was refused.
    virtual result<> set_addresses(const std::string& local, const std::string& peer) = 0;
    virtual void clear_addresses() = 0;

    // The resource is gone: end the process as soon as the replies are sent.
    virtual void leave() = 0;
};

} // namespace lockstep::control
