// The quorum-aware daemon of a node. Stays in the foreground: whoever starts it looks after it.
#include <chrono>
#include <csignal>
#include <memory>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "daemon/corosync/cluster_settings.hpp"
#include "daemon/log.hpp"
#include "daemon/loop/timer.hpp"
#include "daemon/node_daemon.hpp"

namespace {

using namespace lockstep;

std::int32_t stop(std::int32_t, void* loop) {
    qb_loop_stop(static_cast<qb_loop_t*>(loop));
    return 0;
}

// Begins when corosync is there, and tries until it is.
class starter {
public:
    starter(qb_loop_t* loop, daemon::daemon_settings settings)
        : loop_(loop), settings_(std::move(settings)), again_(loop, [this] { begin(); }) {
        begin();
    }

    bool failed() const { return failed_; }

private:
    void begin() {
        auto cluster = corosync::read_cluster_settings();
        if (!cluster) {
            if (!std::exchange(told_, true)) {
                daemon::log_error(cluster.error().text());
            }
            again_.set(std::chrono::seconds(1));
            return;
        }
        auto started = daemon::node_daemon::start(loop_, settings_, *std::move(cluster));
        if (started) {
            daemon_ = *std::move(started);
            return;
        }
        daemon::log_error(started.error().text());
        failed_ = true;
        qb_loop_stop(loop_);
    }

    qb_loop_t* const loop_;
    const daemon::daemon_settings settings_;
    bool told_ = false;
    bool failed_ = false;
    daemon::loop_timer again_;
    std::unique_ptr<daemon::node_daemon> daemon_;
};

int run(const daemon::daemon_settings& settings) {
    qb_loop_t* const loop = qb_loop_create();
    qb_loop_signal_handle handles[2] = {};
    qb_loop_signal_add(loop, QB_LOOP_HIGH, SIGTERM, loop, stop, &handles[0]);
    qb_loop_signal_add(loop, QB_LOOP_HIGH, SIGINT, loop, stop, &handles[1]);
    bool failed = false;
    {
        const starter it(loop, settings);
        if (!it.failed()) {
            qb_loop_run(loop);
        }
        failed = it.failed();
    }
    qb_loop_destroy(loop);
    return failed ? 1 : 0;
}

} // namespace

int main(int argc, char** argv) {
    daemon::daemon_settings settings;
    bool to_standard_error = false;
    CLI::App program("lockstepd: who may be primary, decided by the majority of a cluster's nodes");
    program.set_version_flag("--version", LOCKSTEP_VERSION);
    program
        .add_option("--state-directory", settings.state_directory,
                    "what this node has promised and what the record says")
        ->capture_default_str();
    program.add_option("--config", settings.config_file, "drbd.conf")->capture_default_str();
    program.add_option("--drbdsetup", settings.drbdsetup, "program that tells of the engines")
        ->capture_default_str();
    program.add_option("--drbdadm", settings.drbdadm, "program that commands them")
        ->capture_default_str();
    program
        .add_option("--lease", settings.lease_ms,
                    "milliseconds to wait before a lost primary is replaced")
        ->check(CLI::Range(0, 600'000))
        ->capture_default_str();
    program
        .add_option("--outdate-limit", settings.outdate_limit_ms,
                    "milliseconds in which a peer's daemon has to outdate its disk")
        ->check(CLI::Range(100, 600'000))
        ->capture_default_str();
    program.add_flag("--take-over", settings.take_over,
                     "promote this node where the primary is gone and its data is in sync");
    program.add_flag("--log-to-stderr", to_standard_error, "as well as to syslog");
    CLI11_PARSE(program, argc, argv);
    std::signal(SIGPIPE, SIG_IGN);
    daemon::open_log(to_standard_error);
    const int code = run(settings);
    daemon::close_log();
    return code;
}
