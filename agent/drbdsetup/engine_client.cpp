#include "agent/drbdsetup/engine_client.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include <fmt/format.h>

namespace lockstep::drbdsetup {

namespace {

constexpr int code_not_permitted = 152;
constexpr std::int64_t patience_ms = 2000;
// The first word of a command that takes longer comes within two seconds, the look included.
constexpr std::int64_t notice_ms = 1500;
// A disk that says nothing for so long counts as one that does not answer. Slow ones, that have to
// spin up say, are waited for.
constexpr std::uint64_t silence_ms_max = 5000;

result<int> connect_to(const std::string& path, const std::string& resource,
                       std::int64_t deadline_ms) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        return fail("The path of the control socket is too long", path,
                    "Set LOCKSTEP_RUNTIME_DIRECTORY to a shorter directory.");
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (socket < 0) {
        return fail_errno(errno, "Can not make a socket");
    }
    // A full backlog means an engine that does not accept; it gets the same patience as one that
    // does not answer.
    while (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        const int problem = errno;
        if (problem == EAGAIN && now_ms() < deadline_ms) {
            ::poll(nullptr, 0, 20);
            continue;
        }
        ::close(socket);
        if (problem == ENOENT || problem == ECONNREFUSED || problem == ENOTDIR) {
            return fail("Unknown resource", resource, {}, error_no_engine);
        }
        if (problem == EACCES || problem == EPERM) {
            return fail(strerror(problem), path, "Run as root.", code_not_permitted);
        }
        return fail_errno(problem, "Can not talk to the engine", path);
    }
    return socket;
}

} // namespace

std::int64_t now_ms() {
    const auto since = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::milliseconds>(since).count();
}

engine_client::engine_client(int socket, std::string resource)
    : socket_(socket), resource_(std::move(resource)), input_(control::max_message_bytes) {}

engine_client::~engine_client() {
    ::close(socket_);
}

result<std::unique_ptr<engine_client>> engine_client::open(const control::runtime_directory& where,
                                                           const std::string& resource) {
    const std::int64_t deadline = now_ms() + patience_ms;
    auto made = begin(where, resource, deadline);
    if (made) {
        if (const result<> greeted = (*made)->greeted(deadline); !greeted) {
            return tl::unexpected<error>(greeted.error());
        }
    }
    return made;
}

result<std::unique_ptr<engine_client>> engine_client::begin(const control::runtime_directory& where,
                                                            const std::string& resource,
                                                            std::int64_t deadline_ms) {
    const result<int> socket = connect_to(where.control_socket(resource), resource, deadline_ms);
    if (!socket) {
        return tl::unexpected<error>(socket.error());
    }
    std::unique_ptr<engine_client> made(new engine_client(*socket, resource));
    if (const result<> sent = made->greet(); !sent) {
        return tl::unexpected<error>(sent.error());
    }
    return made;
}

result<> engine_client::greet() {
    control::hello ours;
    ours.protocol = control::protocol_version;
    ours.program = "drbdsetup";
    ours.pid = ::getpid();
    const std::string line = control::encode(ours);
    if (::send(socket_, line.data(), line.size(), MSG_NOSIGNAL) < 0) {
        return fail("The engine ended while it was asked", resource_, {}, error_engine_gone);
    }
    return {};
}

result<> engine_client::greeted(std::int64_t deadline_ms) {
    const result<control::server_message> first = receive(deadline_ms);
    if (!first) {
        return tl::unexpected<error>(first.error());
    }
    const auto* theirs = std::get_if<control::hello>(&*first);
    if (theirs == nullptr) {
        return fail("The engine did not greet", resource_);
    }
    engine_ = *theirs;
    if (theirs->protocol != control::protocol_version) {
        return fail(fmt::format("The engine ({}, process {}) speaks version {} of the control "
                                "protocol, this drbdsetup version {}",
                                theirs->program, theirs->pid, theirs->protocol,
                                control::protocol_version),
                    resource_,
                    "Use the drbdsetup that the engine was installed with, or stop the engine with "
                    "it and start the installed one.");
    }
    return {};
}

result<> engine_client::send(const control::request& what) {
    const std::string line = control::encode(what);
    std::size_t sent = 0;
    const std::int64_t deadline = now_ms() + patience_ms;
    while (sent < line.size()) {
        const ssize_t done = ::send(socket_, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
        if (done > 0) {
            sent += static_cast<std::size_t>(done);
            continue;
        }
        if (errno != EAGAIN && errno != EINTR) {
            return fail("The engine ended while it was asked", resource_, {}, error_engine_gone);
        }
        pollfd ready = {socket_, POLLOUT, 0};
        if (now_ms() >= deadline || ::poll(&ready, 1, 100) < 0) {
            return fail("The engine takes no requests", resource_, {}, error_timed_out);
        }
    }
    return {};
}

result<control::server_message> engine_client::decode(const std::string& line) {
    result<control::server_message> message = control::decode_server_message(line);
    if (!message) {
        return fail(
            fmt::format("The engine sent something that is no message: {}", message.error().text()),
            resource_);
    }
    return message;
}

// Waits for bytes, until the deadline.
result<> engine_client::fill(std::int64_t deadline_ms) {
    std::array<char, 65536> buffer;
    for (;;) {
        const ssize_t got = ::recv(socket_, buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (got > 0) {
            input_.append(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
            return {};
        }
        if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            return fail("The engine ended, or closed the connection", resource_, {},
                        error_engine_gone);
        }
        const std::int64_t left = deadline_ms == no_deadline ? 1000 : deadline_ms - now_ms();
        if (left <= 0) {
            return fail("The engine did not answer in time", resource_, {}, error_timed_out);
        }
        pollfd ready = {socket_, POLLIN, 0};
        ::poll(&ready, 1, static_cast<int>(std::min<std::int64_t>(left, 60000)));
    }
}

result<std::optional<control::server_message>> engine_client::take_arrived() {
    const std::optional<std::string> line = input_.next_line();
    if (!line) {
        return std::optional<control::server_message>();
    }
    result<control::server_message> message = decode(*line);
    if (!message) {
        return tl::unexpected<error>(message.error());
    }
    return std::optional<control::server_message>(std::move(*message));
}

result<std::optional<control::server_message>> engine_client::take_available() {
    const result<> filled = fill(now_ms());
    if (!filled && filled.error().code == error_timed_out) {
        return std::optional<control::server_message>();
    }
    if (!filled) {
        return tl::unexpected<error>(filled.error());
    }
    return take_arrived();
}

result<control::server_message> engine_client::receive(std::int64_t deadline_ms) {
    for (;;) {
        result<std::optional<control::server_message>> arrived = take_arrived();
        if (!arrived) {
            return tl::unexpected<error>(arrived.error());
        }
        if (*arrived) {
            return std::move(**arrived);
        }
        if (input_.too_long()) {
            return fail("The engine sent a message that is too long", resource_);
        }
        const result<> filled = fill(deadline_ms);
        if (!filled) {
            return tl::unexpected<error>(filled.error());
        }
    }
}

result<control::reply> engine_client::await(std::uint64_t id, std::int64_t deadline_ms) {
    for (;;) {
        result<control::server_message> message = receive(deadline_ms);
        if (!message) {
            return tl::unexpected<error>(message.error());
        }
        // A reply without an id refuses the connection as a whole.
        auto* answer = std::get_if<control::reply>(&*message);
        if (answer != nullptr && (answer->id == id || answer->id == 0)) {
            return std::move(*answer);
        }
    }
}

result<control::reply> engine_client::ask(control::request what, std::int64_t deadline_ms,
                                          const on_pending& pending) {
    what.id = ++last_id_;
    const result<> sent = send(what);
    if (!sent) {
        return tl::unexpected<error>(sent.error());
    }
    std::string told;
    for (;;) {
        const std::int64_t notice = now_ms() + notice_ms;
        const bool last = !pending || (deadline_ms != no_deadline && deadline_ms <= notice);
        result<control::reply> answer = await(what.id, last ? deadline_ms : notice);
        const bool waits = !answer && answer.error().code == error_timed_out;
        if (!waits || (last && told.empty())) {
            return answer;
        }
        std::optional<control::reply> early;
        const pending_work work = what_is_pending(early, what.id);
        if (early) {
            return *early;
        }
        // An attach that came back early would be taken for one that failed.
        const bool gives_up = work.no_end && what.what != control::command::attach;
        if (gives_up || last) {
            return fail(fmt::format("accepted, pending because {}", work.reason), {},
                        "It goes on by itself: drbdsetup status --verbose shows what it waits for.",
                        error_pending);
        }
        if (work.reason != told && !work.reason.empty()) {
            pending(work.reason);
            told = work.reason;
        }
    }
}

// Asks for the state on the same connection; the answer that is waited for may come first.
pending_work engine_client::what_is_pending(std::optional<control::reply>& early,
                                            std::uint64_t id) {
    control::request query;
    query.id = ++last_id_;
    if (!send(query)) {
        return {};
    }
    const std::int64_t deadline = now_ms() + patience_ms;
    for (;;) {
        result<control::server_message> message = receive(deadline);
        if (!message) {
            return {"the engine does not react", false};
        }
        auto* answer = std::get_if<control::reply>(&*message);
        if (answer != nullptr && answer->id == id) {
            early = std::move(*answer);
        } else if (answer != nullptr && answer->id == query.id) {
            return answer->state ? pending_in(*answer->state) : pending_work();
        }
    }
}

result<control::snapshot> engine_client::look() {
    const result<control::reply> answer = ask({}, now_ms() + patience_ms);
    if (!answer) {
        return tl::unexpected<error>(answer.error());
    }
    if (!answer->state) {
        return fail(answer->text, resource_, answer->remedy);
    }
    return *answer->state;
}

pending_work pending_in(const control::snapshot& state) {
    pending_work found;
    for (const control::volume_snapshot& volume : state.volumes) {
        const bool silent = volume.disk_silent_ms >= silence_ms_max;
        if (!volume.waiting_for.empty() && (found.reason.empty() || (silent && !found.no_end))) {
            found = {fmt::format("{} (volume {})", volume.waiting_for, volume.volume), silent};
        }
    }
    return found;
}

} // namespace lockstep::drbdsetup
