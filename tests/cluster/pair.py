"""A pair of nodes for scenario programs: alpha, whose disk can be made to fail, and beta.

    from pair import Pair, ended, expect, run_pair
    def demotion_needs_an_idle_device(pair): ...
    main(lambda: run_pair("name", [demotion_needs_an_idle_device]))

A program of scenarios prints TAP, takes the STAGE as its first argument and, to run less than all,
a part of a scenario's name as its second.
"""

import os
import sys

from nodes import Cluster, Failed, resource_text, run_scenarios

DISK = 64 << 20


def expect(condition, text):
    if not condition:
        raise Failed(text)


def ended(done, code, *words):
    expect(done.returncode == code, f"exit {done.returncode}, expected {code}\n{done.stdout}")
    for each in words:
        expect(each in done.stdout, f"{each!r} is not in:\n{done.stdout}")


class Pair:
    """alpha's disk can be made to fail."""

    def __init__(self, cluster):
        self.alpha, self.beta = cluster.node("alpha"), cluster.node("beta")
        self.faults = self.alpha.add_faulty_disk("sdb1", DISK)
        self.beta.add_disk("sdb1", DISK)
        for node in (self.alpha, self.beta):
            node.start()

    def configure(self, **options):
        for node in (self.alpha, self.beta):
            node.write("/etc/drbd.conf", resource_text("r0", [self.alpha, self.beta], **options))

    def fresh(self, primary=None, **options):
        """Both new, in sync, `primary` promoted."""
        self.heal()
        for node in (self.alpha, self.beta):
            node.try_run("drbdadm", "down", "r0")
        self.configure(**options)
        for node in (self.alpha, self.beta):
            node.run("drbdadm", "--", "--force", "create-md", "r0")
            node.run("drbdadm", "up", "r0")
        self.alpha.wait_for("Connected", "Inconsistent/Inconsistent")
        self.alpha.run("drbdadm", "--", "--clear-bitmap", "new-current-uuid", "r0")
        self.in_sync()
        if primary is not None:
            primary.run("drbdadm", "primary", "r0")

    def in_sync(self):
        for node in (self.alpha, self.beta):
            node.wait_for("Connected", "UpToDate/UpToDate")

    def fail(self, *kinds):
        for each in kinds:
            with open(f"{self.faults}.{each}", "w", encoding="ascii"):
                pass

    def heal(self):
        for each in ("read", "write"):
            if os.path.exists(f"{self.faults}.{each}"):
                os.unlink(f"{self.faults}.{each}")

    @staticmethod
    def write(node, mib=1, seek=0):
        return node.shell(f"dd if=/dev/urandom of=/dev/drbd0 bs=64k count={mib * 16} "
                          f"seek={seek * 16} oflag=direct conv=fsync status=none")

    @staticmethod
    def checksum(node, mib=1, seek=0):
        return node.shell("set -o pipefail; " f"dd if=/dev/drbd0 bs=64k count={mib * 16} skip={seek * 16} "
                          "iflag=direct status=none | sha256sum").split()[0]


def run_pair(name, scenarios):
    """Runs the scenarios on one pair of that name; the exit code."""
    with Cluster(name, sys.argv[1]) as cluster:
        wanted = [each for each in scenarios if len(sys.argv) < 3 or sys.argv[2] in each.__name__]
        return 1 if run_scenarios(wanted, Pair(cluster)) else 0
