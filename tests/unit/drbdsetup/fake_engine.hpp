// An engine that a test plays: the real control server on a real socket, in a thread, with a
// target that answers as the test says.
#pragma once

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kernel/control/protocol/runtime_directory.hpp"
#include "kernel/control/socket_server.hpp"
#include "unit/control/samples.hpp"

namespace lockstep::drbdsetup {

// A runtime directory of its own for each test.
class scratch_runtime {
public:
    scratch_runtime() {
        char name[] = "/tmp/lockstep-setup-XXXXXX";
        path_ = ::mkdtemp(name);
        where_ = std::make_unique<control::runtime_directory>(path_ + "/run");
    }
    ~scratch_runtime() { std::filesystem::remove_all(path_); }
    scratch_runtime(const scratch_runtime&) = delete;
    scratch_runtime& operator=(const scratch_runtime&) = delete;

    const control::runtime_directory& where() const { return *where_; }
    const std::string& path() const { return path_; }

private:
    std::string path_;
    std::unique_ptr<control::runtime_directory> where_;
};

class fake_engine final : public control::target {
public:
    // What it answers; it may change the state that it is given. The default agrees to everything.
    using answering = std::function<control::reply(const control::request&, control::snapshot&)>;

    fake_engine(const scratch_runtime& runtime, control::snapshot initial, answering answer = {})
        : where_(runtime.where()), state_(std::move(initial)), answer_(std::move(answer)) {
        const std::string path = *where_.prepare(state_.resource);
        for (const control::volume_snapshot& volume : state_.volumes) {
            (void)where_.link_minor(volume.minor, state_.resource);
        }
        std::promise<void> listening;
        thread_ = std::thread([this, path, &listening] { run(path, listening); });
        listening.get_future().wait();
    }
    ~fake_engine() override { end(); }
    fake_engine(const fake_engine&) = delete;
    fake_engine& operator=(const fake_engine&) = delete;

    // As if it had crashed, or was asked to leave.
    void end() {
        stopping_ = true;
        if (thread_.joinable()) {
            thread_.join();
            where_.remove(name_of_resource());
        }
    }
    void change(const std::function<void(control::snapshot&)>& how) {
        const std::lock_guard<std::mutex> held(mutex_);
        how(state_);
        changed_ = true;
    }
    // Runs something between two events of its loop, and waits for the end of it.
    void in_loop(std::function<void(control::server&, control::snapshot&)> what) {
        std::promise<void> done;
        {
            const std::lock_guard<std::mutex> held(mutex_);
            task_ = [this, what = std::move(what), &done] {
                what(serving_->clients(), state_);
                done.set_value();
            };
        }
        done.get_future().wait();
    }
    std::vector<control::request> requests() const {
        const std::lock_guard<std::mutex> held(mutex_);
        return requests_;
    }

    control::snapshot look() const override {
        const std::lock_guard<std::mutex> held(mutex_);
        return state_;
    }
    void execute(const control::request& what, on_reply done) override {
        control::reply answer;
        if (stuck_) {
            const std::lock_guard<std::mutex> held(mutex_);
            requests_.push_back(what);
            stuck_commands_.push_back(std::move(done));
            return;
        }
        {
            const std::lock_guard<std::mutex> held(mutex_);
            requests_.push_back(what);
            if (answer_) {
                answer = answer_(what, state_);
            }
            changed_ = true;
        }
        done(answer);
        if (what.what == control::command::down && answer.ok) {
            stopping_ = true;
        }
    }

    // From now on commands are taken and not answered; and what was taken is answered after all.
    void stick() { stuck_ = true; }
    void answer_stuck() {
        in_loop([this](control::server&, control::snapshot&) {
            for (const on_reply& done : std::exchange(stuck_commands_, {})) {
                done({});
            }
        });
    }

private:
    std::string name_of_resource() const { return look().resource; }

    // The loop belongs to the thread that made it.
    void run(const std::string& path, std::promise<void>& listening) {
        loop_ = std::move(*host::event_loop::create());
        control::hello greeting;
        greeting.program = "fake engine";
        greeting.resource = name_of_resource();
        serving_ = std::move(*control::socket_server::create(*loop_, *this, path, greeting));
        listening.set_value();
        while (!stopping_) {
            loop_->run_once(5 * host::millisecond);
            std::function<void()> task;
            {
                const std::lock_guard<std::mutex> held(mutex_);
                task = std::exchange(task_, {});
            }
            if (task) {
                task();
            }
            if (changed_.exchange(false)) {
                serving_->clients().changed();
            }
        }
        serving_->close(1000);
        while (!serving_->closed()) {
            loop_->run_once(5 * host::millisecond);
        }
        serving_.reset();
        loop_.reset();
    }

    control::runtime_directory where_;
    mutable std::mutex mutex_;
    control::snapshot state_;
    answering answer_;
    std::vector<control::request> requests_;
    std::function<void()> task_;
    std::atomic<bool> stuck_ = false;
    std::vector<on_reply> stuck_commands_;
    std::atomic<bool> changed_ = false;
    std::atomic<bool> stopping_ = false;
    std::unique_ptr<host::event_loop> loop_;
    std::unique_ptr<control::socket_server> serving_;
    std::thread thread_;
};

} // namespace lockstep::drbdsetup
