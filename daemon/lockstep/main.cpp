// lockstep: what administrators and the engines' handlers ask of lockstepd.
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "daemon/control/client.hpp"
#include "daemon/lockstep/status_view.hpp"

namespace {

using namespace lockstep;
using daemon::request;
using daemon::verb;

constexpr std::chrono::seconds ask_again_after{1};
constexpr int code_no_answer = 1;

int complain(const std::string& text) {
    fmt::print(stderr, "lockstep: {}\n", text);
    return code_no_answer;
}

struct options {
    std::uint32_t wait_s = 30;
    bool as_json = false;
};

int run(const request& what, const options& how) {
    const auto said = daemon::ask(what, std::chrono::seconds(how.wait_s));
    if (!said) {
        return complain(said.error().text());
    }
    if (said->code != 0) {
        complain(said->text);
        return said->code;
    }
    if (what.what == verb::status) {
        const auto text = how.as_json ? result<std::string>(said->text + "\n")
                                      : daemon::status_for_people(said->text);
        if (!text) {
            return complain(text.error().text());
        }
        fmt::print("{}", *text);
    }
    return 0;
}

// Waits as long as it takes, and asks a daemon that was restarted again: the engine asks no second
// time, and what it has frozen stays so until there is an answer.
int fence_peer(request what) {
    if (const char* reason = std::getenv("DRBD_FENCE_REASON")) {
        what.reason = daemon::reason_of(reason);
    }
    std::string told;
    for (;;) {
        const auto said = daemon::ask(what, std::nullopt);
        if (said) {
            if (!said->text.empty()) {
                complain(said->text);
            }
            return said->code;
        }
        if (std::exchange(told, said.error().text()) != said.error().text()) {
            complain(said.error().text());
        }
        std::this_thread::sleep_for(ask_again_after);
    }
}

} // namespace

int main(int argc, char** argv) {
    request what;
    options how;
    CLI::App program("lockstep: the cluster's view of its replicated resources");
    program.set_version_flag("--version", LOCKSTEP_VERSION);
    program.require_subcommand(1);
    program.add_option("--wait", how.wait_s, "seconds to wait for the daemon and for what it does")
        ->check(CLI::Range(1, 86'400))
        ->capture_default_str();
    const auto command = [&](verb which, const char* about) {
        CLI::App* const made = program.add_subcommand(std::string(daemon::name_of(which)), about);
        made->callback([&what, which] { what.what = which; });
        return made;
    };
    const auto with_resource = [&](CLI::App* to) {
        return to->add_option("RESOURCE", what.resource, "its name in drbd.conf");
    };
    const auto with_node = [&](CLI::App* to) {
        return to->add_option("NODE", what.node, "corosync's number of a node")
            ->check(CLI::Range(1U, 4294967295U));
    };
    const auto with_votes = [&](CLI::App* to) {
        to->add_option("--votes", what.votes, "of that node")
            ->check(CLI::Range(1, 1000))
            ->capture_default_str();
    };
    command(verb::status, "what the daemon of this node knows")
        ->add_flag("--json", how.as_json, "for programs");
    with_votes(command(verb::init, "makes the record of a cluster, kept by this node first"));
    CLI::App* const add = command(verb::add_node, "a node more keeps the record");
    with_node(add)->required();
    with_votes(add);
    with_node(command(verb::remove_node, "a node keeps it no more"))->required();
    CLI::App* const create = command(verb::create, "makes the record of a resource");
    with_resource(create)->required();
    create->add_option("--in-sync", what.node, "the node whose disk has the data")
        ->check(CLI::Range(1U, 4294967295U));
    with_resource(command(verb::remove, "ends the record of a resource"))->required();
    with_resource(command(verb::promote, "makes this node primary"))->required();
    with_resource(command(verb::demote, "and not any more"))->required();
    with_resource(command(verb::fence_peer, "handler of that name: waits until the peer is out"))
        ->envname("DRBD_RESOURCE")
        ->required();
    CLI11_PARSE(program, argc, argv);
    return what.what == verb::fence_peer ? fence_peer(what) : run(what, how);
}
