// A volume for scenario tests and measurements of the front ends: in memory, where requests end in
// the next turn of the loop, or on a file, where they end when the disk says so.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernel/base/owned_fd.hpp"
#include "kernel/device/volume_io.hpp"
#include "kernel/host/event_loop.hpp"

namespace lockstep::device {

class test_backend : public volume_io {
public:
    // file: empty for memory. room: what the volume may grow to. Ends the program if it cannot.
    test_backend(host::event_loop& loop, const std::string& file, std::uint64_t room);

    void submit(replica::io_request& asked) override;
    // Requests wait until hold(false).
    void hold(bool on);

    int error = 0; // of every request
    std::uint64_t writes = 0;
    std::uint64_t flushes = 0;

private:
    struct turn : host::deferred {
        test_backend* owner = nullptr;
    };
    struct disk_operation : host::completion {
        test_backend* owner = nullptr;
        replica::io_request* request = nullptr;
        disk_operation* following = nullptr;
    };

    void take_turn();
    void carry_out(const replica::io_request& one);
    void start(replica::io_request& one);
    void ended(disk_operation& on, int result);

    host::event_loop& loop_;
    owned_fd file_;
    std::byte* memory_ = nullptr;
    replica::io_request* first_ = nullptr;
    replica::io_request* last_ = nullptr;
    std::vector<disk_operation> operations_;
    disk_operation* free_ = nullptr;
    bool held_ = false;
    turn turn_;
};

} // namespace lockstep::device
