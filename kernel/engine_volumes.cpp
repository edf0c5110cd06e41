#include "kernel/engine_volumes.hpp"

#include <utility>

namespace lockstep::engine {

volumes::volumes(host::event_loop& loop, const replica::resource& resource,
                 device::front_ends& front_ends, on_error complain)
    : loop_(loop), resource_(resource), front_ends_(front_ends), complain_(std::move(complain)) {}

volumes::~volumes() {
    loop_.remove(later_);
}

void volumes::forget(replica::volume_number volume) {
    published_.erase(volume);
    can_discard_.erase(volume);
    failed_.erase(volume);
}

void volumes::follow(on_done done) {
    failed_.clear();
    if (done) {
        waiting_.push_back(std::move(done));
    }
    loop_.defer(later_);
}

void volumes::later::run(deferred& self) {
    static_cast<later&>(self).of.step();
}

// Asks the front ends for the first thing that is not as it should be; when all is, tells those who
// wait.
void volumes::step() {
    if (busy_) {
        return;
    }
    if (!when_free_.empty()) {
        const auto next = std::move(when_free_.front());
        when_free_.pop_front();
        next();
        return;
    }
    if (held_) {
        return;
    }
    const replica::resource_status status = resource_.status();
    const bool primary = status.role == state::role::primary;
    for (const replica::volume_status& volume : status.volumes) {
        if (step_volume(volume, primary)) {
            return;
        }
    }
    const result<> failure = std::exchange(first_failure_, {});
    for (const on_done& done : std::exchange(waiting_, {})) {
        done(failure);
    }
}

// True if something was asked.
bool volumes::step_volume(const replica::volume_status& volume, bool primary) {
    const replica::volume_number number = volume.volume;
    const std::uint64_t size = volume.size_sectors * 512;
    const auto known = published_.find(number);
    if (failed_.count(number) != 0) {
        return false;
    }
    if (known == published_.end()) {
        if (!primary || size == 0) {
            return false;
        }
        device::volume_properties properties;
        properties.volume = number;
        properties.minor = volume.minor;
        properties.size_bytes = size;
        properties.logical_block_bytes = volume.logical_block_bytes;
        properties.can_discard = can_discard_[number];
        busy_ = true;
        front_ends_.publish(properties, [this, number, size](const result<>& how) {
            if (how) {
                published_[number] = size;
            } else {
                failed_[number] = true;
            }
            step_ended(how);
        });
        return true;
    }
    if (!primary) {
        // Demoted from outside, without anybody having been asked: whoever uses it gets errors.
        busy_ = true;
        front_ends_.withdraw(number, true, [this, number](device::withdrawal, const std::string&) {
            published_.erase(number);
            step_ended({});
        });
        return true;
    }
    if (size != known->second && size != 0) {
        busy_ = true;
        front_ends_.grow(number, size, [this, number, size](const result<>& how) {
            published_[number] = size;
            step_ended(how);
        });
        return true;
    }
    return false;
}

void volumes::step_ended(const result<>& how) {
    busy_ = false;
    if (!how) {
        complain_(how.error());
        if (first_failure_) {
            first_failure_ = how;
        }
    }
    loop_.defer(later_);
}

void volumes::withdraw_all(bool force, on_withdrawn done) {
    held_ = true;
    if (busy_) {
        when_free_.emplace_back(
            [this, force, done = std::move(done)] { withdraw_next(force, done); });
        return;
    }
    withdraw_next(force, done);
}

void volumes::withdraw_next(bool force, const on_withdrawn& done) {
    if (published_.empty()) {
        done({});
        return;
    }
    const replica::volume_number number = published_.begin()->first;
    busy_ = true;
    front_ends_.withdraw(
        number, force, [this, number, force, done](device::withdrawal how, const std::string& who) {
            busy_ = false;
            if (!when_free_.empty()) {
                loop_.defer(later_);
            }
            if (how == device::withdrawal::in_use && !force) {
                done(who.empty() ? "somebody" : who);
                return;
            }
            published_.erase(number);
            withdraw_next(force, done);
        });
}

void volumes::release() {
    held_ = false;
    follow();
}

} // namespace lockstep::engine
