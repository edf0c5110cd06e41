// lockstepd: the arbiter of this node with all that is around it. Corosync's group, the state
// directory, the engines and the programs that ask are its rooms; this joins them on one loop.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <qb/qbloop.h>

#include "daemon/arbiter/arbiter.hpp"
#include "daemon/control/server.hpp"
#include "daemon/corosync/cluster_settings.hpp"
#include "daemon/corosync/membership.hpp"
#include "daemon/corosync/process_group.hpp"
#include "daemon/engines/engine_commands.hpp"
#include "daemon/engines/event_stream.hpp"
#include "daemon/loop/timer.hpp"
#include "daemon/resource_table.hpp"
#include "daemon/store/state_directory.hpp"

namespace lockstep::daemon {

using arbiter::node_id;
using arbiter::node_set;

struct daemon_settings {
    std::string state_directory = "/var/lib/lockstepd";
    std::string config_file = "/etc/drbd.conf";
    std::string drbdsetup = "drbdsetup";
    std::string drbdadm = "drbdadm";
    std::uint32_t lease_ms = 500;
    std::uint32_t outdate_limit_ms = 5000;
    bool take_over = false; // from a primary that is gone, without being asked
};

class node_daemon final : arbiter::arbiter_ports,
                          corosync::process_group_user,
                          corosync::membership_user,
                          engines::event_stream_user,
                          control_user {
public:
    // An error: what it needs to begin is not there, and nothing was begun.
    static result<std::unique_ptr<node_daemon>> start(qb_loop_t* loop, daemon_settings settings,
                                                      corosync::cluster_settings cluster);
    ~node_daemon() override;

private:
    // Who asked for a change, and waits until the record says so.
    struct waiting_change {
        client_number who = 0;
        std::string resource; // empty: the cluster's record
        std::function<bool()> done;
    };

    // A fence-peer handler, which waits.
    struct fence_question {
        std::string resource;
        fence_reason reason = fence_reason::peer_lost;
    };

    node_daemon(qb_loop_t* loop, daemon_settings settings, state_directory store,
                corosync::cluster_settings cluster);
    result<> begin();
    result<> serve_resources();
    std::optional<node_id> node_called(const std::vector<std::string>& names) const;

    // arbiter_ports
    void broadcast(const arbiter::message& what) override;
    void store(const arbiter::ledger_state& state) override;
    void committed(const std::string& resource) override;
    void cluster_committed() override;
    void command(const std::string& resource, arbiter::engine_command what) override;
    void answer(const std::string& resource, std::uint64_t request,
                arbiter::fence_answer with) override;
    void keep_dropped(const std::string& resource, bool dropped) override;
    void fence(node_id node) override;
    void set_timer(arbiter::instant when) override;
    arbiter::instant now() const override;
    void problem(const std::string& what) override;

    // corosync::process_group_user; problem() is the same for all
    void configured(const node_set& members) override;
    void alone() override;
    void delivered(node_id from, const_byte_span bytes) override;

    // corosync::membership_user
    void membership(const std::optional<corosync::membership_view>& now) override;

    // engines::event_stream_user
    void facts(const std::string& resource, const engines::engine_facts& now) override;
    void gone(const std::string& resource) override;

    // control_user
    void asked(client_number who, const request& what) override;
    void left(client_number who) override;

    void change_cluster(client_number who, const request& what);
    void create(client_number who, const request& what);
    void want_primary(client_number who, const request& what);
    void fence_asked(client_number who, const request& what);
    void wait_for(client_number who, const std::string& resource, std::function<bool()> done);
    void look_at_waiting();
    void look_at_wishes(const std::string& resource);
    bool is_primary_here(const std::string& resource) const;
    bool is_to_take_over(const configured_resource& its) const;
    void look_at_own_disks(const std::string& resource);
    void refuse(client_number who, const std::string& why);
    void commanded(const std::string& resource, arbiter::engine_command what,
                   const engines::command_end& end);

    // After the arbiter has returned.
    void defer(std::function<void()> what);
    static void run_deferred(void* self);

    qb_loop_t* const loop_;
    const daemon_settings settings_;
    state_directory store_;
    const corosync::cluster_settings cluster_;
    std::map<std::string, configured_resource> resources_;
    std::map<std::string, engines::engine_facts> facts_;
    std::map<client_number, fence_question> fencing_;
    std::map<client_number, std::string> promoting_; // who waits for this node to be primary
    std::set<std::string> wished_;    // resources of which this node is to be primary
    std::set<std::string> outdating_; // done, as the command says, and not seen yet
    std::vector<waiting_change> waiting_;
    std::deque<std::function<void()>> deferred_;
    loop_timer timer_;
    loop_timer store_again_;
    std::map<std::string, std::unique_ptr<loop_timer>> promote_again_; // after one that failed
    std::unique_ptr<arbiter::arbiter> arbiter_;
    std::unique_ptr<corosync::process_group> group_;
    std::unique_ptr<corosync::membership> corosync_; // for the status only
    std::unique_ptr<engines::engine_commands> commands_;
    std::unique_ptr<engines::event_stream> events_;
    std::unique_ptr<control_server> server_;
};

} // namespace lockstep::daemon
