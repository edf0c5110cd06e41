// Tells what the room daemon/corosync tells, a line for each event, for the scenarios on real
// corosyncs:
//
//   corosync_probe settings    what corosync.conf says, as a line of JSON
//   corosync_probe             "pid N", then "configured 1,2", "alone", "delivered NODE TEXT",
//                              "membership quorate|inquorate 1,2", "membership gone", "problem
//                              TEXT"
//
// Lines of its input: "broadcast COUNT WORD" sends "WORD-1" to "WORD-COUNT"; "large COUNT BYTES"
// sends messages of BYTES + 1 to BYTES + COUNT bytes, of which only the size is told. The end of
// the input ends it.
#include <cstring>
#include <iostream>
#include <sstream>
#include <string>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "daemon/corosync/cluster_settings.hpp"
#include "daemon/corosync/membership.hpp"
#include "daemon/corosync/process_group.hpp"

namespace lockstep::corosync {
namespace {

constexpr std::size_t shown_max = 64;

// Each line at once: whoever reads waits for it.
void say(const std::string& line) {
    std::cout << line << std::endl; // NOLINT(performance-avoid-endl)
}

class teller final : public process_group_user, public membership_user {
public:
    void configured(const node_set& members) override {
        say(fmt::format("configured {}", fmt::join(members, ",")));
    }
    void alone() override { say("alone"); }
    void delivered(node_id from, const_byte_span bytes) override {
        const auto* text = reinterpret_cast<const char*>(bytes.data());
        say(bytes.size() > shown_max
                ? fmt::format("delivered {} {} bytes", from, bytes.size())
                : fmt::format("delivered {} {}", from, std::string(text, bytes.size())));
    }
    void membership(const std::optional<membership_view>& now) override {
        say(now ? fmt::format("membership {} {}", now->quorate ? "quorate" : "inquorate",
                              fmt::join(now->nodes, ","))
                : "membership gone");
    }
    void problem(const std::string& what) override { say("problem " + what); }
};

class probe {
public:
    explicit probe(qb_loop_t* loop)
        : loop_(loop), group_(loop, "lockstep", teller_), membership_(loop, teller_),
          input_(loop, [this](int) { read_input(); }) {
        input_.start(STDIN_FILENO);
    }

private:
    void read_input() {
        char buffer[4096];
        const auto size = ::read(STDIN_FILENO, buffer, sizeof buffer);
        if (size <= 0) {
            qb_loop_stop(loop_);
            return;
        }
        text_.append(buffer, static_cast<std::size_t>(size));
        for (auto end = text_.find('\n'); end != std::string::npos; end = text_.find('\n')) {
            obey(text_.substr(0, end));
            text_.erase(0, end + 1);
        }
    }

    void obey(const std::string& line) {
        std::istringstream words(line);
        std::string verb;
        unsigned count = 0;
        std::string name;
        std::size_t size = 0;
        words >> verb >> count;
        if (verb == "broadcast" && words >> name) {
            for (unsigned number = 1; number <= count; ++number) {
                send(fmt::format("{}-{}", name, number));
            }
        } else if (verb == "large" && words >> size) {
            for (unsigned number = 1; number <= count; ++number) {
                send(std::string(size + number, 'x'));
            }
        } else {
            say("problem not understood: " + line);
        }
    }

    void send(const std::string& text) {
        group_.broadcast({reinterpret_cast<const std::byte*>(text.data()), text.size()});
    }

    qb_loop_t* loop_;
    teller teller_;
    process_group group_;
    class membership membership_;
    daemon::loop_watch input_;
    std::string text_;
};

int show_settings() {
    const auto settings = read_cluster_settings();
    if (!settings) {
        say(settings.error().text());
        return 1;
    }
    nlohmann::json out{{"self", settings->self},
                       {"name", settings->name},
                       {"token", settings->token.count()},
                       {"provider", settings->quorum.provider},
                       {"two_node", settings->quorum.two_node},
                       {"wait_for_all", settings->quorum.wait_for_all},
                       {"last_man_standing", settings->quorum.last_man_standing},
                       {"auto_tie_breaker", settings->quorum.auto_tie_breaker},
                       {"allow_downscale", settings->quorum.allow_downscale},
                       {"device", settings->quorum.device},
                       {"nodes", nlohmann::json::array()}};
    for (const auto& each : settings->nodes) {
        out["nodes"].push_back({each.id, each.name, each.address, each.votes});
    }
    say(out.dump());
    return 0;
}

} // namespace
} // namespace lockstep::corosync

int main(int count, char** words) {
    if (count > 1 && std::strcmp(words[1], "settings") == 0) {
        return lockstep::corosync::show_settings();
    }
    qb_loop_t* loop = qb_loop_create();
    {
        const lockstep::corosync::probe probe(loop);
        lockstep::corosync::say(fmt::format("pid {}", getpid()));
        qb_loop_run(loop);
    }
    qb_loop_destroy(loop);
    return 0;
}
