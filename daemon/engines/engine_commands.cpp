#include "daemon/engines/engine_commands.hpp"

#include <deque>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace lockstep::engines {

namespace {

// Of drbdadm and drbdsetup: the device is in use.
constexpr int exit_in_use = 11;
// Of outdate: the disk is Inconsistent, or there is none. Nobody will take it for the newer.
constexpr int exit_less_than_outdated = 5;
constexpr unsigned demotions_max = 20;
constexpr std::chrono::milliseconds demote_again_after{250};

std::vector<std::string> words_for(command what) {
    switch (what) {
    case command::drop_link:
        return {"disconnect", "--force"};
    case command::connect:
        return {"connect"};
    case command::outdate:
        return {"outdate"};
    case command::promote:
        return {"primary"};
    case command::demote:
        return {"secondary"};
    case command::demote_with_errors:
        return {"secondary", "--force"};
    }
    return {};
}

} // namespace

class engine_commands::queue {
public:
    queue(qb_loop_t* loop, const command_settings& settings, std::string resource)
        : loop_(loop), settings_(settings), resource_(std::move(resource)),
          next_(loop, [this] { begin(); }), again_(loop, [this] { start(); }),
          limit_(loop, [this] { give_up(); }) {}

    void add(command what, on_end ended) {
        waiting_.emplace_back(what, std::move(ended));
        go_on();
    }

private:
    void go_on() {
        const bool at_work = child_ != nullptr || ended_ != nullptr;
        if (!at_work && !waiting_.empty() && !next_.is_set()) {
            next_.set({});
        }
    }
    void begin();
    void start();
    void ended(const child_end& end);
    void give_up();
    void finish(const command_end& how);

    qb_loop_t* const loop_;
    const command_settings& settings_;
    const std::string resource_;
    std::deque<std::pair<command, on_end>> waiting_;
    command what_ = command::connect; // under way
    on_end ended_;                    // of it, until it was told
    unsigned tries_ = 0;
    daemon::loop_timer next_;
    daemon::loop_timer again_;
    daemon::loop_timer limit_;
    std::unique_ptr<child_process> child_;
};

void engine_commands::queue::begin() {
    what_ = waiting_.front().first;
    ended_ = std::move(waiting_.front().second);
    waiting_.pop_front();
    tries_ = 0;
    start();
}

void engine_commands::queue::start() {
    std::vector<std::string> words = words_for(what_);
    words.insert(words.begin(), settings_.drbdadm);
    words.push_back(resource_);
    child_process::hooks calls;
    calls.ended = [this](const child_end& end) { ended(end); };
    ++tries_;
    auto child = child_process::start(loop_, words, std::move(calls));
    if (!child) {
        finish({-1, false, child.error().text()});
        return;
    }
    child_ = std::move(*child);
    limit_.set(std::chrono::nanoseconds(settings_.limit));
}

void engine_commands::queue::ended(const child_end& end) {
    child_.reset();
    limit_.cancel();
    // An engine fails what is frozen once fence-peer has told it that this node is out, and that
    // may reach it later than the command does.
    const bool is_early = what_ == command::demote_with_errors && end.exit_code == exit_in_use;
    if (ended_ && is_early && tries_ < demotions_max) {
        again_.set(demote_again_after);
        return;
    }
    const bool is_less = what_ == command::outdate && end.exit_code == exit_less_than_outdated;
    finish({is_less ? 0 : end.exit_code.value_or(-1), false, end.complaint});
}

// The next one waits until this one is really gone.
void engine_commands::queue::give_up() {
    child_->kill();
    finish(
        {-1, true, fmt::format("no end of it within {} ms, killed", settings_.limit / 1'000'000)});
}

void engine_commands::queue::finish(const command_end& how) {
    const on_end ended = std::exchange(ended_, nullptr);
    if (ended) {
        ended(how);
    }
    go_on();
}

engine_commands::engine_commands(qb_loop_t* loop, command_settings settings)
    : loop_(loop), settings_(std::move(settings)) {}

engine_commands::~engine_commands() = default;

void engine_commands::run(const std::string& resource, command what, on_end ended) {
    auto& its = queues_[resource];
    if (!its) {
        its = std::make_unique<queue>(loop_, settings_, resource);
    }
    its->add(what, std::move(ended));
}

} // namespace lockstep::engines
