"""Handlers from end to end (engine, keeper, drbdadm, shell), and failing disks, on real nodes: alpha's
data disk and its metadata disk can be made to fail.

    handler_scenarios.py STAGE     prints TAP
"""

import subprocess
import sys

from nodes import Cluster, main, run_scenarios, until
from pair import DISK, Pair, ended, expect

LOG = "/tmp/engine.log"
# Records how it was called; what it then does the test decides while it runs.
RECORDER = r"""#!/bin/sh
# DRBD_FENCE_REASON and all else goes into a file of the call's own.
env > /tmp/called.$1.part
mv /tmp/called.$1.part /tmp/called.$1
test -e /tmp/waits.$1 && while test ! -e /tmp/goes.$1; do sleep 0.05; done
test -e /tmp/dies.$1 && kill -9 $$
test -e /tmp/code.$1 && exit "$(cat /tmp/code.$1)"
exit 0
"""
NAMES = ("fence-peer", "unfence-peer", "before-resync-target", "after-resync-target",
         "before-resync-source", "local-io-error", "initial-split-brain", "split-brain",
         "pri-on-incon-degr", "pri-lost-after-sb")
HANDLERS = " ".join(f'{name} "/tmp/handler {name}";' for name in NAMES)


class FailingPair(Pair):
    """alpha: sdb1 and sdc1 (metadata) on demand. Both log to a file, handlers have 4 seconds."""

    def __init__(self, cluster):
        self.alpha, self.beta = cluster.node("alpha"), cluster.node("beta")
        self.faults = self.alpha.add_faulty_disk("sdb1", DISK)
        self.meta_faults = self.alpha.add_faulty_disk("sdc1", 8 << 20)
        self.beta.add_disk("sdb1", DISK)
        self.beta.add_disk("sdc1", 8 << 20)
        for node in (self.alpha, self.beta):
            node.start()

    def fresh(self, primary=None, **options):
        options.setdefault("handlers", HANDLERS)
        for node in (self.alpha, self.beta):
            node.shell(f"rm -f /tmp/called.* /tmp/code.* /tmp/dies.* /tmp/waits.* /tmp/goes.* {LOG}")
            node.write("/tmp/handler", RECORDER)
            node.run("chmod", "755", "/tmp/handler")
        super().fresh(primary, **options)
        for node in (self.alpha, self.beta):
            node.shell("rm -f /tmp/called.*")

    def heal(self):
        super().heal()
        self.faults, kept = self.meta_faults, self.faults
        super().heal()
        self.faults = kept

    def fail_metadata(self):
        with open(f"{self.meta_faults}.write", "w", encoding="ascii"):
            pass

    @staticmethod
    def called(node, handler, seconds=20):
        """The environment of its last call."""
        until(lambda: node.try_run("test", "-e", f"/tmp/called.{handler}").returncode == 0,
              f"{handler} to be called on {node.name}", seconds)
        lines = node.run("cat", f"/tmp/called.{handler}").splitlines()
        node.run("rm", f"/tmp/called.{handler}")
        return dict(line.split("=", 1) for line in lines if "=" in line)

    @staticmethod
    def not_called(node, handler):
        return node.try_run("test", "-e", f"/tmp/called.{handler}").returncode != 0

    @staticmethod
    def answers(node, handler, code):
        node.shell(f"echo {code} > /tmp/code.{handler}")

    def writer(self, seek=512):
        """A process that writes one block through alpha's device."""
        return subprocess.Popen(self.alpha.command(
            "dd", "if=/dev/zero", "of=/dev/drbd0", "bs=4k", "count=1", f"seek={seek}",
            "oflag=direct"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def frozen(self):
        return "suspended:fencing" in self.alpha.run("drbdsetup", "status", "r0", "--verbose")

    def reattach(self, node):
        node.try_run("drbdadm", "detach", "r0")
        self.heal()
        node.run("drbdadm", "attach", "r0")
        self.in_sync()


def within(part, whole):
    missing = {name: value for name, value in part.items() if whole.get(name) != value}
    expect(not missing, f"expected {missing} in {whole}")


# --- fence-peer ---

STONITH = {"net": "ping-int 1;", "disk_options": "fencing resource-and-stonith;"}


def fence_peer_gets_its_environment_and_is_logged(pair):
    pair.fresh(primary=pair.alpha, **STONITH)
    events = subprocess.Popen(pair.alpha.command("timeout", "60", "drbdsetup", "events2", "r0"),
                              stdout=subprocess.PIPE, text=True)

    def events_until(start):
        seen = [""]
        while not seen[-1].startswith(start):
            line = events.stdout.readline()
            expect(line, f"the events ended without {start!r}: {seen}")
            seen.append(line.rstrip("\n"))
        return seen

    try:
        events_until("exists -")
        pair.answers(pair.alpha, "fence-peer", 4)
        pair.beta.link(False)
        environment = pair.called(pair.alpha, "fence-peer")
        within({"DRBD_FENCE_REASON": "peer-lost", "DRBD_RESOURCE": "r0", "DRBD_MINOR": "0",
                "DRBD_PEER": "beta", "DRBD_PEERS": "beta", "DRBD_PEER_AF": "ipv4",
                "DRBD_PEER_ADDRESS": pair.beta.address, "DRBD_MY_ADDRESS": pair.alpha.address,
                "DRBD_MINOR_0": "0", "DRBD_VOLUME_0": "0", "DRBD_CONF": "/etc/drbd.conf",
                "DRBD_BACKING_DEV_0": "/dev/sdb1", "HOME": "/", "TERM": "linux"}, environment)
        expect(environment["PATH"].startswith("/"), "no PATH")
        pair.alpha.wait_for("WFConnection", "UpToDate/Outdated")
        seen = events_until("response helper")
        expect(any(line.startswith("call helper") and "helper:fence-peer" in line for line in seen),
               f"no call in {seen}")
        expect("helper:fence-peer" in seen[-1] and "status:4" in seen[-1], seen[-1])
    finally:
        events.kill()
        events.communicate()
    log = pair.alpha.run("cat", LOG)
    expect("helper command: fence-peer (peer-lost)" in log, "the start is not in the log")
    expect("helper command: fence-peer exit code 4 after " in log, "the end is not in the log")
    pair.beta.link(True)
    pair.in_sync()
    within({"DRBD_FENCE_REASON": "resync-finished"}, pair.called(pair.alpha, "unfence-peer"))


def commands_do_not_wait_for_a_fence_peer_that_waits(pair):
    pair.fresh(primary=pair.alpha, **STONITH)
    pair.alpha.run("touch", "/tmp/waits.fence-peer")
    pair.answers(pair.alpha, "fence-peer", 7)
    pair.beta.link(False)
    pair.called(pair.alpha, "fence-peer")
    writer = pair.writer()
    try:
        status = pair.alpha.run("drbdsetup", "status", "r0", "--verbose", seconds=10)
        expect("suspended:fencing" in status, f"I/O is not frozen:\n{status}")
        expect("fence-peer" in status, f"the reason is not shown:\n{status}")
        ended(pair.alpha.try_run("drbdadm", "secondary", "r0", seconds=30), 11, "(-12)")
        # Longer than other handlers may take: 4 seconds here.
        try:
            writer.wait(timeout=6)
            expect(False, "a write was completed while it should be frozen")
        except subprocess.TimeoutExpired:
            pass
        pair.alpha.run("touch", "/tmp/goes.fence-peer")
        expect(writer.wait(timeout=20) == 0, "the write failed")
    finally:
        writer.kill()
        pair.beta.link(True)
    pair.in_sync()


def a_handler_that_crashes_or_is_missing_leaves_io_frozen(pair):
    pair.fresh(primary=pair.alpha, **STONITH)
    for broken, undo in (("touch /tmp/dies.fence-peer", "rm /tmp/dies.fence-peer"),
                         ("chmod 644 /tmp/handler", "chmod 755 /tmp/handler"),
                         ("mv /tmp/handler /tmp/elsewhere", "mv /tmp/elsewhere /tmp/handler")):
        pair.alpha.shell(f"{broken}; : > {LOG}")
        pair.beta.link(False)
        until(lambda: "fence-peer helper broken" in pair.alpha.run("cat", LOG), "the end", 20)
        expect(pair.frozen(), "not frozen any more")
        ended(pair.alpha.try_run("drbdadm", "resume-io", "r0"), 0)
        expect(not pair.frozen(), "resume-io has no effect")
        pair.alpha.shell(undo)
        pair.beta.link(True)
        pair.in_sync()


def a_handler_that_hangs_is_killed_with_all_that_it_started(pair):
    pair.fresh(primary=pair.alpha)
    pair.beta.run("touch", "/tmp/waits.before-resync-target")
    pair.alpha.run("drbdadm", "disconnect", "r0")
    pair.write(pair.alpha)
    pair.alpha.run("drbdadm", "connect", "r0")
    pair.called(pair.beta, "before-resync-target")
    until(lambda: pair.beta.state()[0] == "StandAlone", "the limit of 4 seconds", 20)
    until(lambda: pair.beta.try_run("pgrep", "-f", "handler before-resync-target").returncode == 1,
          "the handler's processes to go", 5)
    log = pair.beta.run("cat", LOG)
    expect("took too long and was killed" in log, log)
    expect("before-resync-target exit code 124" in log, log)
    pair.beta.shell("rm /tmp/waits.*")
    pair.beta.run("drbdadm", "connect", "r0")
    pair.in_sync()


def a_failed_disk_of_the_peer_is_asked_about(pair):
    """alpha is Secondary here: its disk fails, and beta asks."""
    pair.fresh(primary=pair.beta, **STONITH)
    pair.answers(pair.beta, "fence-peer", 4)
    pair.fail("write")
    pair.write(pair.beta)
    expect(pair.called(pair.beta, "fence-peer")["DRBD_FENCE_REASON"] in
           ("peer-disk", "write-refused"), "another reason")
    pair.beta.wait_for("Connected", "UpToDate/Diskless")
    pair.reattach(pair.alpha)


def our_own_failed_disk_is_asked_about_if_the_handler_knows_reasons(pair):
    pair.fresh(primary=pair.alpha, **STONITH)
    pair.alpha.run("touch", "/tmp/waits.fence-peer")
    pair.answers(pair.alpha, "fence-peer", 4)
    pair.fail("write")
    writer = pair.writer()
    within({"DRBD_FENCE_REASON": "own-disk"}, pair.called(pair.alpha, "fence-peer"))
    expect(writer.poll() is None and pair.frozen(), "I/O is not frozen")
    pair.alpha.run("touch", "/tmp/goes.fence-peer")
    expect(writer.wait(timeout=20) == 0, "the write failed")
    pair.alpha.wait_for("Connected", "Diskless/UpToDate")
    pair.reattach(pair.alpha)
    # One that knows nothing of them would shoot the peer.
    pair.fresh(primary=pair.alpha, handlers='fence-peer "touch /tmp/shot; exit 7";', **STONITH)
    pair.fail("write")
    pair.write(pair.alpha)
    pair.alpha.wait_for("Connected", "Diskless/UpToDate")
    expect(not pair.frozen(), "still frozen")
    expect(pair.alpha.try_run("test", "-e", "/tmp/shot").returncode != 0, "the peer was shot")


# --- resync and split brain ---

def a_resync_runs_its_handlers_on_both_nodes(pair):
    pair.fresh(primary=pair.alpha)
    pair.alpha.run("drbdadm", "disconnect", "r0")
    pair.write(pair.alpha)
    pair.alpha.run("drbdadm", "connect", "r0")
    pair.in_sync()
    wanted = {"DRBD_RESOURCE": "r0", "DRBD_MINOR": "0", "DRBD_VOLUME": "0",
              "DRBD_LL_DISK": "/dev/sdb1", "DRBD_BACKING_DEV": "/dev/sdb1"}
    for node, peer, names in ((pair.beta, "alpha", ("before-resync-target", "after-resync-target")),
                              (pair.alpha, "beta", ("before-resync-source",))):
        for each in names:
            within({**wanted, "DRBD_PEER": peer}, pair.called(node, each))


def a_split_brain_of_two_primaries_runs_its_handlers(pair):
    pair.fresh()
    for node in (pair.alpha, pair.beta):
        node.run("drbdadm", "disconnect", "r0")
    for node in (pair.alpha, pair.beta):
        node.run("drbdadm", "primary", "r0")
        pair.write(node)
    pair.alpha.run("drbdadm", "secondary", "r0")
    for node in (pair.alpha, pair.beta):
        node.run("drbdadm", "connect", "r0")
    until(lambda: "StandAlone" in (pair.alpha.state()[0], pair.beta.state()[0]), "the end", 20)
    node = next(each for each in (pair.alpha, pair.beta) if each.state()[0] == "StandAlone")
    wanted = {"DRBD_RESOURCE": "r0", "DRBD_MINOR": "0", "DRBD_VOLUME": "0",
              "DRBD_PEER": "beta" if node is pair.alpha else "alpha"}
    for each in ("initial-split-brain", "split-brain"):
        within(wanted, pair.called(node, each))


def a_secondarys_device_is_there_and_can_not_be_opened(pair):
    """Read-only or not; after promotion both work."""
    pair.fresh()
    opens = ("exec 3</dev/drbd0", "exec 3<>/dev/drbd0")
    for each in opens:
        refused = pair.alpha.try_run("bash", "-c", each)
        expect(refused.returncode != 0 and "No such device or address" in refused.stdout,
               f"{each}: {refused.stdout}")
    expect(pair.alpha.state()[1] == "Secondary/Secondary", "an open has promoted")
    pair.alpha.run("drbdadm", "primary", "r0")
    for each in opens:
        pair.alpha.shell(each)


# --- failing disks ---

def disk_error(pair, policy):
    after = "Inconsistent" if policy == "pass_on" else "Diskless"
    calls = policy == "call-local-io-error"

    def judge():
        expect(pair.not_called(pair.alpha, "local-io-error") != calls, "local-io-error")
        if calls:
            within({"DRBD_RESOURCE": "r0", "DRBD_MINOR": "0", "DRBD_LL_DISK": "/dev/sdb1"},
                   pair.called(pair.alpha, "local-io-error"))

    # The active node.
    pair.fresh(primary=pair.alpha, disk_options=f"on-io-error {policy};", meta="/dev/sdc1")
    pair.write(pair.alpha)
    before = pair.checksum(pair.alpha)
    pair.fail("read")
    expect(pair.checksum(pair.alpha) == before, "other data was read")
    pair.alpha.wait_for("Connected", f"{after}/UpToDate")
    judge()
    pair.reattach(pair.alpha)
    pair.fail("write")
    pair.write(pair.alpha, seek=2)
    pair.alpha.wait_for("Connected", f"{after}/UpToDate")
    judge()
    pair.reattach(pair.alpha)
    pair.fail_metadata()
    pair.write(pair.alpha, seek=40)  # an extent that is not in the activity log
    pair.alpha.wait_for("Connected", "Diskless/UpToDate")
    expect(pair.not_called(pair.alpha, "local-io-error") != calls, "local-io-error")
    pair.alpha.shell("rm -f /tmp/called.*")
    pair.reattach(pair.alpha)
    # The other one.
    pair.alpha.run("drbdadm", "secondary", "r0")
    pair.beta.run("drbdadm", "primary", "r0")
    pair.fail("write")
    pair.write(pair.beta, seek=4)
    pair.beta.wait_for("Connected", f"UpToDate/{after}")
    judge()
    pair.reattach(pair.alpha)
    pair.fail_metadata()
    pair.alpha.try_run("drbdadm", "invalidate", "r0")
    pair.alpha.wait_for("Connected", "Diskless/UpToDate")
    pair.alpha.shell("rm -f /tmp/called.*")
    pair.reattach(pair.alpha)
    # It serves a Primary without a disk, and can't.
    pair.beta.run("drbdadm", "detach", "r0")
    pair.fail("read")
    refused = pair.beta.try_run("dd", "if=/dev/drbd0", "of=/dev/null", "bs=64k", "count=1",
                                "iflag=direct")
    expect(refused.returncode != 0, "data came from nowhere")
    until(lambda: pair.alpha.state()[2].startswith(after), f"{after} on alpha")
    judge()
    pair.called(pair.beta, "pri-on-incon-degr")


def disk_errors_with_pass_on(pair):
    disk_error(pair, "pass_on")


def disk_errors_with_call_local_io_error(pair):
    disk_error(pair, "call-local-io-error")


def disk_errors_with_detach(pair):
    disk_error(pair, "detach")


SCENARIOS = [
    fence_peer_gets_its_environment_and_is_logged,
    commands_do_not_wait_for_a_fence_peer_that_waits,
    a_handler_that_crashes_or_is_missing_leaves_io_frozen,
    a_handler_that_hangs_is_killed_with_all_that_it_started,
    a_failed_disk_of_the_peer_is_asked_about,
    our_own_failed_disk_is_asked_about_if_the_handler_knows_reasons,
    a_resync_runs_its_handlers_on_both_nodes,
    a_split_brain_of_two_primaries_runs_its_handlers,
    a_secondarys_device_is_there_and_can_not_be_opened,
    disk_errors_with_pass_on, disk_errors_with_call_local_io_error, disk_errors_with_detach,
]


def program():
    options = [f"LOCKSTEP_ENGINE_OPTIONS=--helper-limit=4 --log={LOG}"]
    with Cluster("handlers", sys.argv[1], environment=options) as cluster:
        wanted = [each for each in SCENARIOS if len(sys.argv) < 3 or sys.argv[2] in each.__name__]
        return 1 if run_scenarios(wanted, FailingPair(cluster)) else 0


if __name__ == "__main__":
    main(program)
