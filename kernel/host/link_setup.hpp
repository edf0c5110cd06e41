// How two nodes that both listen and both connect end up with one data and one meta connection.
// Sans I/O: events come in, effects go out through `outside`. Compatible with the in-kernel DRBD
// (Linux 6.1 drivers/block/drbd/drbd_receiver.c, conn_connect()).
//
//   phase       means
//   idle        nothing is wanted, or both connections were handed over
//   attempting  an own connection is under way
//   waiting     this round's own attempt is over; the peer's is awaited for connect-int
//   checking    both connections stand; a moment later it is seen whether they still do
//
//   event           idle    attempting            waiting              checking
//   begin           -> att. begins anew           begins anew          begins anew
//   end             -       -> idle               -> idle              -> idle
//   attempt ok      close   slot, -> wait/check   close                close
//   attempt failed  -       -> waiting            -                    -
//   accepted        close   read first packet     same                 same
//   first packet    close   slot or cross (1)     slot or cross (2)    cross: check anew
//   no first packet -       close, say so         same                 same
//   timer           -       give up -> waiting    -> attempting        both alive: done,
//                                                                      else -> attempting
//
// Slots: an own connection becomes data if there is none, else meta (the first packet that it sends
// says so). One of the peer's says what it is in its first packet; if that slot is taken, the two
// have crossed: the older one is closed and the peer's taken, as the in-kernel DRBD does. If both
// nodes do that neither connection survives. Therefore one of the two (keeps_own) closes the
// peer's and keeps its own, if that is a fresh one.
// (1) Filling a slot leaves the attempt under way; if both are then filled it is given up, ->
// checking. (2) Both filled: -> checking. One filled: -> attempting, at once. Crossed: one time out
// of two
//     wait again, else -> attempting, so that two nodes do not cross for ever.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "kernel/host/event_loop.hpp"
#include "kernel/host/rate_limit.hpp"
#include "kernel/replica/ports.hpp"

namespace lockstep::host {

// A connection, as the host numbers it. Never used twice in the life of an engine.
using socket_id = std::uint64_t;
constexpr socket_id no_socket = 0;

// What a first packet may say: header 0x83740267, command 0xfff1 or 0xfff2, length 0.
constexpr std::size_t first_packet_bytes = 8;
enum class first_packet : std::uint8_t { data, meta, garbage };
first_packet read_first_packet(const std::array<std::byte, first_packet_bytes>& bytes);
std::array<std::byte, first_packet_bytes> make_first_packet(replica::channel which);

struct link_timing {
    instant connect_interval = 10 * second;  // connect-int
    instant first_packet_limit = 2 * second; // 4 x ping-timeout
    instant check_delay = 500 * millisecond; // ping-timeout, or socket-check-timeout
    bool keeps_own = false;                  // when connections cross; true on one of the two nodes
};

class link_setup {
public:
    class outside {
    public:
        virtual ~outside() = default;
        // Connect to the peer; ends in attempt_succeeded() or attempt_failed(), later, unless
        // cancelled.
        virtual void start_attempt() = 0;
        virtual void cancel_attempt() = 0;
        // Ends in first_packet_came() or first_packet_failed(), later, unless closed before.
        virtual void read_first(socket_id socket, instant limit) = 0;
        virtual void send_first(socket_id socket, replica::channel which) = 0;
        virtual void close(socket_id socket) = 0;
        // Neither closed nor broken, as far as one can see without waiting.
        virtual bool alive(socket_id socket) = 0;
        // The one timer: replaces the one before; `never`: none. Ends in expired().
        virtual void set_timer(instant delay) = 0;
        virtual std::uint64_t random_number() = 0;
        virtual instant now() = 0;
        virtual void log(replica::log_level level, std::string_view text) = 0;
        // Both are the outside's now; link_setup is idle.
        virtual void established(socket_id data, socket_id meta, bool resolve_conflicts) = 0;
    };

    explicit link_setup(outside& world) : world_(world) {}

    void begin(const link_timing& timing);
    // Closes all that it has.
    void end();

    void attempt_succeeded(socket_id socket);
    void attempt_failed(int error);
    void accepted(socket_id socket);
    void first_packet_came(socket_id socket, first_packet what);
    // error: errno value; ETIMEDOUT: nothing came in time; 0: closed before it came.
    void first_packet_failed(socket_id socket, int error);
    void expired();

    enum class phase : std::uint8_t { idle, attempting, waiting, checking };
    phase current() const { return phase_; }

private:
    static constexpr std::size_t greeting_max = 8;

    struct slot {
        socket_id socket = no_socket;
        bool own = false;
        instant since = 0;
    };
    slot& of(replica::channel which) { return slots_[static_cast<std::size_t>(which)]; }
    bool both() const { return slots_[0].socket != no_socket && slots_[1].socket != no_socket; }
    void close_slot(slot& which);
    void attempt();
    void wait();
    void check();
    void finish();
    void file(socket_id socket, replica::channel which);
    bool keeps(const slot& mine);
    void go_on(bool crossed);
    bool forget_greeting(socket_id socket);
    void complain(const char* what, int error);

    outside& world_;
    link_timing timing_;
    phase phase_ = phase::idle;
    std::array<slot, 2> slots_;
    // Connections of the peer whose first packet is awaited, oldest first.
    std::array<socket_id, greeting_max> greeting_{};
    std::size_t greeting_count_ = 0;
    bool resolve_conflicts_ = false;
    int told_error_ = 0; // the reason for failed attempts that was logged last
    rate_limit complaints_;
};

} // namespace lockstep::host
