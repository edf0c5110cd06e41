"""Disks that grow under a pair: online, and while it was down.

    resize_scenarios.py STAGE     prints TAP
"""

import os
import sys

from nodes import Cluster, main, resource_text, run, run_scenarios
from pair import ended, expect

MIB = 1 << 20
OLD, NEW = 32 * MIB, 64 * MIB
KNOWN = "/var/lib/drbd/drbd-minor-0.lkbd"


class GrowingPair:
    def __init__(self, cluster):
        self.nodes = [cluster.node("alpha"), cluster.node("beta")]
        for node in self.nodes:
            node.add_disk("sdb1", OLD)
            node.start()
            node.write("/etc/drbd.conf", resource_text("r0", self.nodes,
                                                       net="verify-alg crc32c;"))

    @property
    def alpha(self):
        return self.nodes[0]

    def set_disks(self, size):
        for node in self.nodes:
            path, loop = node.disks["sdb1"]
            os.truncate(path, size)
            run("losetup", "--set-capacity", loop)

    def fresh(self):
        for node in self.nodes:
            node.try_run("umount", "/mnt/r0")
            node.try_run("drbdadm", "down", "r0")
        self.set_disks(OLD)
        for node in self.nodes:
            node.run("drbdadm", "--", "--force", "create-md", "r0")
            node.run("drbdadm", "up", "r0")
        self.alpha.wait_for("Connected")
        self.alpha.run("drbdadm", "--", "--clear-bitmap", "new-current-uuid", "r0")
        self.in_sync()
        self.alpha.run("drbdadm", "primary", "r0")

    def in_sync(self):
        for node in self.nodes:
            node.wait_for("Connected", "UpToDate/UpToDate")

    def size(self):
        return int(self.alpha.run("blockdev", "--getsize64", "/dev/drbd0"))

    def equal(self, bytes_compared):
        self.alpha.run("drbdadm", "secondary", "r0")
        run("cmp", "-n", bytes_compared, *(node.disks["sdb1"][0] for node in self.nodes))
        self.alpha.run("drbdadm", "primary", "r0")


def data_bytes(size):
    return size - 4096 - 32768 - 4096


def a_device_grows_under_a_mounted_filesystem(pair):
    pair.fresh()
    pair.alpha.shell("mkfs.ext4 -q /dev/drbd0 && mkdir -p /mnt/r0 && mount /dev/drbd0 /mnt/r0 && "
                     "dd if=/dev/urandom of=/mnt/r0/file bs=1M count=8 conv=fsync status=none")
    before = pair.alpha.run("sha256sum", "/mnt/r0/file")
    pair.set_disks(NEW)
    pair.alpha.run("drbdadm", "resize", "r0")
    pair.in_sync()
    expect(pair.size() == data_bytes(NEW), f"the device has {pair.size()} bytes")
    # Behind the file system, whose own growth is its own business.
    pair.alpha.shell("dd if=/dev/urandom of=/dev/drbd0 bs=1M seek=40 count=20 oflag=direct "
                     "conv=notrunc status=none && umount /mnt/r0 && e2fsck -fn /dev/drbd0 && "
                     "mount /dev/drbd0 /mnt/r0")
    expect(pair.alpha.run("sha256sum", "/mnt/r0/file") == before, "the file has changed")
    pair.alpha.run("umount", "/mnt/r0")
    pair.equal(data_bytes(NEW))
    known = pair.alpha.run("cat", KNOWN).split()
    expect(known[:2] == [str(NEW), "/dev/sdb1"], f"the last known size is {known}")


def a_crashed_node_attaches_after_an_online_resize(pair):
    beta = pair.nodes[1]
    beta.power_off()
    beta.start()
    beta.write("/etc/drbd.conf", resource_text("r0", pair.nodes, net="verify-alg crc32c;"))
    beta.run("drbdadm", "up", "r0")
    pair.in_sync()
    expect(pair.size() == data_bytes(NEW), f"the device has {pair.size()} bytes")


def a_disk_that_grew_while_it_was_down_is_found(pair):
    pair.fresh()
    pair.alpha.shell("dd if=/dev/urandom of=/dev/drbd0 bs=1M count=8 oflag=direct status=none")
    for node in pair.nodes:
        node.run("drbdadm", "down", "r0")
    pair.set_disks(NEW)
    for node in pair.nodes:
        done = node.try_run("drbdadm", "check-resize", "r0")
        ended(done, 0, "successfully moved")
        again = node.try_run("drbdadm", "check-resize", "r0")
        expect((again.returncode, again.stdout) == (0, ""), f"not silent: {again.stdout}")
        node.run("drbdadm", "up", "r0")
    pair.in_sync()
    pair.alpha.run("drbdadm", "primary", "r0")
    pair.alpha.run("drbdadm", "resize", "r0")
    pair.in_sync()
    expect(pair.size() == data_bytes(NEW), f"the device has {pair.size()} bytes")
    pair.equal(data_bytes(NEW))


def attach_remembers_how_large_the_disk_is(pair):
    pair.fresh()
    pair.alpha.run("drbdadm", "secondary", "r0")
    pair.alpha.run("drbdadm", "detach", "r0")
    pair.alpha.run("rm", "-f", KNOWN)
    pair.alpha.run("drbdmeta", "--force", "0", "v08", "/dev/sdb1", "internal", "apply-al")
    pair.alpha.run("rm", "-f", KNOWN)
    pair.alpha.run("drbdsetup", "attach", "0", "/dev/sdb1", "/dev/sdb1", "internal")
    known = pair.alpha.run("cat", KNOWN).split()
    expect(known[:2] == [str(OLD), "/dev/sdb1"], f"the last known size is {known}")
    pair.in_sync()


def a_smaller_size_is_taken_when_asked_for(pair):
    pair.fresh()
    pair.alpha.run("drbdadm", "--", "--size=16M", "resize", "r0")
    pair.in_sync()
    expect(pair.size() == 16 * MIB, f"the device has {pair.size()} bytes")
    refused = pair.alpha.try_run("dd", "if=/dev/zero", "of=/dev/drbd0", "bs=1M", "seek=16", "count=1",
                                 "oflag=direct")
    expect(refused.returncode != 0, "written past the end")
    ended(pair.nodes[1].try_run("drbdadm", "secondary", "r0"), 0)
    pair.alpha.run("drbdadm", "secondary", "r0")
    ended(pair.alpha.try_run("drbdadm", "resize", "r0"), 10, "(131)", "Need one Primary")


SCENARIOS = [a_device_grows_under_a_mounted_filesystem,
             a_crashed_node_attaches_after_an_online_resize,
             a_disk_that_grew_while_it_was_down_is_found, attach_remembers_how_large_the_disk_is,
             a_smaller_size_is_taken_when_asked_for]


def scenarios():
    with Cluster("resize", sys.argv[1]) as cluster:
        wanted = [each for each in SCENARIOS
                  if len(sys.argv) < 3 or sys.argv[2] in each.__name__]
        return 1 if run_scenarios(wanted, GrowingPair(cluster)) else 0


if __name__ == "__main__":
    main(scenarios)
