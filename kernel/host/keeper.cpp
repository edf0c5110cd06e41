#include "kernel/host/keeper.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <deque>
#include <map>
#include <utility>

#include "kernel/base/check.hpp"
#include "kernel/host/keeper_message.hpp"
#include "kernel/host/keeper_operations.hpp"
#include "kernel/host/keeper_process.hpp"
#include "kernel/host/log_writer.hpp"

namespace lockstep::host {

namespace {

struct socket_pair {
    owned_fd engine;
    owned_fd other;
};

result<socket_pair> make_pair_of_sockets() {
    int pair[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        return fail_errno(errno, "cannot make a socket pair for the keeper");
    }
    return socket_pair{owned_fd(pair[0]), owned_fd(pair[1])};
}

// A process of the engine's family keeps nothing of what the engine was started with: a pipe left
// open here would look as if the engine still held it.
void close_all_but(std::vector<int> keep) {
    std::sort(keep.begin(), keep.end());
    unsigned first = 3;
    for (const int fd : keep) {
        const auto number = static_cast<unsigned>(fd);
        if (number > first) {
            ::close_range(first, number - 1, 0);
        }
        first = std::max(first, number + 1);
    }
    ::close_range(first, ~0U, 0);
}

void detach_standard_streams() {
    const int null = ::open("/dev/null", O_RDWR);
    for (int fd = 0; fd <= 2; ++fd) {
        ::dup2(null, fd);
    }
    if (null > 2) {
        ::close(null);
    }
}

void name_process(const char* kind) {
    ::prctl(PR_SET_NAME, kind, 0, 0, 0);
}

[[noreturn]] void be_log_writer(int socket, const keeper_settings& settings) {
    for (const int signal_number : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE}) {
        std::signal(signal_number, SIG_IGN);
    }
    close_all_but({socket});
    detach_standard_streams();
    name_process("lockstep-log");
    log_writer_settings writer;
    writer.name = "lockstep-" + settings.resource;
    writer.target = settings.log_target;
    writer.fallback = settings.log_fallback;
    write_log(socket, writer);
    ::_exit(0);
}

[[noreturn]] void be_keeper(int socket, int log, const keeper_settings& settings,
                            std::span<const keeper_operation> operations) {
    close_all_but(settings.held_fd >= 0 ? std::vector<int>{socket, log, settings.held_fd}
                                        : std::vector<int>{socket, log});
    detach_standard_streams();
    name_process("lockstep-keeper");
    std::vector<keeper_operation> all(host_operations().begin(), host_operations().end());
    all.insert(all.end(), operations.begin(), operations.end());
    keeper_process_settings process;
    process.engine_socket = socket;
    process.log_socket = log;
    process.resource = settings.resource;
    process.restart_command = settings.restart_command;
    process.operations = all;
    run_keeper(process);
    ::_exit(0);
}

} // namespace

struct keeper::state {
    owned_fd socket;
    owned_fd log;
    pid_t pid = -1;
    event_loop* loop = nullptr;
    std::uint64_t last_id = 0;
    std::map<std::uint64_t, on_answer> pending;
    bool gone = false;
    bool stopping = false;
    std::function<void()> told_gone;
    std::deque<keeper_message> refusals; // calls that could not even be sent

    struct outgoing {
        keeper_message message;
        std::vector<owned_fd> fds;
    };
    std::deque<outgoing> waiting;

    struct readable : completion {
        explicit readable(state& of_) : completion(came), of(of_) {}
        static void came(completion& self, int result, unsigned flags);
        state& of;
    } readable_{*this};
    struct writable : completion {
        explicit writable(state& of_) : completion(came), of(of_) {}
        static void came(completion& self, int result, unsigned flags);
        state& of;
    } writable_{*this};
    struct lost : deferred {
        explicit lost(state& of_) : deferred(came), of(of_) {}
        static void came(deferred& self);
        state& of;
    } lost_{*this};

    void read_answers();
    void answered(received_message received);
    void write_waiting();
    void send(keeper_message message, const std::vector<int>& fds);
    void fail_all();
    void quiesce();
};

result<std::unique_ptr<keeper>> keeper::start(const keeper_settings& settings,
                                              std::span<const keeper_operation> operations) {
    auto log = make_pair_of_sockets();
    auto calls = make_pair_of_sockets();
    if (!log || !calls) {
        return tl::unexpected(!log ? log.error() : calls.error());
    }
    const pid_t writer = ::fork();
    if (writer < 0) {
        return fail_errno(errno, "cannot start the log writer");
    }
    if (writer == 0) {
        be_log_writer(log->other.get(), settings);
    }
    const pid_t pid = ::fork();
    if (pid < 0) {
        return fail_errno(errno, "cannot start the keeper");
    }
    if (pid == 0) {
        be_keeper(calls->other.get(), log->engine.get(), settings, operations);
    }
    auto made = std::make_unique<state>();
    made->socket = std::move(calls->engine);
    made->log = std::move(log->engine);
    made->pid = pid;
    return std::unique_ptr<keeper>(new keeper(std::move(made)));
}

keeper::keeper(std::unique_ptr<state> made) : state_(std::move(made)) {}

keeper::~keeper() {
    state_->quiesce();
}

void keeper::run_on(event_loop& loop) {
    LOCKSTEP_CHECK(state_->loop == nullptr);
    state_->loop = &loop;
    loop.poll(state_->readable_, state_->socket.get(), POLLIN);
}

std::uint64_t keeper::call(keeper_call what, on_answer done) {
    state& own = *state_;
    LOCKSTEP_CHECK(own.loop != nullptr);
    keeper_message message;
    message.what = keeper_message::kind::call;
    message.id = ++own.last_id;
    message.limit_ms = what.limit_ms;
    message.texts.push_back(std::move(what.operation));
    for (std::string& one : what.arguments) {
        message.texts.push_back(std::move(one));
    }
    const std::uint64_t id = message.id;
    own.pending.emplace(id, std::move(done));
    own.send(std::move(message), what.fds);
    return id;
}

void keeper::cancel(std::uint64_t call) {
    keeper_message message;
    message.what = keeper_message::kind::cancel;
    message.id = call;
    state_->send(std::move(message), {});
}

void keeper::limit(std::uint64_t call, std::uint32_t limit_ms) {
    keeper_message message;
    message.what = keeper_message::kind::limit;
    message.id = call;
    message.limit_ms = limit_ms;
    state_->send(std::move(message), {});
}

void keeper::on_gone(std::function<void()> told) {
    state_->told_gone = std::move(told);
}

std::size_t keeper::calls_pending() const {
    return state_->pending.size();
}

void keeper::stop() {
    keeper_message message;
    message.what = keeper_message::kind::stop;
    state_->send(std::move(message), {});
}

pid_t keeper::pid() const {
    return state_->pid;
}

int keeper::log_socket() const {
    return state_->log.get();
}

void keeper::state::send(keeper_message message, const std::vector<int>& fds) {
    if (!gone && waiting.empty()) {
        const auto sent = send_message(socket.get(), message, fds, MSG_DONTWAIT);
        if (sent) {
            return;
        }
        if (sent.error().code != EAGAIN) {
            // Too long, or the keeper is gone: the call is answered from the loop.
            if (message.what == keeper_message::kind::call && sent.error().code != EPIPE &&
                sent.error().code != ECONNRESET) {
                keeper_message refused;
                refused.id = message.id;
                refused.error = EMSGSIZE;
                refused.texts = {sent.error().text()};
                refusals.push_back(std::move(refused));
            } else {
                gone = true;
            }
            if (loop != nullptr) {
                loop->defer(lost_);
            }
            return;
        }
    }
    if (gone) {
        if (loop != nullptr) {
            loop->defer(lost_);
        }
        return;
    }
    outgoing later;
    later.message = std::move(message);
    for (const int fd : fds) {
        later.fds.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    }
    waiting.push_back(std::move(later));
    if (loop != nullptr && !writable_.pending) {
        loop->poll(writable_, socket.get(), POLLOUT);
    }
}

void keeper::state::write_waiting() {
    while (!waiting.empty()) {
        outgoing& next = waiting.front();
        const std::vector<int> numbers = numbers_of(next.fds);
        const auto sent = send_message(socket.get(), next.message, numbers, MSG_DONTWAIT);
        if (!sent && sent.error().code == EAGAIN) {
            loop->poll(writable_, socket.get(), POLLOUT);
            return;
        }
        if (!sent) {
            gone = true;
            loop->defer(lost_);
            return;
        }
        waiting.pop_front();
    }
}

void keeper::state::writable::came(completion& self, int result, unsigned /*flags*/) {
    if (result != -ECANCELED) {
        static_cast<writable&>(self).of.write_waiting();
    }
}

void keeper::state::readable::came(completion& self, int result, unsigned /*flags*/) {
    if (result != -ECANCELED) {
        static_cast<readable&>(self).of.read_answers();
    }
}

void keeper::state::read_answers() {
    for (;;) {
        auto received = receive_message(socket.get(), MSG_DONTWAIT);
        if (!received && received.error().code == EAGAIN) {
            break;
        }
        if (received && *received) {
            answered(std::move(**received));
            continue;
        }
        if (!received && received.error().code == 0) {
            continue; // a damaged message; its call ends with its time limit, or with the keeper
        }
        gone = true;
        fail_all();
        return;
    }
    if (!stopping) {
        loop->poll(readable_, socket.get(), POLLIN);
    }
}

void keeper::state::answered(received_message received) {
    keeper_message& message = received.message;
    const auto found = pending.find(message.id);
    if (message.what != keeper_message::kind::answer || found == pending.end()) {
        return;
    }
    const on_answer done = std::move(found->second);
    pending.erase(found);
    keeper_answer answer;
    answer.error = message.error;
    answer.fds = std::move(received.fds);
    if (!message.texts.empty()) {
        answer.sentence = std::move(message.texts[0]);
        message.texts.erase(message.texts.begin());
    }
    answer.values = std::move(message.texts);
    done(std::move(answer));
}

void keeper::state::lost::came(deferred& self) {
    state& of = static_cast<lost&>(self).of;
    while (!of.refusals.empty()) {
        received_message refused;
        refused.message = std::move(of.refusals.front());
        refused.message.what = keeper_message::kind::answer;
        of.refusals.pop_front();
        of.answered(std::move(refused));
    }
    if (of.gone) {
        of.fail_all();
    }
}

void keeper::state::fail_all() {
    waiting.clear();
    if (told_gone) {
        std::exchange(told_gone, {})();
    }
    while (!pending.empty()) {
        const on_answer done = std::move(pending.begin()->second);
        pending.erase(pending.begin());
        keeper_answer answer;
        answer.error = EPIPE;
        answer.sentence = "the keeper process is gone";
        done(std::move(answer));
    }
}

void keeper::state::quiesce() {
    stopping = true;
    if (loop == nullptr) {
        return;
    }
    loop->cancel(readable_);
    loop->cancel(writable_);
    loop->remove(lost_);
    while (readable_.pending || writable_.pending) {
        loop->run_once(10 * millisecond);
    }
}

} // namespace lockstep::host
