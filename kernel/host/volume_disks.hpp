// The disks of a resource's volumes: opened and closed by the keeper (both can block), claimed
// against other resources, used through disk_queue.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "kernel/host/backing_disk.hpp"
#include "kernel/host/claims.hpp"
#include "kernel/host/keeper.hpp"
#include "kernel/replica/resource.hpp"

namespace lockstep::host {

// Where a volume's data and metadata are, as `attach` names them.
struct disk_location {
    std::string data;     // path
    std::string metadata; // path; the same as data for internal metadata
    replica::disk_properties::placement where = replica::disk_properties::placement::internal;
    std::uint32_t index = 0; // where == indexed
};

class volume_disks {
public:
    struct settings {
        bool files_allowed = false; // regular files as disks (tests and demos)
        std::uint32_t open_limit_ms = 30'000;
        std::size_t operations = 1024;
    };
    using on_opened = std::function<void(result<replica::disk_properties>)>;

    volume_disks(event_loop& loop, keeper& keeper, claims& claims, const settings& use,
                 disk_queue::on_done done);
    ~volume_disks();
    volume_disks(const volume_disks&) = delete;
    volume_disks& operator=(const volume_disks&) = delete;

    // Error codes are drbdsetup's: 104/105 cannot open, 107/108 no block device, 114/115 claimed
    // by somebody else; 124 the volume has a disk already.
    void open(replica::volume_number volume, const disk_location& location, on_opened opened);
    // No more requests are made; those under way still end. Not an error without a disk.
    void close(replica::volume_number volume);
    // As they are now; for a volume with an open disk.
    result<replica::disk_properties> measure(replica::volume_number volume);
    bool is_open(replica::volume_number volume) const;

    // How long the disk has not answered, while it was asked for something.
    instant silent_for(replica::volume_number volume) const;
    void submit(replica::disk_request& request);
    // Ends with EIO, as if a disk had said so.
    void fail_request(replica::disk_request& request) { queue_.fail(request); }
    std::size_t requests_under_way() const { return queue_.under_way(); }
    // Devices that were closed and are not gone yet.
    std::size_t closing() const { return closing_.size() + closes_pending_; }

private:
    struct volume_disk {
        std::unique_ptr<backing_disk> data;
        std::unique_ptr<backing_disk> metadata; // null: internal
        disk_location location;
        std::vector<std::string> claimed;
    };
    struct opening;
    struct later : deferred {
        later(volume_disks& of_, deferred::function called) : deferred(called), of(of_) {}
        volume_disks& of;
    };

    void begin_open(const std::shared_ptr<opening>& what);
    void open_device(const std::shared_ptr<opening>& what, bool metadata);
    void opened_device(const std::shared_ptr<opening>& what, bool metadata, keeper_answer answer);
    result<> claim(opening& what, const std::string& identity, bool metadata);
    void finish_open(const std::shared_ptr<opening>& what);
    void give_up(const std::shared_ptr<opening>& what, tl::unexpected<error> why);
    void release(std::unique_ptr<backing_disk> disk, std::vector<std::string> claimed);
    void close_descriptor(owned_fd fd, std::vector<std::string> claimed);
    replica::disk_properties properties_of(const volume_disk& disk) const;
    static void sweep_deferred(deferred& self);

    event_loop& loop_;
    keeper& keeper_;
    claims& claims_;
    settings settings_;
    disk_queue queue_;
    std::map<replica::volume_number, volume_disk> disks_;
    std::set<replica::volume_number> opening_;
    struct closing_disk {
        std::unique_ptr<backing_disk> disk;
        bool gone = false;
    };
    std::vector<std::unique_ptr<closing_disk>> closing_;
    std::size_t closes_pending_ = 0;                      // in the keeper
    std::vector<std::shared_ptr<opening>> opens_waiting_; // for those closes
    later sweep_{*this, sweep_deferred};
};

} // namespace lockstep::host
