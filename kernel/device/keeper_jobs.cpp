#include "kernel/device/keeper_jobs.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <string>
#include <thread>

#include "kernel/device/device_node.hpp"
#include "kernel/device/fuse_mount.hpp"
#include "kernel/device/loop_device.hpp"
#include "kernel/device/loop_label.hpp"

namespace lockstep::device {

namespace {

using host::keeper_job;

// Programs that look at every new device (udev's probes) have it open for a moment.
constexpr auto patience = std::chrono::milliseconds(500);
constexpr auto pause = std::chrono::milliseconds(10);

std::uint32_t number(const std::string& text) {
    std::uint32_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

void tell(keeper_job& job, const error& what) {
    job.refuse(EIO, what.text());
}

std::vector<std::string> arguments_from(const keeper_job& job, std::size_t first = 0) {
    std::vector<std::string> all;
    for (std::size_t i = first; i < job.argument_count(); ++i) {
        all.push_back(job.argument(i));
    }
    return all;
}

// Loop devices of engines that died together with their keepers, or with their containers. Each
// still has its file, though nobody serves it, so that its number could not go to somebody else.
void clear_leftovers(const keeper_job& job) {
    for (const int loop : loops_in_use()) {
        const std::string label = loop_label(loop);
        if (is_label_of_the_dead(label) || (is_loop_label(label) && is_unserved(loop))) {
            release_loop(loop, label, true);
            job.log(host::log_severity::notice,
                    label + ": released the loop device of a dead engine");
        }
    }
}

void make_names(keeper_job& job) {
    const std::string& directory = job.argument(0);
    const std::uint32_t minor = number(job.argument(1));
    clear_leftovers(job);
    if (auto made = put_resting_node(directory, minor); !made) {
        return tell(job, made.error());
    }
    for (std::size_t i = 2; i < job.argument_count(); ++i) {
        if (auto made = put_link(directory, job.argument(i), minor); !made) {
            return tell(job, made.error());
        }
    }
}

void remove(keeper_job& job) {
    const std::string& directory = job.argument(0);
    const std::uint32_t minor = number(job.argument(1));
    for (std::size_t i = 2; i < job.argument_count(); ++i) {
        remove_link(directory, job.argument(i), minor);
    }
    remove_node(node_path(directory, minor));
    job.forget("device:" + job.argument(1));
}

void configure(keeper_job& job) {
    job.remember("device:" + job.argument(1), "device-remove", arguments_from(job));
    make_names(job);
    if (job.error() != 0) {
        remove(job);
    }
}

void open_fuse(keeper_job& job) {
    auto made = mount_fuse();
    if (!made) {
        return tell(job, made.error());
    }
    job.hand_over(std::move(made->fuse));
    job.hand_over(std::move(made->root));
}

result<> attach_and_show(const keeper_job& job) {
    const std::string& directory = job.argument(0);
    const std::uint32_t minor = number(job.argument(1));
    const std::string& file = job.argument(2);
    loop_request wanted;
    wanted.logical_block_bytes = number(job.argument(3));
    wanted.read_only = job.argument(4) == "1";
    const owned_fd backing{::openat(job.fd(0), file.c_str(),
                                    (wanted.read_only ? O_RDONLY : O_RDWR) | O_DIRECT | O_CLOEXEC)};
    if (!backing.valid()) {
        return fail_errno(errno, "cannot open the FUSE file of the volume", file);
    }
    wanted.backing_fd = backing.get();
    const auto loop = attach_loop(wanted);
    if (!loop) {
        return tl::unexpected(loop.error());
    }
    return put_node(node_path(directory, minor), loop->device);
}

void attach(keeper_job& job) {
    job.remember("loop:" + job.argument(1), "device-detach",
                 {job.argument(0), job.argument(1), job.argument(2), "1"});
    if (auto attached = attach_and_show(job); !attached) {
        if (const auto loop = find_loop(job.argument(2))) {
            release_loop(loop->number, job.argument(2), true);
        }
        job.forget("loop:" + job.argument(1));
        tell(job, attached.error());
    }
}

// The node goes first: once it is released, the loop device's number may become another's. Where
// there is no node any more, none is made.
void detach(keeper_job& job) {
    const std::string& directory = job.argument(0);
    const std::uint32_t minor = number(job.argument(1));
    const std::string& label = job.argument(2);
    const bool force = job.argument(3) == "1";
    const auto loop = find_loop(label);
    const auto deadline = std::chrono::steady_clock::now() + patience;
    loop_release how = loop ? loop_release::in_use : loop_release::gone;
    const std::string path = node_path(directory, minor);
    const result<> rested = node_device(path) ? put_resting_node(directory, minor) : result<>{};
    while (how == loop_release::in_use) {
        how = release_loop(loop->number, label, force);
        if (how != loop_release::in_use || std::chrono::steady_clock::now() >= deadline) {
            break;
        }
        std::this_thread::sleep_for(pause);
    }
    if (how == loop_release::in_use) {
        if (auto shown = put_node(path, loop->device); !shown) {
            job.log(host::log_severity::error, shown.error().text());
        }
        job.add_value("in-use");
        job.add_value(loop_holders(loop->device));
        return;
    }
    job.forget("loop:" + job.argument(1));
    job.add_value("done");
    if (!rested) {
        tell(job, rested.error());
    }
}

void grow(keeper_job& job) {
    const std::string& label = job.argument(0);
    // Asking for the attributes makes the kernel's inode take the new size.
    struct stat fresh = {};
    if (::fstatat(job.fd(0), label.c_str(), &fresh, 0) != 0) {
        job.refuse(errno, "the FUSE file of the volume does not answer");
        return;
    }
    const auto loop = find_loop(label);
    if (!loop) {
        job.refuse(ENODEV, "the volume's loop device is gone");
        return;
    }
    if (auto grown = grow_loop(loop->number, label); !grown) {
        tell(job, grown.error());
    }
}

void link(keeper_job& job) {
    const std::string& directory = job.argument(0);
    const std::uint32_t minor = number(job.argument(1));
    // What is to be undone is the whole set: known names first, then the new one.
    job.remember("device:" + job.argument(1), "device-remove", [&] {
        auto all = arguments_from(job, 4);
        all.insert(all.begin(), {job.argument(0), job.argument(1)});
        return all;
    }());
    if (!job.argument(2).empty()) {
        remove_link(directory, job.argument(2), minor);
    }
    if (!job.argument(3).empty()) {
        if (auto made = put_link(directory, job.argument(3), minor); !made) {
            tell(job, made.error());
        }
    }
}

constexpr std::array<host::keeper_operation, 7> operations = {{
    {"device-configure", configure},
    {"device-remove", remove},
    {"device-link", link},
    {"device-open-fuse", open_fuse},
    {"device-attach", attach},
    {"device-detach", detach},
    {"device-grow", grow},
}};

} // namespace

std::span<const host::keeper_operation> device_operations() {
    return operations;
}

} // namespace lockstep::device
