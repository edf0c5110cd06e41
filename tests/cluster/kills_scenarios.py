"""Ten kills at random instants under a writer: engines, keepers and nodes of either side, and the
link. After each, everything that the writer's own log says was acknowledged is found, and the pair
is whole again; in the end both disks are the same.

    kills_scenarios.py STAGE [SEED]     prints TAP and the seed
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time

import acknowledged_writer
from nodes import Cluster, Failed, data_checksum, main, resource_text, run_scenarios, until
from pair import expect

DISK = 32 << 20
BLOCKS = (16 << 20) // acknowledged_writer.BLOCK
KILLS = 10
DEVICE = "/dev/drbd0"
WRITER = os.path.abspath(acknowledged_writer.__file__)


class Account:
    """The writer's log: what it tried, and what of that was acknowledged."""

    def __init__(self, path):
        self.path = path
        self.tried = {}  # number of a write -> its blocks
        self.certain = {}  # block -> the last write of it that was acknowledged
        self.count = 0
        self.offset = 0
        with open(path, "xb"):
            pass

    def read_on(self):
        with open(self.path, "rb") as log:
            log.seek(self.offset)
            text = log.read()
        whole = text.rfind(b"\n") + 1
        self.offset += whole
        for line in text[:whole].decode().splitlines():
            word, number, *where = line.split()
            if word == "try":
                first, count = map(int, where)
                self.tried[int(number)] = range(first, first + count)
            else:
                self.count += 1
                for at in self.tried[int(number)]:
                    self.certain[at] = int(number)

    def check(self, read):
        """What `read` returns has everything acknowledged before, and nothing that was not tried."""
        self.read_on()
        certain = dict(self.certain)
        data = read()
        self.read_on()
        size = acknowledged_writer.BLOCK
        for at, number in certain.items():
            seen = acknowledged_writer.number_in(data[at * size:(at + 1) * size], at)
            expect(seen is not None, f"block {at} is damaged")
            expect(seen >= number and at in self.tried.get(seen, ()),
                   f"block {at}: write {number} was acknowledged, {seen} is there")


def contents(node):
    """What the node's device holds where the writer writes."""
    size = BLOCKS * acknowledged_writer.BLOCK
    done = subprocess.run(
        node.command("dd", f"if={DEVICE}", "bs=1M", f"count={size >> 20}", "iflag=direct",
                     "status=none"), capture_output=True, timeout=60)
    expect(done.returncode == 0, f"{DEVICE} can't be read: {done.stderr.decode()}")
    return done.stdout


class Writer:
    """Runs on a node, with its log outside of it."""

    def __init__(self, node, account, seed):
        self.node = node
        self.account = account
        account.read_on()
        number = max(account.tried, default=0) + 1
        with open(account.path, "ab") as log:
            self.process = subprocess.Popen(
                node.command("python3", "-B", WRITER, DEVICE, BLOCKS, seed, number),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.PIPE, text=True,
                start_new_session=True)

    def wait_for_more(self, writes):
        """Until so many more are acknowledged; it must not end."""
        self.account.read_on()
        goal = self.account.count + writes

        def more():
            if self.process.poll() is not None:
                raise Failed(f"the writer ended: {self.process.stderr.read()}")
            self.account.read_on()
            return self.account.count >= goal
        until(more, "writes to be acknowledged", 30)

    def end(self):
        # As a group: nsenter is only the parent of the writer in the node.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate(timeout=30)


class Story:
    def __init__(self, cluster, seed):
        self.dice = random.Random(seed)
        self.cluster = cluster
        self.primary, self.secondary = cluster.node("alpha"), cluster.node("beta")
        for node in self.nodes:
            node.add_disk("sdb1", DISK)
            self.boot(node)
        self.account = Account(f"{cluster.directory}/acknowledged")
        for node in self.nodes:
            node.run("drbdadm", "create-md", "r0")
            node.run("drbdadm", "up", "r0")
        self.primary.wait_for("Connected", "Inconsistent/Inconsistent")
        self.primary.run("drbdadm", "--", "--clear-bitmap", "new-current-uuid", "r0")
        self.wait_until_whole()
        self.primary.run("drbdadm", "primary", "r0")
        self.writer = self.new_writer()

    @property
    def nodes(self):
        return self.primary, self.secondary

    def boot(self, node):
        node.start()
        node.write("/etc/drbd.conf", resource_text(
            "r0", self.cluster.nodes, net="ping-int 1; ping-timeout 5; connect-int 1;",
            disk_options="c-min-rate 0;"))  # the writer never pauses, and a resync has to end

    def new_writer(self):
        return Writer(self.primary, self.account, self.dice.randrange(1 << 30))

    def wait_until_whole(self):
        for node in self.nodes:
            node.wait_for("Connected", "UpToDate/UpToDate", seconds=60)

    # --- what can die ---

    @staticmethod
    def kill_process(node, name):
        pid = node.run("pgrep", "-o", "-x", name).split()[0]
        node.run("kill", "-KILL", pid)

    def primary_engine(self):
        self.kill_process(self.primary, "lockstep-engine")
        self.fail_over()

    def primary_node(self):
        self.primary.power_off()
        self.fail_over()

    def primary_keeper(self):
        """Nothing of the data path is the keeper's; the engine is restarted when it suits."""
        self.kill_process(self.primary, "lockstep-keeper")
        self.writer.wait_for_more(5)
        self.verify(self.primary)
        self.kill_process(self.primary, "lockstep-engine")
        self.fail_over()

    def secondary_engine(self):
        self.kill_process(self.secondary, "lockstep-engine")
        self.go_on_alone()
        self.secondary.run("drbdadm", "up", "r0")

    def secondary_node(self):
        self.secondary.power_off()
        self.go_on_alone()
        self.boot(self.secondary)
        self.secondary.run("drbdadm", "up", "r0")

    def secondary_keeper(self):
        self.kill_process(self.secondary, "lockstep-keeper")
        self.writer.wait_for_more(5)
        self.kill_process(self.secondary, "lockstep-engine")
        self.go_on_alone()
        self.secondary.run("drbdadm", "up", "r0")

    def link(self):
        self.secondary.link(False)
        self.go_on_alone()
        self.secondary.link(True)

    # --- what then must hold ---

    def go_on_alone(self):
        """The Primary's writer is not disturbed by what happens to the peer."""
        self.primary.wait_for("WFConnection")
        self.writer.wait_for_more(5)
        self.verify(self.primary)

    def fail_over(self):
        """The other takes over if it has the data; else the one that died must come back."""
        dead, survivor = self.nodes
        self.writer.end()
        survivor.wait_for("WFConnection")
        if survivor.state()[2].startswith("UpToDate"):
            self.primary, self.secondary = survivor, dead
        else:
            refused = survivor.try_run("drbdadm", "primary", "r0")
            expect(refused.returncode != 0, "a node without the data was promoted")
            self.come_back(dead)
        self.primary.run("drbdadm", "primary", "r0")
        self.verify(self.primary)
        self.writer = self.new_writer()
        if self.secondary is dead:
            self.come_back(dead)

    def come_back(self, node):
        if not node.is_up:
            self.boot(node)
        node.run("drbdadm", "up", "r0")

    def verify(self, node):
        """Everything acknowledged until now is on the node's device."""
        try:
            self.account.check(lambda: contents(node))
        except Failed as failure:
            raise Failed(f"on {node.name}: {failure}") from failure

    def kill(self, what):
        began = time.monotonic()
        self.writer.wait_for_more(3)
        time.sleep(self.dice.uniform(0, 0.5))
        getattr(self, what)()
        until(lambda: self.primary.state()[0] not in ("WFConnection", "?"), "the connection", 30)
        print(f"# {what}: {self.account.count} writes acknowledged; "
              f"{self.primary.name} is Primary, {time.monotonic() - began:.1f} s", flush=True)


def everything_acknowledged_is_found_after_each_of_ten_kills(story):
    kinds = ["primary_engine", "primary_keeper", "primary_node", "link", "secondary_engine",
             "secondary_keeper", "secondary_node"]
    plan = kinds + story.dice.choices(kinds, k=KILLS - len(kinds))
    story.dice.shuffle(plan)
    for what in plan:
        story.kill(what)


def both_disks_hold_the_same_in_the_end(story):
    story.writer.wait_for_more(3)
    story.writer.end()
    story.wait_until_whole()
    story.verify(story.primary)
    until(lambda: story.primary.try_run("drbdadm", "secondary", "r0").returncode == 0,
          "the device to be free", 10)
    story.secondary.run("drbdadm", "primary", "r0")
    story.verify(story.secondary)
    for node in story.nodes:
        node.run("drbdadm", "down", "r0")
    sums = [data_checksum(node.disks["sdb1"][0], DISK) for node in story.nodes]
    expect(sums[0] == sums[1], "the data areas of the two disks differ")


def kills():
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 30)
    print(f"# seed {seed}", flush=True)
    with Cluster("kills", sys.argv[1]) as cluster:
        try:
            story = Story(cluster, seed)
        except Failed as failure:
            raise Failed(f"seed {seed}: {failure}") from failure
        return 1 if run_scenarios([everything_acknowledged_is_found_after_each_of_ten_kills,
                                   both_disks_hold_the_same_in_the_end], story) else 0


if __name__ == "__main__":
    main(kills)
