// All the ways to reach a resource's volumes from this machine, behind one class that the engine
// uses: the device node and its links, the loop device on a FUSE file behind the node, and the NBD
// server.
//
// The life of a volume, as the engine drives it:
//
//   configure()  new-minor: the node /dev/drbdN exists, with major 147, which no driver answers
//   publish()    the resource has become Primary: a fresh loop device, and the node made its own;
//                the volume is an NBD export
//   grow()       the size has changed
//   withdraw()   before demotion: refused if somebody uses the volume, unless forced
//   remove()     del-minor: no node, no links
//
// Demotion is therefore: withdraw() all volumes; if one is in use, publish() those again that went,
// and report -12; if all went, replica::resource::secondary(). If that is refused, publish() again.
//
// `device auto` would prefer ublk and the kernel's NBD client where the kernel has them. Neither is
// written; the loop device on FUSE needs nothing but what every kernel since 5.8 brings.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "kernel/base/error.hpp"
#include "kernel/device/volume_io.hpp"
#include "kernel/host/event_loop.hpp"

namespace lockstep::host {
class keeper;
}

namespace lockstep::device {

struct front_end_settings {
    std::string resource;
    std::string device_directory = "/dev"; // where drbdN and drbd/by-res, drbd/by-disk are made
    std::string nbd_socket;                // path of the NBD server's unix socket; empty: none
    std::string nbd_listen;                // "ADDRESS:PORT" for NBD over TCP as well; empty: none
    bool device_nodes = true;              // false: NBD only (no root, or no FUSE)
    // A published volume lost its device node for a reason outside (somebody detached the loop
    // device). It is still an NBD export; for a new node, withdraw() and publish() it.
    std::function<void(volume_number, std::string why)> lost;
};

// What configure() needs to know for the links, as udev's rules for DRBD would make them.
struct volume_names {
    volume_number volume = 0;
    std::uint32_t minor = 0;
    bool by_res_has_volume = false; // by-res/RES/VOL instead of by-res/RES
    std::string resource;
    std::string backing_disk; // "/dev/sdb1" gives by-disk/sdb1; empty: no such link
};

enum class withdrawal : std::uint8_t { done, in_use };

class front_ends {
public:
    using on_done = std::function<void(result<>)>;
    using on_withdrawn = std::function<void(withdrawal, std::string who)>;

    static result<std::unique_ptr<front_ends>> create(host::event_loop& loop, host::keeper& keeper,
                                                      volume_io& engine,
                                                      replica::buffer_pool& buffers,
                                                      front_end_settings settings);
    virtual ~front_ends() = default;

    // The callbacks come later, from the loop, exactly once, and within bounded time.
    virtual void configure(const volume_names& names, on_done done) = 0;
    // The backing disk has come or gone: the link by-disk follows.
    virtual void set_backing_disk(volume_number volume, const std::string& disk) = 0;
    // by-res/RES becomes by-res/RES/VOL; whether it is published does not matter.
    virtual void name_by_volume(volume_number volume, on_done done) = 0;
    virtual void publish(const volume_properties& properties, on_done done) = 0;
    // force: never in_use; requests under way and later ones fail with I/O errors for their
    // holders.
    virtual void withdraw(volume_number volume, bool force, on_withdrawn done) = 0;
    virtual void grow(volume_number volume, std::uint64_t size_bytes, on_done done) = 0;
    virtual void remove(volume_number volume, on_done done) = 0;

    // For replica::ports::in_use(). What can be told without asking the kernel: false once
    // withdraw() has succeeded; while a device node is published somebody may use it, so true.
    virtual bool in_use(volume_number volume) = 0;
    // NBD clients of the volume, for status.
    virtual unsigned clients(volume_number volume) = 0;
    // Nothing is under way or published any more: it may be destroyed. A forced withdraw() can
    // leave requests in the engine that end only when I/O is resumed.
    virtual bool idle() const = 0;
};

} // namespace lockstep::device
