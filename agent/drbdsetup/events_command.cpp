// events2: the events of all engines in one stream. Engines come and go while it runs; the runtime
// directory tells of new ones. An engine that could not tell everything, because what it told was
// not read for too long, tells all that exists once more: printed is what is different by then.
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "agent/drbdsetup/event_text.hpp"
#include "agent/drbdsetup/messages.hpp"
#include "agent/drbdsetup/state_lines.hpp"
#include "agent/drbdsetup/watch_commands.hpp"

namespace lockstep::drbdsetup {

namespace {

using control::event;
using control::event_kind;
using control::event_object;

constexpr std::int64_t snapshot_ms_max = 2000;
constexpr int retry_ms = 250;

std::int64_t wall_clock_us() {
    const auto since = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::microseconds>(since).count();
}

// Notices that something appears below the runtime directory, whichever parts of it exist.
class directory_watch {
public:
    explicit directory_watch(const control::runtime_directory& where)
        : root_(where.root()), descriptor_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
        refresh();
    }
    ~directory_watch() {
        if (descriptor_ >= 0) {
            ::close(descriptor_);
        }
    }
    directory_watch(const directory_watch&) = delete;
    directory_watch& operator=(const directory_watch&) = delete;

    int descriptor() const { return descriptor_; }

    // Also watches what has come into being since.
    void refresh() {
        std::array<char, 4096> ignored;
        while (::read(descriptor_, ignored.data(), ignored.size()) > 0) {
        }
        watch(root_.substr(0, root_.rfind('/') + 1));
        watch(root_);
        watch(root_ + "/resources");
    }
    // The directory of a resource, in which the socket appears.
    void watch(const std::string& path) {
        ::inotify_add_watch(descriptor_, path.c_str(), IN_CREATE | IN_MOVED_TO | IN_ATTRIB);
    }

private:
    std::string root_;
    int descriptor_;
};

// By object and volume.
using objects = std::map<std::string, event>;

// A subscribed engine, and what it has told of.
struct watched {
    client_pointer client;
    objects known;
    std::optional<objects> retold; // while it tells all that exists once more
};

std::string identity(const event& what) {
    return fmt::format("{}/{}", static_cast<int>(what.object), what.volume.value_or(0));
}

bool is_lasting(const event& what) {
    return what.object != event_object::none && what.object != event_object::helper;
}

// Without addresses a connection and its peer devices are listed, but not created or destroyed.
bool comes_and_goes(const event& what) {
    const bool of_peer =
        what.object == event_object::connection || what.object == event_object::peer_device;
    return what.has_connection || !of_peer;
}

bool differ(const event& before, const event& now) {
    return std::any_of(
        now.fields.begin(), now.fields.end(), [&](const control::event_field& field) {
            const auto old = std::find_if(before.fields.begin(), before.fields.end(),
                                          [&](const auto& each) { return each.key == field.key; });
            return !field.statistic && (old == before.fields.end() || old->value != field.value);
        });
}

class event_command {
public:
    explicit event_command(const session& now)
        : now_(now), text_(style_of(now.asked)), watch_(now.nodes.where()) {
        if (now.asked.row->name == "events") {
            old_text_.emplace(now.asked.has("minors-only"));
        }
    }

    int run();

private:
    static event_style style_of(const invocation& asked) {
        event_style style;
        style.timestamps = asked.has("timestamps");
        style.statistics = asked.has("statistics");
        style.full = asked.has("full");
        style.diff = asked.has("diff");
        return style;
    }

    std::vector<std::string> wanted_names() const;
    // Connects to what is new; appends what exists there.
    void join(std::vector<event>& initial);
    result<std::vector<event>> subscribe(watched& engine);
    bool show_initial(std::vector<event> initial);
    bool show(const event& what);
    std::string old_lines(const event& what);
    // Shows all that has arrived; takes engines away that have ended.
    bool drain();
    bool drain(watched& engine, bool& ended);
    bool take(watched& engine, const event& what);
    bool show_differences(watched& engine);
    bool show_end_of(event what);
    bool bury(watched& engine, const std::string& resource);
    bool answer_poll();
    bool wait();

    const session& now_;
    event_text text_;
    std::optional<state_lines> old_text_; // of `events`; else events2
    directory_watch watch_;
    std::map<std::string, watched> engines_;
    // An engine that is about to listen tells nobody when it does: such are asked again.
    bool some_do_not_answer_ = false;
    int exit_code_ = exit_ok;
};

std::vector<std::string> event_command::wanted_names() const {
    std::vector<std::string> all = now_.nodes.names();
    if (now_.asked.object_kind == on_all) {
        return all;
    }
    std::string wanted = now_.asked.object;
    if (now_.asked.object_kind == on_minor) {
        wanted = now_.nodes.where().resource_of_minor(now_.asked.minor).value_or("");
    }
    const bool there = std::find(all.begin(), all.end(), wanted) != all.end();
    return there ? std::vector<std::string>{wanted} : std::vector<std::string>{};
}

void event_command::join(std::vector<event>& initial) {
    watch_.refresh();
    some_do_not_answer_ = false;
    for (const std::string& name : wanted_names()) {
        if (engines_.count(name) != 0) {
            continue;
        }
        watch_.watch(now_.nodes.where().resource_directory(name));
        result<client_pointer> client = now_.nodes.of_resource(name);
        if (!client) {
            some_do_not_answer_ = true;
            if (client.error().code != code_resource_unknown) {
                exit_code_ = now_.refuse(client.error());
            }
            continue;
        }
        watched fresh;
        fresh.client = std::move(*client);
        const result<std::vector<event>> told = subscribe(fresh);
        if (!told) {
            some_do_not_answer_ = true;
            continue;
        }
        initial.insert(initial.end(), told->begin(), told->end());
        engines_.emplace(name, std::move(fresh));
    }
}

result<std::vector<event>> event_command::subscribe(watched& engine) {
    control::request subscription;
    subscription.what = control::command::events;
    subscription.id = 1;
    const result<> sent = engine.client->send(subscription);
    if (!sent) {
        return tl::unexpected<error>(sent.error());
    }
    std::vector<event> told;
    const std::int64_t deadline = now_ms() + snapshot_ms_max;
    for (;;) {
        result<control::server_message> message = engine.client->receive(deadline);
        if (!message) {
            return tl::unexpected<error>(message.error());
        }
        auto* what = std::get_if<event>(&*message);
        if (what == nullptr || what->object == event_object::none) {
            return told;
        }
        engine.known[identity(*what)] = *what;
        told.push_back(std::move(*what));
    }
}

std::string event_command::old_lines(const event& what) {
    const auto engine = engines_.find(what.resource);
    const bool mine =
        now_.asked.object_kind != on_minor || !what.minor || *what.minor == now_.asked.minor;
    if (engine == engines_.end() || !mine) {
        return {};
    }
    objects shown = engine->second.known;
    if (now_.asked.object_kind == on_minor) {
        std::erase_if(shown, [&](const auto& each) {
            return each.second.minor && *each.second.minor != now_.asked.minor;
        });
    }
    return old_text_->lines(what, shown);
}

bool event_command::show(const event& what) {
    const std::string line = old_text_ ? old_lines(what) : text_.line(what);
    return line.empty() || now_.terminal.print(line);
}

// All resources first, then all connections, and so on, as the kernel has it.
bool event_command::show_initial(std::vector<event> initial) {
    std::stable_sort(initial.begin(), initial.end(),
                     [](const event& a, const event& b) { return a.object < b.object; });
    for (const event& each : initial) {
        if (!show(each)) {
            return false;
        }
    }
    event end;
    end.time_us = wall_clock_us();
    return show(end);
}

bool event_command::drain(watched& engine, bool& ended) {
    for (;;) {
        result<std::optional<control::server_message>> message = engine.client->take_arrived();
        if (message && !*message) {
            message = engine.client->take_available();
        }
        if (!message) {
            ended = true;
            return true;
        }
        if (!*message) {
            return true;
        }
        const auto* what = std::get_if<event>(&**message);
        if (what == nullptr) {
            continue;
        }
        if (!take(engine, *what)) {
            return false;
        }
    }
}

bool event_command::take(watched& engine, const event& what) {
    if (what.kind == event_kind::exists) {
        if (!engine.retold) {
            engine.retold.emplace();
        }
        if (is_lasting(what)) {
            (*engine.retold)[identity(what)] = what;
            return true;
        }
        return show_differences(engine);
    }
    if (is_lasting(what) && what.kind == event_kind::destroy) {
        engine.known.erase(identity(what));
    } else if (is_lasting(what)) {
        engine.known[identity(what)] = what;
    }
    return show(what);
}

bool event_command::show_differences(watched& engine) {
    const objects before = std::exchange(engine.known, std::move(*engine.retold));
    engine.retold.reset();
    for (auto each = before.rbegin(); each != before.rend(); ++each) {
        const auto still = engine.known.find(each->first);
        const bool gone = still == engine.known.end() || !comes_and_goes(still->second);
        if (gone && !show_end_of(each->second)) {
            return false;
        }
    }
    for (const auto& [id, each] : engine.known) {
        const auto old = before.find(id);
        const bool fresh = old == before.end() || !comes_and_goes(old->second);
        event now = each;
        now.kind = fresh ? event_kind::create : event_kind::change;
        const bool worth_telling = fresh || differ(old->second, now);
        if (comes_and_goes(now) && worth_telling && !show(now)) {
            return false;
        }
    }
    return true;
}

bool event_command::show_end_of(event what) {
    if (!comes_and_goes(what)) {
        return true;
    }
    what.kind = event_kind::destroy;
    what.time_us = wall_clock_us();
    what.fields.clear();
    return show(what);
}

// What an engine that has ended did not say good-bye to is gone with it.
bool event_command::bury(watched& engine, const std::string& resource) {
    for (auto each = engine.known.rbegin(); each != engine.known.rend(); ++each) {
        if (!show_end_of(each->second)) {
            return false;
        }
    }
    engines_.erase(resource);
    return true;
}

bool event_command::drain() {
    std::vector<std::string> names;
    for (const auto& [name, engine] : engines_) {
        names.push_back(name);
    }
    for (const std::string& name : names) {
        watched& engine = engines_.at(name);
        bool ended = false;
        if (!drain(engine, ended) || (ended && !bury(engine, name))) {
            return false;
        }
    }
    return true;
}

// --poll: a line "n" on standard input asks for all that exists; its end ends the command.
bool event_command::answer_poll() {
    std::array<char, 256> asked;
    const ssize_t got = ::read(now_.terminal.input_descriptor(), asked.data(), asked.size());
    if (got <= 0) {
        return false;
    }
    if (std::find(asked.begin(), asked.begin() + got, 'n') == asked.begin() + got) {
        return true;
    }
    std::vector<event> all;
    for (const auto& [name, engine] : engines_) {
        for (const auto& [id, each] : engine.known) {
            all.push_back(each);
            all.back().kind = event_kind::exists;
        }
    }
    text_.forget();
    return show_initial(std::move(all));
}

// Until there is something to read. False if nobody listens any more.
bool event_command::wait() {
    std::vector<pollfd> waiting;
    waiting.push_back({now_.terminal.output_descriptor(), 0, 0});
    const bool polls = now_.asked.has("poll");
    waiting.push_back({polls ? now_.terminal.input_descriptor() : -1, POLLIN, 0});
    waiting.push_back({watch_.descriptor(), POLLIN, 0});
    for (const auto& [name, engine] : engines_) {
        waiting.push_back({engine.client->descriptor(), POLLIN, 0});
    }
    if (::poll(waiting.data(), waiting.size(), some_do_not_answer_ ? retry_ms : -1) < 0) {
        return true;
    }
    if ((waiting[0].revents & (POLLERR | POLLHUP)) != 0) {
        return false;
    }
    return waiting[1].revents == 0 || answer_poll();
}

int event_command::run() {
    std::vector<event> initial;
    join(initial);
    if (!show_initial(std::move(initial)) || now_.asked.has("now")) {
        return exit_code_;
    }
    while (wait()) {
        if (!drain()) {
            break;
        }
        std::vector<event> fresh;
        join(fresh);
        for (event& each : fresh) {
            each.kind = event_kind::create;
            if (comes_and_goes(each) && !show(each)) {
                return exit_code_;
            }
        }
    }
    return exit_code_;
}

} // namespace

int run_events(const session& now) {
    return event_command(now).run();
}

} // namespace lockstep::drbdsetup
