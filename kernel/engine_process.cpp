#include "kernel/engine_process.hpp"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "kernel/base/check.hpp"
#include "kernel/device/keeper_jobs.hpp"

namespace lockstep::engine {

using host::log_severity;

namespace {

constexpr host::instant claim_wait = 12 * host::second; // what a dead engine's keeper may take
constexpr host::instant end_wait = 5 * host::second;
constexpr std::uint32_t linger_ms = 2'000;

bool somebody_answers(const std::string& socket) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    if (socket.size() >= sizeof address.sun_path) {
        return false;
    }
    std::memcpy(address.sun_path, socket.c_str(), socket.size() + 1);
    const owned_fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

host::log_severity severity_named(const std::string& name) {
    if (name == "error") {
        return log_severity::error;
    }
    if (name == "warning") {
        return log_severity::warning;
    }
    if (name == "notice") {
        return log_severity::notice;
    }
    return name == "debug" ? log_severity::debug : log_severity::info;
}

// "f" or "1,00000000": hexadecimal, 32 bits to a group, as the kernel writes CPU masks.
result<cpu_set_t> parse_cpu_mask(const std::string& text) {
    cpu_set_t mask;
    CPU_ZERO(&mask);
    std::size_t bit = 0;
    for (auto digit = text.rbegin(); digit != text.rend(); ++digit) {
        if (*digit == ',') {
            continue;
        }
        const char* const digits = "0123456789abcdef";
        const char* const found = std::strchr(digits, *digit | 0x20);
        if (*digit == 0 || found == nullptr || bit + 4 > CPU_SETSIZE) {
            return fail("\"" + text + "\" is no CPU mask");
        }
        for (int i = 0; i < 4; ++i, ++bit) {
            if ((((found - digits) >> i) & 1) != 0) {
                CPU_SET(bit, &mask);
            }
        }
    }
    return mask;
}

std::string runtime_key(const std::string& resource) {
    return "runtime directory of " + resource;
}

// The keeper's: an engine that has died leaves no socket, and no minor that looks taken.
void remove_runtime(host::keeper_job& job) {
    const control::runtime_directory runtime(job.argument(0));
    const std::string& resource = job.argument(1);
    for (const std::uint32_t minor : runtime.minors()) {
        if (runtime.resource_of_minor(minor) == resource) {
            runtime.unlink_minor(minor, resource);
        }
    }
    ::unlink((runtime.resource_directory(resource) + "/nbd").c_str());
    runtime.remove(resource);
    job.forget(runtime_key(resource));
}

void remember_runtime(host::keeper_job& job) {
    job.remember(runtime_key(job.argument(1)), "tidy-runtime", {job.argument(0), job.argument(1)});
}

} // namespace

process::process(settings use)
    : settings_(std::move(use)), claims_(runtime_.root() + "/claims", settings_.resource),
      resource_claim_("resource-" + control::encode_name(settings_.resource)) {}

process::~process() = default;

void process::note(log_severity severity, const std::string& text) {
    log_->put(severity, text);
}

// --- start ---

result<> process::start() {
    auto started = start_all();
    if (!started && keeper_ != nullptr) {
        keeper_->stop();
    }
    if (!started && prepared_) {
        runtime_.remove(settings_.resource);
    }
    return started;
}

result<> process::start_all() {
    if (auto claimed = claim_resource(); !claimed) {
        return claimed;
    }
    // Only now: a predecessor's keeper may just have removed the directory.
    auto socket = runtime_.prepare(settings_.resource);
    if (!socket) {
        return tl::unexpected(socket.error());
    }
    prepared_ = true;
    if (auto started = start_keeper(); !started) {
        return started;
    }
    if (auto started = start_rooms(); !started) {
        return started;
    }
    if (auto started = start_server(*socket); !started) {
        return started;
    }
    watch_signals();
    note(log_severity::notice,
         std::string("engine " LOCKSTEP_VERSION " started, pid ") + std::to_string(::getpid()));
    return {};
}

// A predecessor that has died still has the claim until its keeper has cleaned up.
result<> process::claim_resource() {
    const host::instant until = host::event_loop::clock() + claim_wait;
    for (;;) {
        auto claimed = claims_.take(resource_claim_, 161);
        if (claimed || claimed.error().code != 161) {
            return claimed;
        }
        if (somebody_answers(runtime_.control_socket(settings_.resource))) {
            return fail("the resource has an engine already", settings_.resource,
                        "take it down first: drbdsetup down " + settings_.resource, 161);
        }
        if (host::event_loop::clock() >= until) {
            return fail("the keeper of an engine that has died is still cleaning up",
                        settings_.resource, "see its log; try again later", 161);
        }
        ::usleep(50'000);
    }
}

result<> process::start_keeper() {
    host::keeper_settings use;
    use.resource = settings_.resource;
    use.log_target = settings_.log;
    use.log_fallback = runtime_.root() + "/" + control::encode_name(settings_.resource) + ".log";
    use.held_fd = claims_.descriptor(resource_claim_);
    if (settings_.restart && settings_.helper != "disabled") {
        use.restart_command = {settings_.helper, "up", settings_.resource};
    }
    std::vector<host::keeper_operation> operations(device::device_operations().begin(),
                                                   device::device_operations().end());
    operations.push_back({"tidy-runtime", remove_runtime});
    operations.push_back({"remember-runtime", remember_runtime});
    auto started = host::keeper::start(use, operations);
    if (!started) {
        return tl::unexpected(started.error());
    }
    keeper_ = std::move(*started);
    return {};
}

result<> process::start_rooms() {
    auto loop = host::event_loop::create();
    if (!loop) {
        return tl::unexpected(loop.error());
    }
    loop_ = std::move(*loop);
    loop_->set_busy_wait(settings_.busy_wait_us * host::microsecond);
    keeper_->run_on(*loop_);
    keeper_->call({"remember-runtime", {runtime_.root(), settings_.resource}, {}, 0},
                  [](const host::keeper_answer&) {});
    log_ = std::make_unique<host::log_queue>(*loop_, keeper_->log_socket());
    log_->set_level(severity_named(settings_.log_level));
    keeper_->on_gone([this] {
        note(log_severity::error,
             "the keeper has died: handlers do not run, devices can be neither "
             "made nor removed; restart this engine when you can");
    });
    for (const std::string& missing : host::protect_process()) {
        note(log_severity::warning, missing);
    }
    ask_for_cpu_latency();
    auto peer = host::memory_arena::create(std::size_t{settings_.peer_buffers_mib} << 20);
    auto client = host::memory_arena::create(std::size_t{settings_.client_buffers_mib} << 20);
    if (!peer || !client) {
        return tl::unexpected(!peer ? peer.error() : client.error());
    }
    peer_memory_ = std::make_unique<host::memory_arena>(std::move(*peer));
    client_memory_ = std::make_unique<host::memory_arena>(std::move(*client));
    peer_buffers_ = std::make_unique<replica::buffer_pool>(peer_memory_->bytes());
    client_buffers_ = std::make_unique<replica::buffer_pool>(client_memory_->bytes());

    host::volume_disks::settings disks;
    disks.files_allowed = settings_.files_as_disks;
    host::helper_settings helpers;
    helpers.program = settings_.helper;
    helpers.resource = settings_.resource;
    helpers.limit_ms = settings_.helper_limit_s * 1000;
    helpers.environment = {"LOCKSTEP_RUNTIME_DIRECTORY=" + runtime_.root(),
                           "LOCKSTEP_HANDLER_LIMIT=engine"};
    host::port_hooks& hooks = *this;
    ports_ = std::make_unique<host::replica_ports>(
        host::replica_ports::parts{*loop_, *keeper_, claims_, *log_, disks, helpers,
                                   settings_.faults},
        hooks);
    resource_ = std::make_unique<replica::resource>(
        settings_.resource, *ports_, replica::memory_pools{*peer_buffers_}, settings_.options);
    ports_->connect_to(*resource_);

    device::front_end_settings front;
    front.resource = settings_.resource;
    front.device_directory = settings_.device_directory;
    front.nbd_socket = runtime_.resource_directory(settings_.resource) + "/nbd";
    front.nbd_listen = settings_.nbd_listen;
    front.device_nodes = settings_.device_nodes;
    front.lost = [this](replica::volume_number volume, const std::string& why) {
        note(log_severity::error,
             "volume " + std::to_string(volume) + " has lost its device node: " + why);
    };
    auto front_ends =
        device::front_ends::create(*loop_, *keeper_, *this, *client_buffers_, std::move(front));
    if (!front_ends) {
        return tl::unexpected(front_ends.error());
    }
    front_ends_ = std::move(*front_ends);
    volumes_ =
        std::make_unique<volumes>(*loop_, *resource_, *front_ends_, [this](const error& problem) {
            note(log_severity::error, problem.text());
        });
    return {};
}

void process::ask_for_cpu_latency() {
    auto fd = host::open_cpu_latency(settings_.cpu_latency);
    if (!fd) {
        note(log_severity::warning, fd.error().text());
        return;
    }
    cpu_latency_ = std::make_unique<host::cpu_latency_request>(*loop_, std::move(*fd),
                                                               settings_.cpu_latency.limit_us);
}

result<> process::start_server(const std::string& socket) {
    control::surroundings& around = *this;
    replica_target_ =
        std::make_unique<control::resource_target>(*resource_, around, [this] { changed(); });
    target_ =
        std::make_unique<target>(*loop_, *replica_target_, *volumes_, [this] { apply_cpu_mask(); });
    control::hello greeting;
    greeting.protocol = control::protocol_version;
    greeting.program = "lockstep-engine " LOCKSTEP_VERSION;
    greeting.resource = settings_.resource;
    greeting.pid = ::getpid();
    auto server = control::socket_server::create(*loop_, *target_, socket, greeting);
    if (!server) {
        return tl::unexpected(server.error());
    }
    server_ = std::move(*server);
    apply_cpu_mask();
    return {};
}

void process::watch_signals() {
    ::signal(SIGPIPE, SIG_IGN);
    ::signal(SIGHUP, SIG_IGN);
    ::signal(SIGCHLD, SIG_IGN); // the log writer's end, and the keeper's
    sigset_t wanted;
    sigemptyset(&wanted);
    for (const int number : {SIGTERM, SIGINT, SIGQUIT}) {
        sigaddset(&wanted, number);
    }
    ::sigprocmask(SIG_BLOCK, &wanted, nullptr);
    signals_.fd.reset(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
    loop_->poll(signals_, signals_.fd.get(), POLLIN);
}

void process::signals::came(host::completion& self, int result, unsigned /*flags*/) {
    auto& own = static_cast<signals&>(self);
    if (result < 0) {
        return;
    }
    signalfd_siginfo info = {};
    while (::read(own.fd.get(), &info, sizeof info) == sizeof info) {
        own.of.told_to_stop(info.ssi_signo == SIGQUIT);
    }
    own.of.loop_->poll(own, own.fd.get(), POLLIN);
}

// SIGTERM is `drbdsetup down`; SIGQUIT takes the devices away from their users as well.
void process::told_to_stop(bool force) {
    const auto told = [this](const control::reply& end) {
        if (!end.ok) {
            note(log_severity::error,
                 "not stopping: " + end.text + (end.info.empty() ? "" : " (" + end.info[0] + ")"));
        }
    };
    note(log_severity::notice, force ? "told to stop at any cost" : "told to stop");
    if (force) {
        target_->force_down(told);
        return;
    }
    control::request down;
    down.what = control::command::down;
    target_->execute(down, told);
}

void process::apply_cpu_mask() {
    const std::string mask = replica_target_->look().options.cpu_mask;
    if (mask.empty()) {
        if (mask_applied_) {
            cpu_set_t all;
            std::memset(&all, 0xff, sizeof all);
            ::sched_setaffinity(0, sizeof all, &all);
        }
        return;
    }
    mask_applied_ = true;
    const auto parsed = parse_cpu_mask(mask);
    if (!parsed || ::sched_setaffinity(0, sizeof *parsed, &*parsed) != 0) {
        note(log_severity::error, "cpu-mask " + mask + " cannot be used on this machine");
    }
}

// --- run and end ---

void process::run() {
    loop_->run();
    shut_down();
}

void process::leave() {
    loop_->stop();
}

template <class Condition>
bool process::wait_until(Condition condition, host::instant limit) {
    const host::instant until = host::event_loop::clock() + limit;
    while (!condition()) {
        if (host::event_loop::clock() >= until) {
            return false;
        }
        loop_->run_once(10 * host::millisecond);
    }
    return true;
}

// The replies are still sent; then everything that is pending ends, or the process ends without
// waiting for it: what is left then is the keeper's.
void process::shut_down() {
    server_->close(linger_ms);
    bool clean = wait_until([this] { return server_->closed(); }, end_wait);
    clean = wait_until([this] { return front_ends_->idle(); }, end_wait) && clean;
    ports_->disconnect();
    ports_->wire().quiesce();
    clean =
        wait_until(
            [this] {
                return ports_->disks().closing() == 0 && ports_->disks().requests_under_way() == 0;
            },
            end_wait) &&
        clean;
    loop_->cancel(signals_);
    clean = wait_until([this] { return !signals_.pending; }, end_wait) && clean;
    keeper_->call({"tidy-runtime", {runtime_.root(), settings_.resource}, {}, 0},
                  [](const host::keeper_answer&) {});
    note(log_severity::notice, clean ? "engine stopped" : "engine stopped with work unfinished");
    wait_until([this] { return keeper_->calls_pending() == 0; }, end_wait);
    keeper_->on_gone({});
    keeper_->stop();
    log_->close();
    if (!clean) {
        ::_exit(0);
    }
    server_.reset();
    target_.reset();
    replica_target_.reset();
    volumes_.reset();
    front_ends_.reset();
    resource_.reset();
    ports_.reset();
    log_.reset();
    keeper_.reset();
    claims_.release(resource_claim_);
}

} // namespace lockstep::engine
