#include "kernel/control/server.hpp"

#include <utility>
#include <vector>

#include <fmt/format.h>

#include "kernel/base/check.hpp"

namespace lockstep::control {

struct server::session {
    explicit session(client_id number) : id(number), input(max_request_bytes) {}

    client_id id;
    line_buffer input;
    std::string output;
    bool greeted = false;
    bool watching = false;
    bool missed_events = false; // the queue was full: told all that exists once it has been read
    bool ending = false;        // hang_up() was asked for: nothing more is taken or sent
    std::size_t unanswered = 0;
};

server::server(target& engine, transport& sockets, hello greeting)
    : engine_(engine), sockets_(sockets), greeting_(std::move(greeting)),
      alive_(std::make_shared<bool>(true)) {
    greeting_.protocol = protocol_version;
}

server::~server() {
    *alive_ = false;
}

server::session* server::find(client_id client) const {
    const auto found = sessions_.find(client);
    return found == sessions_.end() ? nullptr : found->second.get();
}

void server::connected(client_id client) {
    LOCKSTEP_CHECK(find(client) == nullptr);
    session& made = *sessions_.emplace(client, std::make_unique<session>(client)).first->second;
    send(made, encode(greeting_));
}

void server::received(client_id client, std::string_view bytes) {
    session* from = find(client);
    if (from == nullptr || from->ending) {
        return;
    }
    from->input.append(bytes);
    while (!from->ending) {
        if (from->input.too_long()) {
            refuse(*from, 0, fmt::format("A request is longer than {} bytes", max_request_bytes),
                   "Send one JSON object on one line.");
            return;
        }
        const std::optional<std::string> line = from->input.next_line();
        if (!line) {
            return;
        }
        take_line(*from, *line);
    }
}

void server::gone(client_id client) {
    const session* leaving = find(client);
    if (leaving == nullptr) {
        return;
    }
    watchers_ -= leaving->watching ? 1 : 0;
    sessions_.erase(client);
}

std::string server::take_output(client_id client) {
    session* to = find(client);
    if (to == nullptr) {
        return {};
    }
    if (to->output.empty() && to->missed_events && !to->ending) {
        // The others hear first what this one is going to see.
        changed();
        to->missed_events = false;
        to->output = all_that_exists();
    }
    return std::exchange(to->output, std::string());
}

bool server::busy() const {
    for (const auto& [id, each] : sessions_) {
        if (each->unanswered > 0 || !each->output.empty()) {
            return true;
        }
    }
    return false;
}

void server::take_line(session& from, const std::string& line) {
    if (!from.greeted) {
        greeted(from, line);
        return;
    }
    const result<request> what = decode_request(line);
    if (!what) {
        reply refused;
        refused.ok = false;
        refused.text = what.error().text();
        send(from, encode(refused));
        return;
    }
    begin(from, *what);
}

void server::greeted(session& from, const std::string& line) {
    const result<hello> theirs = decode_hello(line);
    if (!theirs) {
        refuse(from, 0, theirs.error().text(), "Begin with a greeting.");
        return;
    }
    if (theirs->protocol != protocol_version) {
        refuse(from, 0,
               fmt::format("This engine ({}) speaks version {} of the control protocol, the client "
                           "({}) version {}",
                           greeting_.program, protocol_version, theirs->program, theirs->protocol),
               "Use the drbdsetup that was installed with this engine, or restart the engine "
               "(drbdadm down, drbdadm up) to run the installed version.");
        return;
    }
    from.greeted = true;
}

void server::begin(session& from, const request& what) {
    if (from.unanswered >= max_unanswered_requests) {
        refuse(from, what.id, "Too many requests are waiting for their answer",
               "Wait for answers before asking for more.");
        return;
    }
    ++from.unanswered;
    if (what.what == command::status) {
        reply shown;
        shown.state = engine_.look();
        answer(from.id, what.id, std::move(shown));
    } else if (what.what == command::events) {
        subscribe(from, what.id);
    } else {
        const std::shared_ptr<bool> alive = alive_;
        const client_id client = from.id;
        const std::uint64_t id = what.id;
        engine_.execute(what, [this, alive, client, id](reply text) {
            if (*alive) {
                answer(client, id, std::move(text));
            }
        });
    }
}

void server::subscribe(session& from, std::uint64_t request_id) {
    if (watchers_ == 0) {
        stream_.start(engine_.look());
    } else {
        // Those who watch already hear first what this one is going to see.
        changed();
    }
    send(from, all_that_exists());
    if (!from.watching && !from.ending) {
        from.watching = true;
        ++watchers_;
    }
    answer(from.id, request_id, reply{});
}

void server::answer(client_id to, std::uint64_t id, reply text) {
    session* client = find(to);
    if (client == nullptr) {
        return;
    }
    --client->unanswered;
    text.id = id;
    send(*client, encode(text));
}

void server::refuse(session& to, std::uint64_t id, std::string text, std::string remedy) {
    reply last;
    last.id = id;
    last.ok = false;
    last.text = std::move(text);
    last.remedy = std::move(remedy);
    send(to, encode(last));
    if (!to.ending) {
        to.ending = true;
        sockets_.hang_up(to.id, false);
    }
}

void server::send(session& to, std::string_view line) {
    if (to.ending) {
        return;
    }
    // A single message may be larger than the limit; a queue of unread ones may not.
    if (!to.output.empty() && to.output.size() + line.size() > max_queued_bytes) {
        to.ending = true;
        to.output.clear();
        to.output.shrink_to_fit();
        sockets_.hang_up(to.id, true);
        return;
    }
    to.output += line;
    sockets_.output_ready(to.id);
}

std::string server::all_that_exists() {
    const std::int64_t time_us = sockets_.wall_clock_us();
    std::string all;
    for (const event& each : describe(engine_.look(), time_us)) {
        all += encode(each);
    }
    event end;
    end.time_us = time_us;
    end.resource = greeting_.resource;
    return all + encode(end);
}

void server::changed() {
    if (watchers_ == 0) {
        return;
    }
    for (const event& each : stream_.step(engine_.look(), sockets_.wall_clock_us())) {
        publish(each);
    }
}

void server::publish(const event& what) {
    const std::string line = encode(what);
    for (const auto& [id, each] : sessions_) {
        if (!each->watching || each->missed_events) {
            continue;
        }
        if (each->output.size() + line.size() > max_queued_event_bytes) {
            each->missed_events = true;
            continue;
        }
        send(*each, line);
    }
}

void server::publish_helper(event what) {
    if (watchers_ == 0) {
        return;
    }
    what.object = event_object::helper;
    what.resource = greeting_.resource;
    what.has_connection = engine_.look().has_net;
    what.time_us = sockets_.wall_clock_us();
    publish(what);
}

void server::helper_called(std::string_view name, std::optional<std::uint32_t> volume,
                           std::optional<std::uint32_t> minor) {
    event called;
    called.kind = event_kind::call;
    called.volume = volume;
    called.minor = minor;
    called.fields = {{"helper", std::string(name)}};
    publish_helper(std::move(called));
}

void server::helper_ended(std::string_view name, std::optional<std::uint32_t> volume,
                          std::optional<std::uint32_t> minor, int status) {
    event ended;
    ended.kind = event_kind::response;
    ended.volume = volume;
    ended.minor = minor;
    ended.fields = {{"helper", std::string(name)}, {"status", fmt::format("{}", status)}};
    publish_helper(std::move(ended));
}

} // namespace lockstep::control
