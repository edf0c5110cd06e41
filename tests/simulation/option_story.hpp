// A pair whose options differ from the defaults, for the stories that show what an option does:
// each runs the same course with two values, and what a user sees differs.
#pragma once

#include <array>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "kernel/wire/stream.hpp"
#include "world.hpp"

// Last: it makes a macro of the name fail.
#include "unit/cmocka.hpp"

namespace lockstep::simulation {

inline node_settings small_pair() {
    node_settings settings;
    settings.device_sectors = 16384; // 8 MiB
    settings.disk.c_max_rate_kib = 1 << 20;
    return settings;
}

// Counts the packets that the nodes send on their data connections, by command.
class packet_tap {
public:
    explicit packet_tap(world& of) : of_(of) {
        of.net.tamper = [this](unsigned side, replica::channel which, auto& bytes) {
            if (which == replica::channel::data) {
                look(side, bytes);
            }
            if (on_data && which == replica::channel::data) {
                on_data(side, bytes);
            }
        };
    }
    ~packet_tap() { of_.net.tamper = nullptr; }
    packet_tap(const packet_tap&) = delete;
    packet_tap& operator=(const packet_tap&) = delete;

    struct sum {
        std::uint64_t packets = 0;
        std::uint64_t bytes = 0;
    };
    std::array<std::map<wire::command, sum>, 2> sent;
    // After counting; may change the bytes.
    std::function<void(unsigned side, std::vector<std::byte>& bytes)> on_data;

    std::uint64_t packets(unsigned side, wire::command code) { return sent[side][code].packets; }

private:
    void look(unsigned side, const_byte_span bytes) {
        wire::packet_stream& stream = streams_[side];
        for (bool again = false;;) {
            const const_byte_span before = bytes;
            const auto step = stream.take(bytes);
            if (!step) {
                // The versions have crossed: what follows is in the newest form.
                assert_false(again);
                again = true;
                stream.restart(wire::socket_kind::data);
                stream.set_rules({wire::version_max, wire::feature::all});
                bytes = before;
                continue;
            }
            using kind = wire::packet_stream::step;
            if (*step == kind::more) {
                return;
            }
            if (*step == kind::data) {
                stream.skip_data();
            } else {
                sum& into = sent[side][stream.head().code];
                ++into.packets;
                into.bytes += stream.head().length;
            }
        }
    }

    world& of_;
    std::array<wire::packet_stream, 2> streams_{wire::packet_stream(wire::socket_kind::data),
                                                wire::packet_stream(wire::socket_kind::data)};
};

struct story : world {
    explicit story(const node_settings& settings = small_pair(), std::uint64_t seed = 1)
        : world(seed, settings) {
        for (auto& each : nodes) {
            each->on_log = [this](unsigned from, std::string_view text) {
                log[from] += std::string(text) + "\n";
                if (std::getenv("SIMULATION_VERBOSE") != nullptr) {
                    print_message("%10.6f %c %.*s\n", static_cast<double>(events.now()) / 1e9,
                                  from == 0 ? 'A' : 'B', static_cast<int>(text.size()),
                                  text.data());
                }
            };
            for (volume_number number = 0; number < settings.volumes; ++number) {
                create_metadata(each->metadata_at(number));
            }
            each->start();
        }
    }

    std::array<std::string, 2> log;

    bool logged(unsigned side, std::string_view what) const {
        return log[side].find(what) != std::string::npos;
    }
    replica::volume_status status(unsigned side, volume_number volume = 0) const {
        return nodes[side]->status().volumes[volume];
    }
    state::connection connection(unsigned side) const { return status(side).state.connection; }
    state::disk disk_of(unsigned side) const { return status(side).state.disk; }

    void check(bool condition, const char* what) const {
        if (!condition || !failure().empty()) {
            print_message("not so: %s %s\nA: %s\nB: %s\n", what, failure().c_str(),
                          describe(0).c_str(), describe(1).c_str());
            fail_msg("see above");
        }
    }
    void wait(const std::function<bool()>& condition, const char* what,
              instant limit = 120 * second) {
        check(run_until(condition, limit), what);
    }
    // How long it takes, in seconds.
    double time_until(const std::function<bool()>& condition, const char* what) {
        const instant before = events.now();
        wait(condition, what);
        return static_cast<double>(events.now() - before) / 1e9;
    }

    void attach_both() { check(attach(0) && attach(1), "both attach"); }
    void up() {
        attach_both();
        connect_both();
        wait([this] { return connection(0) == state::connection::connected; }, "connected");
    }
    void sync() {
        check(primary(0, true), "primary --force");
        check(wait_in_sync(), "the first sync ends");
        run_for(second);
    }
    void up_and_synced() {
        up();
        sync();
    }
    // Both disks are said to be equal, which they are.
    void up_without_sync() {
        up();
        const auto said = run([this](replica::on_outcome done) {
            nodes[0]->machine().new_current_uuid(0, true, std::move(done));
        });
        check(said.ok && wait_in_sync(), "the first sync is skipped");
    }
    void write_one(unsigned side, std::uint64_t first, std::uint64_t sectors = 8) {
        write(side, 0, first, sectors);
        wait([this] { return quiet(); }, "the write ends");
        assert_int_equal(writes_failed, 0);
    }
    void converge() {
        check(wait_in_sync(), "in sync again");
        check_converged();
        check(true, "converged");
    }
    // One after the other, each waited for, over the first `range` sectors.
    void some_writes(unsigned side, unsigned count, std::uint64_t range = 4096) {
        for (unsigned index = 0; index < count; ++index) {
            write(side, 0, 8 * random.below(range / 8), 8);
            wait([this] { return quiet(); }, "the write ends");
        }
        assert_int_equal(writes_failed, 0);
    }
};

} // namespace lockstep::simulation
