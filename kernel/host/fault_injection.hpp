// Disk errors on purpose, to try out what they lead to before a disk makes them: what the in-kernel
// DRBD offers as the module parameters enable_faults, fault_rate and fault_devs. Source: Linux 6.1,
// drivers/block/drbd/drbd_int.h (DRBD_FAULT_*) and drbd_main.c (_drbd_insert_fault).
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string_view>

#include "kernel/replica/ports.hpp"

namespace lockstep::host {

struct fault_settings {
    // Bit: 0 metadata write, 1 metadata read, 2 resync write, 3 resync read, 4 data write, 5 data
    // read. The others of DRBD (read-ahead, memory, receive) are not of a disk.
    static constexpr std::uint32_t kinds_all = 0x3f;

    std::uint32_t kinds = 0;
    std::uint32_t rate = 0;   // percent of the requests of these kinds; 0: none
    std::uint32_t minors = 0; // bit n: minor n; 0: all of them
};

class fault_injection {
public:
    explicit fault_injection(const fault_settings& use) : settings_(use) {}

    bool active() const { return settings_.kinds != 0 && settings_.rate != 0; }
    // The volume's minor, which says whether it is meant.
    void set_minor(replica::volume_number volume, std::uint32_t minor);
    // Whether this request is to fail, and then what kind it is of, in words. random: evenly
    // distributed.
    std::optional<std::string_view> strike(const replica::disk_request& request,
                                           std::uint64_t random);
    // How often it struck: DRBD's fault_count.
    std::uint64_t count() const { return count_; }

private:
    fault_settings settings_;
    std::set<replica::volume_number> spared_;
    std::uint64_t count_ = 0;
};

} // namespace lockstep::host
