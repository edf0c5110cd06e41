#include "kernel/device/volume_device.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "kernel/base/check.hpp"
#include "kernel/device/device_node.hpp"
#include "kernel/device/keeper_jobs.hpp"
#include "kernel/device/loop_label.hpp"

namespace lockstep::device {

namespace {

// Longer than any of the jobs takes unless the kernel is stuck.
constexpr std::uint32_t job_limit_ms = 10'000;

std::string by_disk_link(const std::string& disk) {
    const std::size_t slash = disk.rfind('/');
    const std::string name = slash == std::string::npos ? disk : disk.substr(slash + 1);
    return name.empty() ? std::string{} : "by-disk/" + name;
}

bool is_gone(const host::keeper_answer& answer) {
    return answer.error == EPIPE;
}

result<> result_of(const host::keeper_answer& answer, const char* what) {
    if (answer.ok()) {
        return {};
    }
    if (is_gone(answer)) {
        return fail(answer.sentence, {}, "drbdadm down, then up: that starts the engine anew");
    }
    if (!answer.sentence.empty()) {
        return fail(answer.sentence);
    }
    return fail_errno(answer.error, what);
}

} // namespace

volume_device::volume_device(device_surroundings surroundings, const volume_names& names,
                             on_lost lost)
    : around_(std::move(surroundings)), names_(names), lost_(std::move(lost)) {
    turn_.device = this;
    turn_.run = [](host::deferred& self) { static_cast<turn&>(self).device->take_turn(); };
}

volume_device::~volume_device() {
    around_.loop.remove(turn_);
}

bool volume_device::idle() const {
    return steps_.empty() && channel_ == nullptr && closing_.empty();
}

std::uint32_t volume_device::pending() const {
    std::uint32_t count = channel_ == nullptr ? 0 : channel_->pending();
    for (const auto& one : closing_) {
        count += one->pending();
    }
    return count;
}

void volume_device::enqueue(step what) {
    steps_.push_back(std::move(what));
    around_.loop.defer(turn_);
}

void volume_device::take_turn() {
    closed_.clear();
    if (!step_running_ && !steps_.empty()) {
        step_running_ = true;
        // The step may end, and so leave the queue, before it returns.
        const step first = steps_.front();
        first();
    }
}

void volume_device::step_ended() {
    LOCKSTEP_CHECK(step_running_);
    step_running_ = false;
    steps_.pop_front();
    around_.loop.defer(turn_);
}

void volume_device::call(const char* operation, std::vector<std::string> arguments, bool with_mount,
                         std::function<void(host::keeper_answer)> then) {
    host::keeper_call what;
    what.operation = operation;
    what.arguments = std::move(arguments);
    what.limit_ms = job_limit_ms;
    if (with_mount) {
        what.fds.push_back(mount_.get());
    }
    around_.keeper.call(std::move(what), std::move(then));
}

std::vector<std::string> volume_device::links() const {
    std::string by_res = "by-res/" + names_.resource;
    if (names_.by_res_has_volume) {
        by_res += '/' + std::to_string(names_.volume);
    }
    std::vector<std::string> all{by_res};
    if (const std::string by_disk = by_disk_link(names_.backing_disk); !by_disk.empty()) {
        all.push_back(by_disk);
    }
    return all;
}

void volume_device::configure(on_done done) {
    enqueue([this, done = std::move(done)] {
        std::vector<std::string> arguments{around_.directory, std::to_string(names_.minor)};
        const auto all = links();
        arguments.insert(arguments.end(), all.begin(), all.end());
        call("device-configure", std::move(arguments), false, [this, done](auto answer) {
            if (answer.ok()) {
                state_ = state::resting;
            }
            step_ended();
            done(result_of(answer, "cannot make the device node"));
        });
    });
}

void volume_device::remove(on_done done) {
    enqueue([this, done = std::move(done)] {
        std::vector<std::string> arguments{around_.directory, std::to_string(names_.minor)};
        const auto all = links();
        arguments.insert(arguments.end(), all.begin(), all.end());
        call("device-remove", std::move(arguments), false, [this, all, done](auto answer) {
            if (!answer.ok()) {
                // What the keeper would have done; names are taken away without waiting.
                for (const std::string& link : all) {
                    remove_link(around_.directory, link, names_.minor);
                }
                remove_node(node_path(around_.directory, names_.minor));
            }
            state_ = state::absent;
            step_ended();
            done(is_gone(answer) ? result<>{} : result_of(answer, "cannot remove the device node"));
        });
    });
}

void volume_device::set_backing_disk(const std::string& disk) {
    enqueue([this, disk] {
        const std::string before = by_disk_link(names_.backing_disk);
        const std::string after = by_disk_link(disk);
        names_.backing_disk = disk;
        if (state_ == state::absent || before == after) {
            step_ended();
            return;
        }
        std::vector<std::string> arguments{around_.directory, std::to_string(names_.minor), before,
                                           after};
        const auto all = links();
        arguments.insert(arguments.end(), all.begin(), all.end());
        // A link that cannot be made is no reason to refuse a disk; the keeper has logged it.
        call("device-link", std::move(arguments), false, [this](const auto&) { step_ended(); });
    });
}

void volume_device::name_by_volume(on_done done) {
    enqueue([this, done = std::move(done)] {
        const std::string before = links().front();
        names_.by_res_has_volume = true;
        const auto all = links();
        if (state_ == state::absent || before == all.front()) {
            step_ended();
            done({});
            return;
        }
        std::vector<std::string> arguments{around_.directory, std::to_string(names_.minor), before,
                                           all.front()};
        arguments.insert(arguments.end(), all.begin(), all.end());
        call("device-link", std::move(arguments), false, [this, done](const auto& answer) {
            step_ended();
            done(result_of(answer, "cannot rename the link by-res"));
        });
    });
}

void volume_device::show(const volume_properties& properties, on_done done) {
    enqueue([this, properties, done = std::move(done)] {
        if (state_ != state::resting) {
            step_ended();
            done(fail("the volume's device node is not at rest",
                      node_path(around_.directory, names_.minor)));
            return;
        }
        call("device-open-fuse", {}, false, [this, properties, done](auto answer) {
            got_mount(std::move(answer), properties, done);
        });
    });
}

void volume_device::got_mount(host::keeper_answer answer, const volume_properties& properties,
                              const on_done& done) {
    if (!answer.ok() || answer.fds.size() != 2) {
        step_ended();
        done(answer.ok() ? fail("the keeper sent no FUSE mount")
                         : result_of(answer, "cannot make a FUSE mount"));
        return;
    }
    label_ = make_loop_label(names_.minor);
    mount_ = std::move(answer.fds[1]);
    const std::string minor = std::to_string(names_.minor);
    fuse_channel_owner& owner = *this;
    channel_ = std::make_unique<fuse_channel>(around_.loop, std::move(answer.fds[0]), label_,
                                              properties, around_.engine, around_.buffers, owner);
    call("device-attach",
         {around_.directory, minor, label_, std::to_string(properties.logical_block_bytes),
          properties.read_only ? "1" : "0"},
         true, [this, done](const auto& attached) { got_loop(attached, done); });
}

void volume_device::got_loop(const host::keeper_answer& answer, const on_done& done) {
    if (answer.ok()) {
        state_ = state::shown;
    } else {
        let_go();
    }
    step_ended();
    done(result_of(answer, "cannot make the loop device"));
}

void volume_device::hide(bool force, on_hidden done) {
    if (force) {
        // At once: it is also what sets a job free that waits for an answer of ours.
        abort_channel();
    }
    enqueue([this, force, done = std::move(done)] {
        if (state_ != state::shown) {
            step_ended();
            done(withdrawal::done, {});
            return;
        }
        if (force) {
            abort_channel();
        }
        call("device-detach",
             {around_.directory, std::to_string(names_.minor), label_, force ? "1" : "0"}, false,
             [this, force, done](const auto& answer) { detached(answer, force, done); });
    });
}

void volume_device::detached(const host::keeper_answer& answer, bool force, const on_hidden& done) {
    const bool in_use = !answer.ok() || (!answer.values.empty() && answer.values[0] == "in-use");
    if (in_use && !force && channel_ != nullptr) {
        std::string who = answer.values.size() > 1 ? answer.values[1] : answer.sentence;
        if (is_gone(answer)) {
            who += ", who has it can't be told; secondary --force takes it from whoever has";
        }
        step_ended();
        done(withdrawal::in_use, std::move(who));
        return;
    }
    if (!answer.ok()) {
        // The keeper is gone or stuck. Nobody shall open what is behind the node any more.
        [[maybe_unused]] const auto rested = put_resting_node(around_.directory, names_.minor);
    }
    let_go();
    step_ended();
    done(withdrawal::done, {});
}

void volume_device::let_go() {
    state_ = state::resting;
    abort_channel();
    mount_.reset();
    label_.clear();
}

void volume_device::abort_channel() {
    if (channel_ != nullptr) {
        channel_->close();
        closing_.push_back(std::move(channel_));
    }
}

void volume_device::grow(std::uint64_t size_bytes, on_done done) {
    enqueue([this, size_bytes, done = std::move(done)] {
        if (state_ != state::shown || channel_ == nullptr) {
            step_ended();
            done({});
            return;
        }
        channel_->grow(size_bytes);
        call("device-grow", {label_}, true, [this, done](const auto& answer) {
            step_ended();
            done(result_of(answer, "the loop device did not take the new size"));
        });
    });
}

// Somebody has detached our loop device (losetup -d), or FUSE has ended the connection. Its number
// can be another's any moment.
void volume_device::channel_released(fuse_channel& channel) {
    if (&channel != channel_.get() || state_ != state::shown || step_running_) {
        return;
    }
    hide(true, [this](withdrawal, const std::string&) {
        lost_("its loop device was released by somebody else");
    });
}

void volume_device::channel_closed(fuse_channel& channel) {
    const auto found = std::find_if(closing_.begin(), closing_.end(),
                                    [&](const auto& one) { return one.get() == &channel; });
    LOCKSTEP_CHECK(found != closing_.end());
    closed_.push_back(std::move(*found));
    closing_.erase(found);
    around_.loop.defer(turn_);
}

} // namespace lockstep::device
