// The device node of one volume, and the loop device on a FUSE file behind it. What is asked is
// done in order, one after the other; whatever can block is done by the keeper.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernel/device/front_ends.hpp"
#include "kernel/device/fuse_channel.hpp"
#include "kernel/host/event_loop.hpp"
#include "kernel/host/keeper.hpp"

namespace lockstep::device {

// Where a volume_device lives: the same for all of a resource.
struct device_surroundings {
    host::event_loop& loop;
    host::keeper& keeper;
    volume_io& engine;
    replica::buffer_pool& buffers;
    std::string directory; // /dev
};

//   state      node       goes on to
//   absent     none       resting by configure()
//   resting    147:N      shown by show(); absent by remove()
//   shown      7:M        resting by hide(), or when the loop device is taken from it
class volume_device : private fuse_channel_owner {
public:
    using on_done = front_ends::on_done;
    using on_hidden = front_ends::on_withdrawn;
    // The loop device was released by somebody else, or FUSE ended: the node is at rest again.
    using on_lost = std::function<void(std::string why)>;

    volume_device(device_surroundings surroundings, const volume_names& names, on_lost lost);
    // idle() is true, or the loop has ended.
    ~volume_device() override;
    volume_device(const volume_device&) = delete;
    volume_device& operator=(const volume_device&) = delete;

    // Their callbacks come later, in order.
    void configure(on_done done);
    void set_backing_disk(const std::string& disk);
    void name_by_volume(on_done done);
    void show(const volume_properties& properties, on_done done);
    void hide(bool force, on_hidden done);
    void grow(std::uint64_t size_bytes, on_done done);
    void remove(on_done done);

    bool shown() const { return state_ == state::shown; }
    // Nothing is under way, in the keeper or in the engine.
    bool idle() const;
    std::uint32_t pending() const;

private:
    enum class state : std::uint8_t { absent, resting, shown };
    using step = std::function<void()>;
    struct turn : host::deferred {
        volume_device* device = nullptr;
    };

    void enqueue(step what);
    void step_ended();
    void call(const char* operation, std::vector<std::string> arguments, bool with_mount,
              std::function<void(host::keeper_answer)> then);
    void take_turn();
    void got_mount(host::keeper_answer answer, const volume_properties& properties,
                   const on_done& done);
    void got_loop(const host::keeper_answer& answer, const on_done& done);
    void detached(const host::keeper_answer& answer, bool force, const on_hidden& done);
    void let_go();
    void abort_channel();
    std::vector<std::string> links() const;
    void channel_released(fuse_channel& channel) override;
    void channel_closed(fuse_channel& channel) override;

    device_surroundings around_;
    volume_names names_;
    on_lost lost_;
    state state_ = state::absent;
    std::deque<step> steps_; // the first one is under way
    bool step_running_ = false;
    std::string label_; // of the loop device
    owned_fd mount_;
    std::unique_ptr<fuse_channel> channel_;
    std::vector<std::unique_ptr<fuse_channel>> closing_; // their requests have not ended
    std::vector<std::unique_ptr<fuse_channel>> closed_;
    turn turn_;
};

} // namespace lockstep::device
