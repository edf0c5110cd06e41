#include "kernel/device/front_ends.hpp"

#include <deque>
#include <map>
#include <utility>

#include "kernel/device/nbd_server.hpp"
#include "kernel/device/volume_device.hpp"

namespace lockstep::device {

namespace {

class front_ends_of_resource final : public front_ends {
public:
    front_ends_of_resource(host::event_loop& loop, host::keeper& keeper, volume_io& engine,
                           replica::buffer_pool& buffers, front_end_settings settings)
        : around_{loop, keeper, engine, buffers, settings.device_directory},
          settings_(std::move(settings)),
          nbd_(loop, engine, buffers,
               {settings_.resource, settings_.nbd_socket, settings_.nbd_listen}) {
        turn_.owner = this;
        turn_.run = [](host::deferred& self) { static_cast<turn&>(self).owner->take_turn(); };
    }
    ~front_ends_of_resource() override { around_.loop.remove(turn_); }

    void configure(const volume_names& names, on_done done) override;
    void set_backing_disk(volume_number volume, const std::string& disk) override;
    void name_by_volume(volume_number volume, on_done done) override;
    void publish(const volume_properties& properties, on_done done) override;
    void withdraw(volume_number volume, bool force, on_withdrawn done) override;
    void grow(volume_number volume, std::uint64_t size_bytes, on_done done) override;
    void remove(volume_number volume, on_done done) override;
    bool in_use(volume_number volume) override;
    unsigned clients(volume_number volume) override { return nbd_.clients(volume); }
    bool idle() const override;

private:
    struct turn : host::deferred {
        front_ends_of_resource* owner = nullptr;
    };
    struct front {
        std::unique_ptr<volume_device> device; // none: NBD only
        volume_properties properties;
        bool published = false;
    };

    void later(std::function<void()> what) {
        later_.push_back(std::move(what));
        around_.loop.defer(turn_);
    }
    void take_turn();
    front* find(volume_number volume);
    void hidden(volume_number volume, withdrawal how, std::string who, const on_withdrawn& done);

    device_surroundings around_;
    front_end_settings settings_;
    nbd_server nbd_;
    std::map<volume_number, front> fronts_;
    std::deque<std::unique_ptr<volume_device>> removed_;
    std::deque<std::function<void()>> later_;
    turn turn_;
};

void front_ends_of_resource::take_turn() {
    for (std::size_t count = later_.size(); count > 0; --count) {
        const auto what = std::move(later_.front());
        later_.pop_front();
        what();
    }
    while (!removed_.empty() && removed_.front()->idle()) {
        removed_.pop_front();
    }
}

front_ends_of_resource::front* front_ends_of_resource::find(volume_number volume) {
    const auto found = fronts_.find(volume);
    return found == fronts_.end() ? nullptr : &found->second;
}

void front_ends_of_resource::configure(const volume_names& names, on_done done) {
    front& made = fronts_[names.volume];
    if (!settings_.device_nodes) {
        later([done = std::move(done)] { done({}); });
        return;
    }
    volume_names complete = names;
    complete.resource = settings_.resource;
    made.device = std::make_unique<volume_device>(around_, complete,
                                                  [this, volume = names.volume](std::string why) {
                                                      if (settings_.lost) {
                                                          settings_.lost(volume, std::move(why));
                                                      }
                                                  });
    made.device->configure(std::move(done));
}

void front_ends_of_resource::set_backing_disk(volume_number volume, const std::string& disk) {
    front* found = find(volume);
    if (found != nullptr && found->device != nullptr) {
        found->device->set_backing_disk(disk);
    }
}

void front_ends_of_resource::name_by_volume(volume_number volume, on_done done) {
    front* found = find(volume);
    if (found == nullptr || found->device == nullptr) {
        later([done = std::move(done)] { done({}); });
        return;
    }
    found->device->name_by_volume(std::move(done));
}

void front_ends_of_resource::publish(const volume_properties& properties, on_done done) {
    front* found = find(properties.volume);
    if (found == nullptr || found->published) {
        later([done = std::move(done), found] {
            done(found == nullptr ? fail("the volume has no front ends to publish it by")
                                  : result<>{});
        });
        return;
    }
    if (auto exported = nbd_.publish(properties); !exported) {
        later([done = std::move(done), exported] { done(exported); });
        return;
    }
    found->properties = properties;
    found->published = true;
    if (found->device == nullptr) {
        later([done = std::move(done)] { done({}); });
        return;
    }
    found->device->show(properties, [this, volume = properties.volume,
                                     done = std::move(done)](const result<>& shown) {
        front* still = find(volume);
        if (!shown && still != nullptr && still->published) {
            nbd_.withdraw(volume);
            still->published = false;
        }
        done(shown);
    });
}

void front_ends_of_resource::withdraw(volume_number volume, bool force, on_withdrawn done) {
    front* found = find(volume);
    if (found == nullptr || !found->published) {
        later([done = std::move(done)] { done(withdrawal::done, {}); });
        return;
    }
    if (const unsigned count = nbd_.clients(volume); count > 0 && !force) {
        later([done = std::move(done), count] {
            done(withdrawal::in_use,
                 std::to_string(count) + (count == 1 ? " NBD client" : " NBD clients"));
        });
        return;
    }
    // No new clients while the device is looked after.
    nbd_.withdraw(volume);
    if (found->device == nullptr) {
        found->published = false;
        later([done = std::move(done)] { done(withdrawal::done, {}); });
        return;
    }
    found->device->hide(force,
                        [this, volume, done = std::move(done)](withdrawal how, std::string who) {
                            hidden(volume, how, std::move(who), done);
                        });
}

void front_ends_of_resource::hidden(volume_number volume, withdrawal how, std::string who,
                                    const on_withdrawn& done) {
    front* found = find(volume);
    if (found != nullptr) {
        if (how == withdrawal::done) {
            found->published = false;
        } else if (auto again = nbd_.publish(found->properties); !again) {
            who += (who.empty() ? "" : "; ") + again.error().text();
        }
    }
    done(how, std::move(who));
}

void front_ends_of_resource::grow(volume_number volume, std::uint64_t size_bytes, on_done done) {
    front* found = find(volume);
    if (found == nullptr || !found->published) {
        later([done = std::move(done)] { done({}); });
        return;
    }
    found->properties.size_bytes = size_bytes;
    nbd_.grow(volume, size_bytes);
    if (found->device == nullptr) {
        later([done = std::move(done)] { done({}); });
        return;
    }
    found->device->grow(size_bytes, std::move(done));
}

void front_ends_of_resource::remove(volume_number volume, on_done done) {
    front* found = find(volume);
    if (found == nullptr) {
        later([done = std::move(done)] { done({}); });
        return;
    }
    if (found->published) {
        later([done = std::move(done)] {
            done(fail("the volume is still published", {}, "make the resource Secondary first"));
        });
        return;
    }
    std::unique_ptr<volume_device> device = std::move(found->device);
    fronts_.erase(volume);
    if (device == nullptr) {
        later([done = std::move(done)] { done({}); });
        return;
    }
    device->remove([this, done = std::move(done)](const result<>& removed) {
        later([] {}); // a turn, to take out the removed device
        done(removed);
    });
    removed_.push_back(std::move(device));
}

bool front_ends_of_resource::in_use(volume_number volume) {
    const front* found = find(volume);
    if (found == nullptr) {
        return false;
    }
    return nbd_.clients(volume) > 0 || (found->device != nullptr && found->device->shown());
}

bool front_ends_of_resource::idle() const {
    for (const auto& [number, one] : fronts_) {
        if (one.published || (one.device != nullptr && !one.device->idle())) {
            return false;
        }
    }
    for (const auto& one : removed_) {
        if (!one->idle()) {
            return false;
        }
    }
    return later_.empty() && nbd_.idle();
}

} // namespace

result<std::unique_ptr<front_ends>> front_ends::create(host::event_loop& loop, host::keeper& keeper,
                                                       volume_io& engine,
                                                       replica::buffer_pool& buffers,
                                                       front_end_settings settings) {
    constexpr std::size_t buffer_bytes_min = 2U << 20;
    if (buffers.capacity_bytes() < buffer_bytes_min) {
        return fail("the pool of buffers is too small for the front ends", {},
                    "give it at least 2 MiB");
    }
    return std::unique_ptr<front_ends>(std::make_unique<front_ends_of_resource>(
        loop, keeper, engine, buffers, std::move(settings)));
}

} // namespace lockstep::device
