"""A Lockstep node and a guest with the in-kernel DRBD 8.4, for scenario programs.

    from kernel_pair import KernelPair, run_kernel_pair
    def something(pair): ...
    main(lambda: run_kernel_pair("name", [something]))

A program prints TAP, takes STAGE and LAB-DIRECTORY as its arguments and, to run less than all, a
part of a scenario's name as its third.
"""

import hashlib
import sys

from guest import Guest, Lab
from nodes import Cluster, Failed, resource_text, run, run_scenarios

DISK = 64 << 20
FAST = "c-plan-ahead 0; resync-rate 1000M;"
# A guest without hardware virtualisation on a busy machine may be silent for seconds.
QUICK = "connect-int 1; ping-timeout 50; socket-check-timeout 5;"


def data_bytes(size):
    """The data area of a disk with internal metadata."""
    bitmap = -(-(-(-size // 512 // 32768)) // 8) * 8
    return size - 4096 - 32768 - bitmap * 512


def data_sum(path, size=DISK):
    left = data_bytes(size)
    digest = hashlib.sha256()
    with open(path, "rb") as image:
        while left > 0:
            piece = image.read(min(1 << 20, left))
            digest.update(piece)
            left -= len(piece)
    return digest.hexdigest()


def expect(condition, text):
    if not condition:
        raise Failed(text)


class KernelPair:
    def __init__(self, cluster, lab):
        self.cluster = cluster
        self.ours = cluster.node("alpha")
        self.image = self.ours.add_disk("sdb1", DISK)
        self.ours.start()
        self.theirs = Guest(lab, cluster, "karl", 21, DISK)
        self.theirs.boot()
        self.their_text = ""

    # --- configuration ---

    def configure(self, net="", disk="", protocol="C", ours="", theirs=""):
        """`ours` and `theirs`: lines of the common section for one side only."""
        text = resource_text("r0", [self.ours, self.theirs], net=f"{QUICK} {net}",
                             disk_options=f"{FAST} {disk}")
        text = text.replace("protocol C;", f"protocol {protocol};")
        self.ours.write("/etc/drbd.conf", text.replace("common {", "common { " + ours))
        self.their_text = text.replace("/dev/sdb1", "/dev/vda").replace("common {",
                                                                        "common { " + theirs)
        self.theirs.write("/etc/drbd.conf", self.their_text)

    def adjust(self, **options):
        """Other options on the running pair."""
        self.configure(**options)
        self.ours.run("drbdadm", "adjust", "r0")
        self.theirs.run("drbdadm adjust r0")

    def down(self):
        self.ours.try_run("drbdadm", "down", "r0")
        self.theirs.try_run("drbdadm down r0")

    def fresh(self, **options):
        self.down()
        self.configure(**options)
        self.ours.run("drbdadm", "--", "--force", "create-md", "r0")
        self.theirs.run("drbdadm -- --force create-md r0")
        self.up()
        self.connected("Inconsistent/Inconsistent")

    def up(self):
        self.ours.run("drbdadm", "up", "r0")
        self.theirs.run("drbdadm up r0")

    def synced(self, **options):
        """Both new and in sync, without a resync: the disks are made equal first."""
        self.down()
        self.equalise()
        self.fresh(**options)
        self.ours.run("drbdadm", "--", "--clear-bitmap", "new-current-uuid", "r0")
        self.connected()

    def equalise(self):
        for path in (self.image, self.theirs.image):
            run("fallocate", "--punch-hole", "--offset", 0, "--length", DISK, path)
        self.theirs.run("blockdev --flushbufs /dev/vda")

    # --- states ---

    def connected(self, disks="UpToDate/UpToDate"):
        self.ours.wait_for("Connected", disks, seconds=120)
        self.theirs.wait_for("Connected", "/".join(reversed(disks.split("/"))))

    def primary(self, side):
        self.secondary(self.theirs if side is self.ours else self.ours)
        side.run(*self.words(side, "primary", "r0"))

    def secondary(self, side):
        side.run(*self.words(side, "secondary", "r0"))

    def words(self, side, *words):
        return ("drbdadm", *words) if side is self.ours else (" ".join(("drbdadm", *words)),)

    def adm(self, side, *words):
        return side.run(*self.words(side, *words))

    def try_adm(self, side, *words):
        """(exit status, output) on either side."""
        done = side.try_run(*self.words(side, *words))
        return (done.returncode, done.stdout) if side is self.ours else done

    def both_secondary(self):
        self.secondary(self.ours)
        self.secondary(self.theirs)

    # --- data ---

    def equal(self):
        self.theirs.run("sync; blockdev --flushbufs /dev/vda")
        if data_sum(self.image) != data_sum(self.theirs.image):
            raise Failed("the data areas of the two disks differ")

    def write(self, side, offset_mib, count_mib=1):
        command = (f"dd if=/dev/urandom of=/dev/drbd0 bs=64k seek={offset_mib * 16} "
                   f"count={count_mib * 16} oflag=direct conv=fsync 2>/dev/null")
        side.shell(command) if side is self.ours else side.run(command)


def run_kernel_pair(name, scenarios):
    """Runs the scenarios on one pair of that name; the exit code."""
    stage, lab_directory = sys.argv[1:3]
    lab = Lab(lab_directory)
    lab.prepare()
    wanted = [each for each in scenarios if len(sys.argv) < 4 or sys.argv[3] in each.__name__]
    with Cluster(name, stage) as cluster:
        pair = KernelPair(cluster, lab)
        try:
            return 1 if run_scenarios(wanted, pair) else 0
        finally:
            pair.theirs.crash()
