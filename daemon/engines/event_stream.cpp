#include "daemon/engines/event_stream.hpp"

#include <utility>

#include <fmt/format.h>

namespace lockstep::engines {

namespace {

constexpr std::chrono::seconds start_again_after{1};
// One step of an engine is several lines, which may arrive one by one: half of a step may look
// better than things are, as a resource of which only the good volume was told.
constexpr std::chrono::milliseconds tell_after{4};
constexpr std::size_t line_bytes_max = 65536;

} // namespace

event_stream::event_stream(qb_loop_t* loop, std::string drbdsetup, clock now,
                           event_stream_user& user)
    : loop_(loop), drbdsetup_(std::move(drbdsetup)), now_(std::move(now)), user_(user),
      start_again_(loop, [this] { start(); }), tell_(loop, [this] { tell(); }) {
    start_again_.set({});
}

void event_stream::start() {
    view_.begin();
    unfinished_.clear();
    given_up_ = false;
    child_process::hooks calls;
    calls.printed = [this](std::string_view text) { printed(text); };
    calls.ended = [this](const child_end& end) { ended(end); };
    auto child = child_process::start(loop_, {drbdsetup_, "events2", "all"}, std::move(calls));
    if (child) {
        child_ = std::move(*child);
        return;
    }
    start_again_.set(start_again_after);
    user_.problem(child.error().text());
}

void event_stream::printed(std::string_view text) {
    unfinished_ += text;
    std::size_t begin = 0;
    for (std::size_t end = 0;
         !given_up_ && (end = unfinished_.find('\n', begin)) != std::string::npos;
         begin = end + 1) {
        take(std::string_view(unfinished_).substr(begin, end - begin));
    }
    unfinished_.erase(0, begin);
    if (!given_up_ && unfinished_.size() > line_bytes_max) {
        give_up("a line of events2 without an end");
    }
    if (!tell_.is_set()) {
        tell_.set(tell_after);
    }
}

void event_stream::take(std::string_view line) {
    const auto event = parse_event_line(line);
    if (event) {
        view_.take(*event, now_());
    } else {
        give_up(event.error().text());
    }
}

// What was not understood may have been all that matters, so everything is asked for again.
void event_stream::give_up(const std::string& because) {
    given_up_ = true;
    child_->kill();
    user_.problem(because);
}

void event_stream::ended(const child_end& end) {
    child_.reset();
    tell();
    start_again_.set(start_again_after);
    if (!given_up_) {
        user_.problem(fmt::format("{} events2 has ended, {}", drbdsetup_, end.text()));
    }
}

void event_stream::tell() {
    tell_.cancel();
    for (const facts_change& each : view_.changes()) {
        user_.facts(each.resource, each.facts);
        if (!each.facts.running) {
            user_.gone(each.resource);
        }
    }
}

} // namespace lockstep::engines
