"""Three nodes with corosync and lockstepd, two of them with a disk: who may be primary is decided by
the majority, and a node that dies is replaced by the one that has everything.

    daemon_scenarios.py STAGE     prints TAP
"""

import json
import sys

from corosync_nodes import CorosyncCluster, Lines
from nodes import Failed, main, resource_text, run_scenarios, until
from pair import expect

DISK = 24 << 20
FENCING = "fencing resource-and-stonith;"
HANDLERS = 'fence-peer "lockstep fence-peer";'
DEVICE = "/dev/drbd0"


def is_in_group(line):
    """... the daemons of nodes 1 2 are here"""
    return "the daemons of nodes" in line


class Daemons:
    def __init__(self, cluster):
        self.cluster = cluster
        self.alpha, self.beta, self.gamma = cluster.nodes
        self.running = {}
        self.text = resource_text("r0", [self.alpha, self.beta], handlers=HANDLERS,
                                  disk_options=FENCING, net="ping-int 1; ping-timeout 5;")

    def start_daemon(self, node, *options):
        self.running[node] = Lines(node.command("lockstepd", "--log-to-stderr", *options))
        self.running[node].wait(is_in_group)

    def start(self, node):
        """Power on, all that is started at boot, and the engine where there is a disk."""
        if not node.is_up:
            node.start()
            node.start_corosync()
        self.start_daemon(node)
        if node.disks:
            node.run("drbdadm", "up", "r0")

    def kill_daemon(self, node):
        node.run("sh", "-c", "kill -KILL $(pidof lockstepd)")
        self.running.pop(node).process.wait(10)

    def power_off(self, node):
        node.power_off()
        self.running.pop(node)

    def status(self, node):
        return json.loads(node.run("lockstep", "status", "--json"))

    def resource(self, node):
        return next(each for each in self.status(node)["resources"] if each["name"] == "r0")

    def until_record(self, node, **wanted):
        """The record, as the daemon of the node has it."""
        def reached():
            record = self.resource(node).get("record", {})
            return all(record.get(key.replace("_", "-")) == value for key, value in wanted.items())
        until(reached, f"the record is {wanted}", 30)

    def write(self, node, mib):
        node.run("dd", "if=/dev/urandom", f"of={DEVICE}", "bs=1M", f"count={mib}", "oflag=direct",
                 "conv=fsync")

    def checksum(self, node):
        return node.run("sh", "-c", f"dd if={DEVICE} bs=1M iflag=direct status=none | sha256sum")


def a_majority_makes_the_record(it):
    for node in it.cluster.nodes:
        node.write("/etc/drbd.conf", it.text)
        it.start_daemon(node)
    refused = it.alpha.try_run("lockstep", "create", "r0")
    expect(refused.returncode == 1 and "lockstep init" in refused.stdout, refused.stdout)
    it.alpha.run("lockstep", "init")
    it.alpha.run("lockstep", "add-node", "2")
    it.alpha.run("lockstep", "add-node", "3")
    it.gamma.run("lockstep", "create", "r0", "--in-sync", "1")
    until(lambda: len(it.status(it.beta).get("nodes", ())) == 3, "beta knows all nodes")
    it.until_record(it.beta, primary=None, in_sync=[1])


def the_first_sync_puts_the_peer_into_the_set(it):
    for node in (it.alpha, it.beta):
        node.run("drbdadm", "--force", "create-md", "r0")
        node.run("drbdadm", "up", "r0")
    it.alpha.wait_for("Connected")
    it.alpha.run("drbdadm", "primary", "--force", "r0")
    it.until_record(it.gamma, primary=1, in_sync=[1, 2])
    it.write(it.alpha, 4)


def a_primary_goes_on_without_a_dead_peer(it):
    it.power_off(it.beta)
    it.write(it.alpha, 2)
    it.until_record(it.alpha, primary=1, in_sync=[1])
    it.start(it.beta)
    it.until_record(it.gamma, primary=1, in_sync=[1, 2])


def the_survivor_is_promoted_with_every_byte(it):
    it.write(it.alpha, 8)
    before = it.checksum(it.alpha)
    it.power_off(it.alpha)
    it.beta.run("lockstep", "promote", "r0")
    it.until_record(it.gamma, primary=2, in_sync=[2])
    expect(it.checksum(it.beta) == before, "what was acknowledged is there")
    it.write(it.beta, 1)


def the_dead_primary_comes_back_as_a_secondary(it):
    it.start(it.alpha)
    it.until_record(it.gamma, primary=2, in_sync=[1, 2])
    waiting = Lines(it.alpha.command("lockstep", "--wait", "4", "promote", "r0"))
    until(lambda: it.resource(it.alpha)["waits-for"] == "other-primary", "alpha says why it waits")
    expect(waiting.process.wait(20) == 1, "alpha is not promoted beside beta")
    until(lambda: it.resource(it.alpha)["waits-for"] == "not-wanted", "and the wish is forgotten")


def a_minority_promotes_nothing(it):
    it.alpha.run("lockstep", "demote", "r0")
    it.alpha.link(False)
    it.write(it.beta, 1)
    it.until_record(it.gamma, primary=2, in_sync=[2])
    until(lambda: not it.status(it.alpha)["majority"], "alpha has no majority")
    until(lambda: it.status(it.alpha)["corosync"] == {"quorate": False, "nodes": [1]},
          "corosync says the same")
    expect(it.status(it.gamma)["corosync"] == {"quorate": True, "nodes": [2, 3]}, "and there")
    refused = it.alpha.try_run("lockstep", "--wait", "3", "promote", "r0")
    expect(refused.returncode == 1, "alpha is not promoted")
    expect(it.resource(it.alpha)["waits-for"] == "no-majority", "and says why")
    expect("Secondary/" in it.alpha.run("drbdadm", "role", "r0"), "alpha is Secondary")
    it.alpha.run("lockstep", "demote", "r0")
    it.alpha.link(True)
    it.until_record(it.gamma, primary=2, in_sync=[1, 2])


def daemons_and_corosync_die_and_services_go_on(it):
    for node in it.cluster.nodes:
        it.kill_daemon(node)
        node.kill_corosync()
    it.write(it.beta, 1)
    for node in it.cluster.nodes:
        node.start_corosync()
        it.start_daemon(node)
    it.until_record(it.alpha, primary=2, in_sync=[1, 2])
    expect("Primary/" in it.beta.run("drbdadm", "role", "r0"), "beta is Primary")
    it.write(it.beta, 1)


def a_primary_without_a_majority_freezes(it):
    it.beta.link(False)
    until(lambda: "suspended:fencing" in it.beta.run("drbdsetup", "status", "r0", "--verbose")
          or "frozen" in it.beta.run("drbdsetup", "status", "r0", "--verbose"), "beta is frozen")
    until(lambda: not it.status(it.beta)["majority"], "beta has no majority")
    it.alpha.run("lockstep", "promote", "r0")
    it.until_record(it.gamma, primary=1, in_sync=[1])
    it.write(it.alpha, 1)
    it.beta.link(True)
    until(lambda: not it.resource(it.beta)["engine"]["primary"], "beta is demoted", 60)
    it.until_record(it.gamma, primary=1, in_sync=[1, 2])


def a_survivor_takes_over_by_itself(it):
    for node in it.cluster.nodes:
        it.kill_daemon(node)
        it.start_daemon(node, "--take-over")
    it.until_record(it.gamma, primary=1, in_sync=[1, 2])
    it.write(it.alpha, 2)
    before = it.checksum(it.alpha)
    it.power_off(it.alpha)
    it.until_record(it.gamma, primary=2, in_sync=[2])
    until(lambda: "Primary/" in it.beta.run("drbdadm", "role", "r0"), "beta is Primary")
    expect(it.checksum(it.beta) == before, "what was acknowledged is there")
    it.write(it.beta, 1)


def a_demotion_by_hand_is_not_fought(it):
    it.beta.run("drbdadm", "secondary", "r0")
    it.until_record(it.gamma, primary=None, in_sync=[2])
    it.start(it.alpha)
    it.until_record(it.gamma, primary=None, in_sync=[1, 2])
    it.kill_daemon(it.gamma)
    it.start_daemon(it.gamma)
    it.until_record(it.gamma, primary=None, in_sync=[1, 2])
    expect(it.beta.run("drbdadm", "role", "r0").split() == ["Secondary/Secondary"], "both are")


def run(stage):
    with CorosyncCluster("daemon", stage, ("alpha", "beta", "gamma"),
                         environment=["LOCKSTEP_ENGINE_OPTIONS=--log=/var/log/engine.log"]) as cluster:
        for node in cluster.nodes[:2]:
            node.add_disk("sdb1", DISK)
        cluster.start()
        it = Daemons(cluster)
        bad = run_scenarios([
            a_majority_makes_the_record,
            the_first_sync_puts_the_peer_into_the_set,
            a_primary_goes_on_without_a_dead_peer,
            the_survivor_is_promoted_with_every_byte,
            the_dead_primary_comes_back_as_a_secondary,
            a_minority_promotes_nothing,
            daemons_and_corosync_die_and_services_go_on,
            a_primary_without_a_majority_freezes,
            a_survivor_takes_over_by_itself,
            a_demotion_by_hand_is_not_fought,
        ], it)
        if bad:
            for node, lines in it.running.items():
                while lines.next(0.1):
                    pass
                print(f"# lockstepd of {node.name}:", *lines.all, sep="\n#   ")
                for words in (("drbdsetup", "status", "--verbose"),
                              ("tail", "-n", "60", "/var/log/engine.log")):
                    print("#", node.try_run(*words).stdout.replace("\n", "\n#   "))
        return 1 if bad else 0


if __name__ == "__main__":
    main(lambda: run(sys.argv[1]))
