// The front ends of one resource with a test_backend behind them. Commands come as lines on
// standard input, each is answered by one line:
//
//   configure [DISK] | publish | withdraw | force | grow BYTES | remove | disk NAME
//   hold | resume      requests wait in the "engine" until resumed
//   fail ERRNO         every request fails; 0: none
//   count              how many writes and flushes there were
//   idle               whether nothing is under way
//   quit               an orderly end; also at the end of the input
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <string>

#include "cluster/device/test_backend.hpp"
#include "kernel/device/front_ends.hpp"
#include "kernel/device/keeper_jobs.hpp"
#include "kernel/host/event_loop.hpp"
#include "kernel/host/keeper.hpp"

using namespace lockstep;

namespace {

struct settings {
    std::string resource = "r0";
    std::string directory = "/dev";
    std::string socket;
    std::string listen;
    std::string log = "syslog";
    std::string file;
    std::uint64_t size = 64U << 20;
    std::uint64_t room = 0;
    std::uint32_t block = 512;
    std::uint32_t minor = 0;
    std::uint32_t pool_mib = 12;
    bool by_res_volume = false;
    bool no_discard = false;
    bool no_nodes = false;
};

void say(std::string line) {
    std::replace(line.begin(), line.end(), '\n', ' ');
    fmt::print("{}\n", line);
    std::fflush(stdout);
}

void say_result(const result<>& how) {
    say(how ? "ok" : "error " + how.error().text());
}

class server {
public:
    server(host::event_loop& loop, const settings& wanted, device::front_ends& fronts,
           device::test_backend& engine)
        : loop_(loop), wanted_(wanted), fronts_(fronts), engine_(engine) {
        input_.owner = this;
        input_.done = [](host::completion& self, int result, unsigned) {
            static_cast<input&>(self).owner->read_more(result);
        };
        listen();
    }

private:
    struct input : host::completion {
        server* owner = nullptr;
    };

    void listen() { loop_.read(input_, 0, chunk_, sizeof chunk_, host::event_loop::no_offset); }
    void read_more(int result);
    void obey(const std::string& command, const std::string& argument);
    void configure(const std::string& disk);
    void publish();
    void withdraw(bool force);

    host::event_loop& loop_;
    const settings& wanted_;
    device::front_ends& fronts_;
    device::test_backend& engine_;
    input input_;
    char chunk_[512] = {};
    std::string text_;
};

void server::read_more(int result) {
    if (result <= 0) {
        loop_.stop();
        return;
    }
    text_.append(chunk_, static_cast<std::size_t>(result));
    for (std::size_t end = text_.find('\n'); end != std::string::npos; end = text_.find('\n')) {
        const std::string line = text_.substr(0, end);
        text_.erase(0, end + 1);
        const std::size_t space = line.find(' ');
        obey(line.substr(0, space), space == std::string::npos ? "" : line.substr(space + 1));
    }
    listen();
}

void server::configure(const std::string& disk) {
    device::volume_names names;
    names.minor = wanted_.minor;
    names.by_res_has_volume = wanted_.by_res_volume;
    names.backing_disk = disk;
    fronts_.configure(names, say_result);
}

void server::publish() {
    device::volume_properties properties;
    properties.minor = wanted_.minor;
    properties.size_bytes = wanted_.size;
    properties.logical_block_bytes = wanted_.block;
    properties.can_discard = !wanted_.no_discard;
    fronts_.publish(properties, say_result);
}

void server::withdraw(bool force) {
    fronts_.withdraw(0, force, [](device::withdrawal how, const std::string& who) {
        say(how == device::withdrawal::done ? "ok" : "in use: " + who);
    });
}

void server::obey(const std::string& command, const std::string& argument) {
    if (command == "configure") {
        configure(argument);
    } else if (command == "publish") {
        publish();
    } else if (command == "withdraw" || command == "force") {
        withdraw(command == "force");
    } else if (command == "grow") {
        fronts_.grow(0, std::stoull(argument), say_result);
    } else if (command == "remove") {
        fronts_.remove(0, say_result);
    } else if (command == "disk") {
        fronts_.set_backing_disk(0, argument);
        say("ok");
    } else if (command == "hold" || command == "resume") {
        engine_.hold(command == "hold");
        say("ok");
    } else if (command == "fail") {
        engine_.error = std::stoi(argument);
        say("ok");
    } else if (command == "count") {
        say(fmt::format("{} {}", engine_.writes, engine_.flushes));
    } else if (command == "idle") {
        say(fronts_.idle() ? "yes" : "no");
    } else if (command == "quit") {
        loop_.stop();
    } else {
        say("error unknown command");
    }
}

int run(const settings& wanted) {
    host::keeper_settings keeper_wanted;
    keeper_wanted.resource = wanted.resource;
    keeper_wanted.log_target = wanted.log;
    auto keeper = host::keeper::start(keeper_wanted, device::device_operations());
    if (!keeper) {
        fmt::print(stderr, "{}\n", keeper.error().text());
        return 1;
    }
    auto loop = host::event_loop::create();
    if (!loop) {
        fmt::print(stderr, "{}\n", loop.error().text());
        return 1;
    }
    (*keeper)->run_on(**loop);
    const std::size_t arena = std::size_t{wanted.pool_mib} << 20;
    auto* memory = static_cast<std::byte*>(
        ::mmap(nullptr, arena, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    replica::buffer_pool buffers{{memory, arena}};
    device::test_backend engine{**loop, wanted.file, std::max(wanted.size, wanted.room)};
    device::front_end_settings fronts_wanted;
    fronts_wanted.resource = wanted.resource;
    fronts_wanted.device_directory = wanted.directory;
    fronts_wanted.nbd_socket = wanted.socket;
    fronts_wanted.nbd_listen = wanted.listen;
    fronts_wanted.device_nodes = !wanted.no_nodes;
    fronts_wanted.lost = [](device::volume_number, const std::string& why) { say("lost " + why); };
    auto fronts =
        device::front_ends::create(**loop, **keeper, engine, buffers, std::move(fronts_wanted));
    if (!fronts) {
        fmt::print(stderr, "{}\n", fronts.error().text());
        return 1;
    }
    server commands{**loop, wanted, **fronts, engine};
    say("ready");
    (*loop)->run();
    constexpr int turns_max = 20;
    for (int i = 0; i < turns_max && !(*fronts)->idle(); ++i) {
        (*loop)->run_once(10 * host::millisecond);
    }
    if ((*fronts)->idle()) {
        fronts->reset();
    }
    // What is still published is undone by the keeper, as after a crash.
    (*keeper)->stop();
    ::_exit(0);
}

} // namespace

int main(int argc, char** argv) {
    settings wanted;
    CLI::App app{"front ends with a test volume behind them"};
    app.add_option("--resource", wanted.resource);
    app.add_option("--directory", wanted.directory);
    app.add_option("--socket", wanted.socket);
    app.add_option("--listen", wanted.listen);
    app.add_option("--log", wanted.log);
    app.add_option("--file", wanted.file);
    app.add_option("--size", wanted.size);
    app.add_option("--room", wanted.room);
    app.add_option("--block", wanted.block);
    app.add_option("--minor", wanted.minor);
    app.add_option("--pool-mib", wanted.pool_mib);
    app.add_flag("--by-res-volume", wanted.by_res_volume);
    app.add_flag("--no-discard", wanted.no_discard);
    app.add_flag("--no-nodes", wanted.no_nodes);
    CLI11_PARSE(app, argc, argv);
    return run(wanted);
}
