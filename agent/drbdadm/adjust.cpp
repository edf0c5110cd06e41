#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include "agent/config/reader.hpp"
#include "agent/config/resolve.hpp"
#include "agent/drbdadm/actions.hpp"
#include "agent/drbdadm/difference.hpp"
#include "agent/drbdadm/exit_code.hpp"

namespace lockstep::drbdadm {

namespace {

bool is_asked(const session& run, std::string_view option) {
    return std::any_of(run.request.passed.begin(), run.request.passed.end(),
                       [&](const setup_option& given) { return given.text == option; });
}

// FAKE_DRBDSETUP_SHOW names a file that is read in place of the engine's answer.
result<std::string> shown_text(const session& run, const config::resource& owner) {
    if (const char* fake = ::getenv("FAKE_DRBDSETUP_SHOW")) {
        const std::ifstream file(fake);
        if (!file) {
            return fail(fmt::format("FAKE_DRBDSETUP_SHOW: can not read '{}'", fake));
        }
        std::ostringstream text;
        text << file.rdbuf();
        return text.str();
    }
    run_request request;
    request.words = run.backend.show(owner);
    request.resource = owner.name;
    request.standard_output = output::capture;
    request.standard_error = output::hide; // it says so if there is no such resource
    request.reports_failure = false;
    request.is_query = true;
    const run_outcome outcome = run.runner.run(request);
    if (outcome.timed_out) {
        return fail(
            fmt::format("what runs for resource {} is not known: nothing is changed", owner.name));
    }
    return outcome.code == 0 ? outcome.captured_output : std::string{};
}

// The resource as the engine has it, with me and peer set; an empty document if it has none.
result<std::shared_ptr<config::document>> running(const session& run,
                                                  const config::resource& owner) {
    const auto text = shown_text(run, owner);
    if (!text) {
        return tl::unexpected(text.error());
    }
    config::diagnostics found;
    const std::string name = fmt::format("drbdsetup show {}", owner.name);
    std::shared_ptr<config::document> doc = config::parse_show(name, *text, found);
    if (!found.valid()) {
        return fail(fmt::format("the engine's answer cannot be read, nothing is changed\n{}",
                                found.text()));
    }
    const config::node_identity nobody{{}, [](const config::socket_address&) { return false; }};
    config::select_hosts(*doc, nobody, found);
    for (const auto& one : doc->resources) {
        config::select_peer(*one, std::nullopt, false, found);
    }
    return doc;
}

// Collects the calls; what they refer to lives in the session and in `shown`.
class planner {
public:
    planner(session& run, config::resource& owner, std::shared_ptr<config::document> shown,
            const config::resource* now)
        : run_(run), owner_(owner), shown_(std::move(shown)), now_(now) {}

    void resource(const resource_difference& what) {
        if (what.new_resource) {
            add(stage::prerequisite, "new-resource",
                [](session& run, config::resource& owner) { return make_resource(run, owner); });
        }
        if (what.resource_options) {
            add(stage::resource, "resource-options", [](session& run, config::resource& owner) {
                return call(run, owner, run.backend.new_resource(owner, scope::reset));
            });
        }
    }

    void volume(const volume_difference& what) {
        if (what.detach) {
            add_for_running("detach", *what.running);
        }
        if (what.remove_minor) {
            add_for_running("del-minor", *what.running);
        }
        if (what.add_minor) {
            add_for_wanted(stage::disk_prerequisite, "new-minor", *what.wanted, make_minor);
        }
        if (what.attach) {
            add_for_wanted(stage::disk, "attach", *what.wanted, attach_disk);
        }
        if (what.disk_options) {
            add_for_wanted(
                stage::disk, "disk-options", *what.wanted,
                [](const session& run, const config::resource& owner, const config::volume& row) {
                    return call(run, owner, run.backend.disk_options(row, scope::reset),
                                patience::medium);
                });
        }
        if (what.resize) {
            add_for_wanted(
                stage::disk, "resize", *what.wanted,
                [](const session& run, const config::resource& owner, const config::volume& row) {
                    return resize_disk(run, owner, row, false);
                });
        }
    }

    void net(const resource_difference& what) {
        if (what.disconnect) {
            const auto shown = shown_;
            const config::resource* now = now_;
            add(stage::net_prerequisite, "disconnect",
                [shown, now](session& run, config::resource&) {
                    return call(run, *now, run.backend.disconnect(*now));
                });
        }
        if (what.connect) {
            add(stage::net, "connect",
                [](session& run, config::resource& owner) { return connect_peer(run, owner); });
        }
        if (what.net_options) {
            add(stage::net, "net-options", [](session& run, config::resource& owner) {
                return call(run, owner, run.backend.net_options(owner, scope::reset));
            });
        }
    }

private:
    template <class F>
    void add(stage when, const std::string& name, F what) {
        run_.deferred.add(when, owner_.name, name,
                          [&run = run_, &owner = owner_, what] { return what(run, owner); });
    }

    template <class F>
    void add_for_wanted(stage when, const std::string& name, const config::volume& row, F what) {
        add(when, name,
            [&row, what](session& run, config::resource& owner) { return what(run, owner, row); });
    }

    void add_for_running(const std::string& name, const config::volume& row) {
        const auto shown = shown_;
        add(stage::prerequisite, name, [shown, &row, name](session& run, config::resource& owner) {
            return call(run, owner, run.backend.setup(name, row));
        });
    }

    session& run_;
    config::resource& owner_;
    std::shared_ptr<config::document> shown_; // keeps what the collected calls refer to
    const config::resource* now_;
};

} // namespace

int list_if_adjustable(session& run, const subject& on) {
    const auto shown = running(run, *on.owner);
    if (!shown) {
        fmt::print(stderr, "{}: {}\n", run.request.program, shown.error().text());
        return exit_exec_error;
    }
    if (!compare(*on.owner, (*shown)->find_resource(on.owner->name)).nothing()) {
        fmt::print("{}\n", on.owner->name);
    }
    return 0;
}

int perform_adjust(session& run, const subject& on) {
    auto shown = running(run, *on.owner);
    if (!shown) {
        fmt::print(stderr, "{}: {}\n", run.request.program, shown.error().text());
        return exit_exec_error;
    }
    const config::resource* now = (*shown)->find_resource(on.owner->name);
    const resource_difference what = compare(*on.owner, now);
    planner plan(run, *on.owner, std::move(*shown), now);
    plan.resource(what);
    if (!is_asked(run, "--skip-disk")) {
        for (const volume_difference& row : what.volumes) {
            plan.volume(row);
        }
    }
    if (!is_asked(run, "--skip-net")) {
        plan.net(what);
    }
    return 0;
}

} // namespace lockstep::drbdadm
