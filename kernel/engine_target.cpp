#include "kernel/engine_target.hpp"

#include <utility>

#include "kernel/state/types.hpp"

namespace lockstep::engine {

using control::command;
using control::reply;
using control::request;

namespace {

constexpr host::instant polite_down_max = 2 * host::second;

reply in_use(const std::string& who) {
    reply out;
    out.ok = false;
    out.is_state_change = true;
    out.code = static_cast<int>(state::verdict::device_in_use);
    out.text = std::string(state::text(state::verdict::device_in_use));
    out.remedy = std::string(state::remedy(state::verdict::device_in_use));
    out.info = {"in use: " + who};
    return out;
}

} // namespace

void target::execute(const request& what, on_reply done) {
    switch (what.what) {
    case command::primary:
        begin([this, what, done = std::move(done)] { promote(what, done); });
        break;
    case command::down:
        if (what.force) {
            force_down(std::move(done));
            break;
        }
        [[fallthrough]];
    case command::secondary:
        begin([this, what, done = std::move(done)] { demote(what, done); });
        break;
    case command::resource_options:
        inner_.execute(what, [this, done = std::move(done)](reply end) {
            if (end.ok) {
                options_changed_();
            }
            done(std::move(end));
        });
        break;
    default:
        inner_.execute(what, std::move(done));
    }
}

void target::force_down(on_reply done) {
    waiting_forced_.push_back(std::move(done));
    if (waiting_forced_.size() > 1) {
        return;
    }
    volumes_.withdraw_all(true, [this](const std::string&) {
        loop_.set_timer(patience_, loop_.now() + polite_down_max);
        request what;
        what.what = command::down;
        inner_.execute(what, [this](const reply& end) {
            if (end.ok) {
                torn_down(end);
            } else {
                tear_down();
            }
        });
    });
}

void target::tear_down() {
    if (tearing_down_) {
        return;
    }
    tearing_down_ = true;
    request what;
    what.what = command::down;
    what.force = true;
    inner_.execute(what, [this](const reply& end) { torn_down(end); });
}

void target::torn_down(const reply& end) {
    tearing_down_ = true;
    loop_.clear_timer(patience_);
    for (const on_reply& done : std::exchange(waiting_forced_, {})) {
        done(end);
    }
}

void target::begin(std::function<void()> step) {
    if (busy_) {
        waiting_.push_back(std::move(step));
        return;
    }
    busy_ = true;
    step();
}

void target::ended() {
    busy_ = false;
    if (!waiting_.empty()) {
        const auto next = std::move(waiting_.front());
        waiting_.pop_front();
        begin(next);
    }
}

void target::promote(const request& what, const on_reply& done) {
    inner_.execute(what, [this, done](const reply& end) {
        if (!end.ok) {
            done(end);
            ended();
            return;
        }
        volumes_.follow([this, done, end](const result<>& published) {
            if (!published && !volumes_.any_published()) {
                take_back(published.error(), done);
                return;
            }
            reply told = end;
            if (!published) {
                // Primary all the same: others of its volumes may be in use.
                told.info.push_back(published.error().text());
            }
            done(told);
            ended();
        });
    });
}

// A Primary that nobody can reach would only keep the other node from becoming one.
void target::take_back(const error& why, const on_reply& done) {
    request what;
    what.what = command::secondary;
    inner_.execute(what, [this, why, done](const reply&) {
        reply told;
        told.ok = false;
        told.text = "The device can not be made: " + why.what;
        told.remedy = why.remedy;
        if (!why.where.empty()) {
            told.info.push_back(why.where);
        }
        done(told);
        ended();
    });
}

void target::demote(const request& what, const on_reply& done) {
    volumes_.withdraw_all(what.force, [this, what, done](const std::string& user) {
        if (!user.empty()) {
            done(in_use(user));
            volumes_.release();
            ended();
            return;
        }
        inner_.execute(what, [this, done](const reply& end) {
            done(end);
            volumes_.release();
            ended();
        });
    });
}

} // namespace lockstep::engine
