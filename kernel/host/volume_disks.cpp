#include "kernel/host/volume_disks.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <utility>

#include "kernel/base/check.hpp"

namespace lockstep::host {

using placement = replica::disk_properties::placement;

namespace {

constexpr std::uint32_t close_limit_ms = 5'000;

std::uint64_t number(const std::string& text) {
    std::uint64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

disk_facts facts_of(const keeper_answer& answer) {
    disk_facts facts;
    facts.size_bytes = number(answer.values.at(0));
    facts.logical_block_bytes = static_cast<std::uint32_t>(number(answer.values.at(1)));
    facts.can_discard = answer.values.at(2) == "discard";
    facts.identity = answer.values.at(3);
    return facts;
}

// drbdsetup's code for a device that could not be opened.
int code_of(int error, bool metadata) {
    const int code = error == EBUSY ? 114 : error == ENOTBLK ? 107 : 104;
    return metadata ? code + 1 : code;
}

std::string remedy_of(int error) {
    switch (error) {
    case ENOTBLK:
        return "name a block device, such as /dev/sdb1; for a file make a loop device (losetup)";
    case EBUSY:
        return "unmount it, or take down what uses it (lsblk, fuser, dmsetup show more)";
    case ETIMEDOUT:
        return "the device does not answer; look at the kernel's log";
    default:
        return {};
    }
}

} // namespace

struct volume_disks::opening {
    replica::volume_number volume = 0;
    on_opened opened;
    volume_disk disk;
};

volume_disks::volume_disks(event_loop& loop, keeper& keeper, claims& claims, const settings& use,
                           disk_queue::on_done done)
    : loop_(loop), keeper_(keeper), claims_(claims), settings_(use),
      queue_(loop, use.operations, std::move(done)) {}

volume_disks::~volume_disks() {
    loop_.remove(sweep_);
}

bool volume_disks::is_open(replica::volume_number volume) const {
    return disks_.count(volume) != 0;
}

void volume_disks::submit(replica::disk_request& request) {
    const auto found = disks_.find(request.volume);
    if (found == disks_.end()) {
        queue_.refuse(request);
        return;
    }
    const volume_disk& disk = found->second;
    const bool metadata = request.device == replica::backing::metadata && disk.metadata != nullptr;
    queue_.submit(request, metadata ? *disk.metadata : *disk.data);
}

instant volume_disks::silent_for(replica::volume_number volume) const {
    const auto found = disks_.find(volume);
    if (found == disks_.end()) {
        return 0;
    }
    const instant data = found->second.data->silent_for(loop_.now());
    const bool apart = found->second.metadata != nullptr;
    return std::max(data, apart ? found->second.metadata->silent_for(loop_.now()) : 0);
}

// --- opening ---

void volume_disks::open(replica::volume_number volume, const disk_location& location,
                        on_opened opened) {
    if (is_open(volume) || opening_.count(volume) != 0) {
        opened(fail("the volume has a disk already", {}, "detach it first", 124));
        return;
    }
    auto what = std::make_shared<opening>();
    what->volume = volume;
    what->opened = std::move(opened);
    what->disk.location = location;
    opening_.insert(volume);
    // A device that is still being closed would look as if somebody else had it.
    if (closes_pending_ != 0) {
        opens_waiting_.push_back(what);
        return;
    }
    begin_open(what);
}

void volume_disks::begin_open(const std::shared_ptr<opening>& what) {
    open_device(what, false);
}

void volume_disks::open_device(const std::shared_ptr<opening>& what, bool metadata) {
    const disk_location& location = what->disk.location;
    const bool shared = metadata && location.where == placement::indexed;
    keeper_call call;
    call.operation = "open-disk";
    call.arguments = {metadata ? location.metadata : location.data, "read-write",
                      shared ? "shared" : "exclusive",
                      settings_.files_allowed ? "files" : "devices"};
    call.limit_ms = settings_.open_limit_ms;
    keeper_.call(std::move(call), [this, what, metadata](keeper_answer answer) {
        opened_device(what, metadata, std::move(answer));
    });
}

void volume_disks::opened_device(const std::shared_ptr<opening>& what, bool metadata,
                                 keeper_answer answer) {
    if (!answer.ok() || answer.fds.size() != 1 || answer.values.size() < 4) {
        give_up(what, fail(answer.sentence, {}, remedy_of(answer.error),
                           code_of(answer.error, metadata)));
        return;
    }
    disk_facts facts = facts_of(answer);
    auto disk = std::make_unique<backing_disk>(std::move(answer.fds[0]), facts);
    (metadata ? what->disk.metadata : what->disk.data) = std::move(disk);
    if (auto claimed = claim(*what, facts.identity, metadata); !claimed) {
        give_up(what, tl::unexpected(claimed.error()));
        return;
    }
    if (!metadata && what->disk.location.metadata != what->disk.location.data) {
        open_device(what, true);
        return;
    }
    finish_open(what);
}

result<> volume_disks::claim(opening& what, const std::string& identity, bool metadata) {
    const int code = metadata ? 115 : 114;
    const disk_location& location = what.disk.location;
    const bool shared = metadata && location.where == placement::indexed;
    std::vector<std::pair<std::string, claims::mode>> wanted = {
        {"disk-" + identity, shared ? claims::mode::shared : claims::mode::exclusive}};
    if (shared) {
        wanted.emplace_back("metadata-" + identity + "-" + std::to_string(location.index),
                            claims::mode::exclusive);
    }
    for (const auto& [key, mode] : wanted) {
        // A claim that another volume of this resource has would be granted again.
        for (const auto& [number_, other] : disks_) {
            const auto& theirs = other.claimed;
            const bool taken = std::find(theirs.begin(), theirs.end(), key) != theirs.end();
            if (taken && mode == claims::mode::exclusive) {
                return fail("another volume of this resource uses it already",
                            metadata ? location.metadata : location.data, {}, code);
            }
        }
        if (auto taken = claims_.take(key, code, mode); !taken) {
            return taken;
        }
        what.disk.claimed.push_back(key);
    }
    return {};
}

void volume_disks::finish_open(const std::shared_ptr<opening>& what) {
    opening_.erase(what->volume);
    const replica::disk_properties properties = properties_of(what->disk);
    disks_.emplace(what->volume, std::move(what->disk));
    what->opened(properties);
}

void volume_disks::give_up(const std::shared_ptr<opening>& what, tl::unexpected<error> why) {
    opening_.erase(what->volume);
    std::vector<std::string> claimed = std::move(what->disk.claimed);
    if (what->disk.metadata != nullptr) {
        release(std::move(what->disk.metadata), {});
    }
    if (what->disk.data != nullptr) {
        release(std::move(what->disk.data), std::move(claimed));
    }
    what->opened(std::move(why));
}

replica::disk_properties volume_disks::properties_of(const volume_disk& disk) const {
    const disk_facts& data = disk.data->facts();
    const disk_facts& metadata = disk.metadata != nullptr ? disk.metadata->facts() : data;
    replica::disk_properties out;
    out.data_sectors = data.size_bytes / 512;
    out.metadata_sectors = metadata.size_bytes / 512;
    out.logical_block_bytes = std::max(data.logical_block_bytes, metadata.logical_block_bytes);
    out.can_discard = data.can_discard;
    out.internal_metadata = disk.metadata == nullptr;
    out.where = disk.location.where;
    out.index = disk.location.index;
    return out;
}

result<replica::disk_properties> volume_disks::measure(replica::volume_number volume) {
    const auto found = disks_.find(volume);
    if (found == disks_.end()) {
        return fail("the volume has no disk", {}, "attach one first", 138);
    }
    found->second.data->measure_bytes();
    if (found->second.metadata != nullptr) {
        found->second.metadata->measure_bytes();
    }
    return properties_of(found->second);
}

// --- closing ---

void volume_disks::close(replica::volume_number volume) {
    const auto found = disks_.find(volume);
    if (found == disks_.end()) {
        return;
    }
    volume_disk disk = std::move(found->second);
    disks_.erase(found);
    if (disk.metadata != nullptr) {
        release(std::move(disk.metadata), {});
    }
    release(std::move(disk.data), std::move(disk.claimed));
}

void volume_disks::release(std::unique_ptr<backing_disk> disk, std::vector<std::string> claimed) {
    closing_.push_back(std::make_unique<closing_disk>());
    closing_disk* const entry = closing_.back().get();
    entry->disk = std::move(disk);
    entry->disk->close([this, entry, claimed = std::move(claimed)](owned_fd fd) mutable {
        entry->gone = true;
        loop_.defer(sweep_);
        close_descriptor(std::move(fd), std::move(claimed));
    });
}

// The last close of a frozen device blocks: the last one is the keeper's.
void volume_disks::close_descriptor(owned_fd fd, std::vector<std::string> claimed) {
    ++closes_pending_;
    keeper_call call;
    call.operation = "close-disk";
    call.fds = {fd.get()};
    call.limit_ms = close_limit_ms;
    keeper_.call(std::move(call), [this, claimed = std::move(claimed)](const keeper_answer&) {
        for (const std::string& key : claimed) {
            claims_.release(key);
        }
        --closes_pending_;
        if (closes_pending_ == 0) {
            for (const auto& waiting : std::exchange(opens_waiting_, {})) {
                begin_open(waiting);
            }
        }
    });
}

void volume_disks::sweep_deferred(deferred& self) {
    auto& closing = static_cast<later&>(self).of.closing_;
    closing.erase(
        std::remove_if(closing.begin(), closing.end(), [](const auto& one) { return one->gone; }),
        closing.end());
}

} // namespace lockstep::host
