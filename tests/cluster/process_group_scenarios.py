"""What a daemon is told of the others, by the room daemon/corosync, on three nodes that run corosync.

    process_group_scenarios.py STAGE PROBE     prints TAP
"""

import json
import sys

from corosync_nodes import TOKEN, CorosyncCluster, Lines
from nodes import Failed, main, run_scenarios, until

MESSAGES = 1000
OPTIONS = ("two_node", "wait_for_all", "last_man_standing", "auto_tie_breaker", "allow_downscale",
           "device")


def expect(condition, what):
    if not condition:
        raise Failed(what)


class Group:
    """A probe on each node."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.alpha, self.beta, self.gamma = cluster.nodes
        self.probes = {}
        self.pids = {}

    def start_probe(self, node):
        self.probes[node] = probe = Lines(node.command("corosync_probe"))
        self.pids[node] = probe.wait(lambda line: line.startswith("pid "))[-1].split()[1]
        return probe

    def start_second(self, node):
        """Another one beside it."""
        probe = Lines(node.command("corosync_probe"))
        probe.wait(lambda line: line.startswith("pid "))
        return probe

    def all_configured(self, members="1,2,3"):
        for probe in self.probes.values():
            probe.wait(f"configured {members}")

    def all_say(self, line, text, count):
        """All at once say line(node), which is to be delivered as text(node, 1) to text(node, count):
        everywhere in one order, and what one node said as it was said."""
        for node, probe in self.probes.items():
            probe.say(line(node))
        orders = []
        for probe in self.probes.values():
            order = []
            while len(order) < len(self.probes) * count:
                order += probe.wait(lambda line: line.startswith("delivered "))[-1:]
            orders.append(order)
        expect(orders[0] == orders[1] == orders[2], "not the same order everywhere")
        for node in self.probes:
            prefix = f"delivered {node.id} "
            own = [line.removeprefix(prefix) for line in orders[0] if line.startswith(prefix)]
            expect(own == [text(node, number) for number in range(1, count + 1)],
                   f"not what node {node.id} said: {own[:5]}")


def configurations(lines):
    return [line for line in lines if line.startswith("configured ")]


def three_join_and_all_see_three(group):
    for node in group.cluster.nodes:
        group.start_probe(node)
    for probe in group.probes.values():
        probe.wait_each("configured 1,2,3", "membership quorate 1,2,3")


def the_settings_are_those_of_corosync_conf(group):
    seen = json.loads(group.beta.run("corosync_probe", "settings"))
    expect(seen["self"] == 2, f"its own id: {seen}")
    expect(seen["name"] == group.cluster.hub, f"the cluster's name: {seen}")
    expect(seen["token"] == TOKEN, f"the token: {seen}")
    expect(seen["nodes"] == [[node.id, node.name, node.address, 1] for node in group.cluster.nodes],
           f"the nodes: {seen}")
    expect(seen["provider"] == "corosync_votequorum", f"the provider: {seen}")
    expect([name for name in OPTIONS if seen[name]] == ["wait_for_all"], f"quorum: {seen}")


def messages_of_all_at_once_come_in_one_order(group):
    group.all_say(lambda node: f"broadcast {MESSAGES} m{node.id}",
                  lambda node, number: f"m{node.id}-{number}", MESSAGES)


def more_than_corosync_takes_at_once_comes_too(group):
    # Its buffer holds 1 MiB.
    group.all_say(lambda node: f"large 40 {200000 + 1000 * node.id}",
                  lambda node, number: f"{200000 + 1000 * node.id + number} bytes", 40)


def what_corosync_never_takes_is_a_problem(group):
    probe = group.probes[group.alpha]
    probe.say("large 1 2000000")
    probe.wait(lambda line: line.startswith("problem a message of 2000001 bytes is not sent"))
    probe.say("broadcast 1 after")
    for each in group.probes.values():
        each.wait("delivered 1 after-1")


def a_probe_that_is_started_again_makes_two_configurations(group):
    others = (group.probes[group.alpha], group.probes[group.beta])
    group.gamma.kill(group.pids[group.gamma])
    for probe in others:
        probe.wait("configured 1,2")
    group.start_probe(group.gamma).wait("configured 1,2,3")
    for probe in others:
        passed = probe.wait("configured 1,2,3")
        expect(len(configurations(passed)) == 1, f"more configurations than one: {passed}")


def a_restart_that_nobody_waits_for_is_seen_too(group):
    others = (group.probes[group.alpha], group.probes[group.beta])
    group.gamma.shell(f"kill -KILL {group.pids[group.gamma]}")
    group.start_probe(group.gamma).wait("configured 1,2,3")
    for probe in others:
        passed = configurations(probe.wait("configured 1,2,3"))
        expect(passed == ["configured 1,2", "configured 1,2,3"], f"not two configurations: {passed}")
    expect(not any("another process" in line for line in group.probes[group.gamma].all),
           "the one before it was taken for a second daemon")


def a_second_daemon_of_a_node_stays_out_and_says_so(group):
    second = group.start_second(group.beta)
    said = second.wait(lambda line: line.startswith("problem another process of this node"))
    expect(f"pid {group.pids[group.beta]})" in said[-1], f"not which: {said}")
    expect(not configurations(said), f"it came in: {said}")
    # When the first has ended the second takes its place.
    group.probes[group.beta].close()
    second.wait("configured 1,2,3")
    group.probes[group.beta] = second
    for node in (group.alpha, group.gamma):
        passed = group.probes[node].wait("configured 1,2,3")
        expect(configurations(passed) == ["configured 1,3", "configured 1,2,3"], f"{passed}")


def a_node_that_is_cut_off_sees_itself_alone(group):
    group.gamma.link(False)
    for node in (group.alpha, group.beta):
        group.probes[node].wait_each("configured 1,2", "membership quorate 1,2")
    group.probes[group.gamma].wait_each("configured 3", "membership inquorate 3")


def healed_all_three_are_there_again(group):
    group.gamma.link(True)
    for probe in group.probes.values():
        probe.wait_each("configured 1,2,3", "membership quorate 1,2,3")
    group.probes[group.gamma].say("broadcast 1 back")
    for probe in group.probes.values():
        probe.wait("delivered 3 back-1")


def a_corosync_that_stood_still_is_told_that_it_was_away(group):
    group.gamma.pause_corosync(True)
    for node in (group.alpha, group.beta):
        group.probes[node].wait_each("configured 1,2", "membership quorate 1,2")
    # More than fits into its buffer: the daemon must not wait for it.
    probe = group.probes[group.gamma]
    probe.say("large 40 200000")
    probe.say("still there?")
    probe.wait("problem not understood: still there?", 5)
    group.gamma.pause_corosync(False)
    expected = [f"delivered 3 {200000 + number} bytes" for number in range(1, 41)]
    probe.wait_each("configured 1,2,3", *expected)
    for node in (group.alpha, group.beta):
        group.probes[node].wait("configured 1,2,3")


def corosync_killed_is_alone_and_joined_again_after_its_restart(group):
    probe = group.probes[group.beta]
    group.beta.kill_corosync()
    probe.wait_each("alone", "membership gone", seconds=5)
    # Sent while alone: nobody gets it.
    probe.say("broadcast 1 lost")
    probe.wait(lambda line: line.startswith("problem can't join"))
    for node in (group.alpha, group.gamma):
        group.probes[node].wait("configured 1,3")
    done = group.beta.try_run("corosync_probe", "settings")
    expect(done.returncode == 1 and "start corosync on this node" in done.stdout,
           f"settings without corosync: {done.stdout}")
    group.beta.start_corosync()
    for each in group.probes.values():
        each.wait_each("configured 1,2,3", "membership quorate 1,2,3")
    probe.say("broadcast 1 again")
    for each in group.probes.values():
        passed = each.wait("delivered 2 again-1")
        expect(not any("lost" in line for line in passed), f"sent while alone: {passed}")


def probes_end_when_they_are_told_to(group):
    for probe in group.probes.values():
        probe.close()


def each_option_of_the_quorum_is_read(group):
    asked = {
        "two_node: 1\n wait_for_all: 0": {"two_node"},
        "auto_tie_breaker: 1\n last_man_standing: 1\n wait_for_all: 1":
            {"auto_tie_breaker", "last_man_standing", "wait_for_all"},
        "allow_downscale: 1": {"allow_downscale"},
        "device {\n model: net\n votes: 1\n net {\n host: localhost\n }\n }": {"device"},
    }
    for text, wanted in asked.items():
        group.alpha.kill_corosync()
        group.alpha.write("/etc/corosync/corosync.conf", group.cluster.configuration(text))
        group.alpha.start_corosync()
        until(lambda: group.alpha.try_run("corosync_probe", "settings").returncode == 0,
              f"settings with {text}")
        seen = json.loads(group.alpha.run("corosync_probe", "settings"))
        expect({name for name in OPTIONS if seen[name]} == wanted, f"with {text}: {seen}")
        expect(seen["device"] == ("net" if "device" in wanted else ""), f"the device: {seen}")


def scenarios():
    stage, probe = sys.argv[1:]
    with CorosyncCluster("group", stage, ("alpha", "beta", "gamma"), "wait_for_all: 1",
                         programs=(probe,)) as cluster:
        cluster.start()
        return run_scenarios([
            three_join_and_all_see_three,
            the_settings_are_those_of_corosync_conf,
            messages_of_all_at_once_come_in_one_order,
            more_than_corosync_takes_at_once_comes_too,
            what_corosync_never_takes_is_a_problem,
            a_probe_that_is_started_again_makes_two_configurations,
            a_restart_that_nobody_waits_for_is_seen_too,
            a_second_daemon_of_a_node_stays_out_and_says_so,
            a_node_that_is_cut_off_sees_itself_alone,
            healed_all_three_are_there_again,
            a_corosync_that_stood_still_is_told_that_it_was_away,
            corosync_killed_is_alone_and_joined_again_after_its_restart,
            probes_end_when_they_are_told_to,
            each_option_of_the_quorum_is_read,
        ], Group(cluster))


if __name__ == "__main__":
    main(scenarios)
