"""Lockstep on one node, the in-kernel DRBD 8.4 on the other: connected, synced and written in both
directions, through disconnects and role changes, with both disks equal at the end of each.

    kernel_peer.py STAGE LAB-DIRECTORY     prints TAP
"""

import sys

from guest import Guest, Lab
from nodes import Cluster, Failed, data_checksum, main, resource_text, run_scenarios

DISK = 64 << 20


class Pair:
    def __init__(self, cluster, lab):
        self.ours = cluster.node("alpha")
        self.image = self.ours.add_disk("sdb1", DISK)
        self.ours.start()
        self.theirs = Guest(lab, cluster, "karl", 21, DISK)
        self.theirs.boot()

    def configure(self, net="", disk=""):
        ours = resource_text("r0", [self.ours, self.theirs], net=net, disk_options=disk)
        self.ours.write("/etc/drbd.conf", ours.replace("/dev/sdb1", "/dev/sdb1", 1))
        self.theirs.write("/etc/drbd.conf", ours.replace("/dev/sdb1", "/dev/vda"))

    def fresh(self, **options):
        self.ours.try_run("drbdadm", "down", "r0")
        self.theirs.try_run("drbdadm down r0")
        self.configure(**options)
        self.ours.run("drbdadm", "--", "--force", "create-md", "r0")
        self.theirs.run("drbdadm -- --force create-md r0")
        self.ours.run("drbdadm", "up", "r0")
        self.theirs.run("drbdadm up r0")
        self.connected("Inconsistent/Inconsistent")

    def connected(self, disks="UpToDate/UpToDate"):
        self.ours.wait_for("Connected", disks, seconds=60)
        self.theirs.wait_for("Connected", "/".join(reversed(disks.split("/"))))

    def equal(self):
        self.theirs.run("sync; blockdev --flushbufs /dev/vda")
        ours, theirs = (data_checksum(path, DISK) for path in (self.image, self.theirs.image))
        if ours != theirs:
            raise Failed("the data areas of the two disks differ")

    def write_ours(self, offset_mib, count_mib):
        self.ours.shell(f"dd if=/dev/urandom of=/dev/drbd0 bs=64k seek={offset_mib * 16} "
                        f"count={count_mib * 16} oflag=direct conv=fsync status=none")

    def write_theirs(self, offset_mib, count_mib):
        self.theirs.run(f"dd if=/dev/urandom of=/dev/drbd0 bs=64k seek={offset_mib * 16} "
                        f"count={count_mib * 16} oflag=direct conv=fsync 2>/dev/null")


def our_primary_syncs_the_kernel(pair):
    pair.fresh()
    pair.ours.run("drbdadm", "--", "--overwrite-data-of-peer", "primary", "r0")
    pair.connected()
    pair.write_ours(3, 4)
    pair.ours.run("drbdadm", "secondary", "r0")
    pair.equal()


def the_kernels_primary_syncs_us(pair):
    pair.fresh()
    pair.theirs.run("drbdadm primary --force r0")
    pair.connected()
    pair.write_theirs(5, 4)
    pair.theirs.run("drbdadm secondary r0")
    pair.equal()


def roles_are_swapped(pair):
    pair.ours.run("drbdadm", "primary", "r0")
    refused = pair.theirs.try_run("drbdadm primary r0")
    if refused[0] != 11:
        raise Failed(f"the kernel became a second Primary: {refused}")
    pair.write_ours(1, 1)
    pair.ours.run("drbdadm", "secondary", "r0")
    pair.theirs.run("drbdadm primary r0")
    pair.write_theirs(2, 1)
    pair.theirs.run("drbdadm secondary r0")
    pair.connected()
    pair.equal()


def what_we_wrote_alone_is_resynced(pair):
    pair.ours.run("drbdadm", "primary", "r0")
    pair.theirs.run("drbdadm disconnect r0")
    pair.write_ours(10, 2)
    pair.theirs.run("drbdadm connect r0")
    pair.connected()
    pair.ours.run("drbdadm", "secondary", "r0")
    pair.equal()


def what_the_kernel_wrote_alone_is_resynced(pair):
    pair.theirs.run("drbdadm primary r0")
    pair.ours.run("drbdadm", "disconnect", "r0")
    pair.write_theirs(20, 2)
    pair.ours.run("drbdadm", "connect", "r0")
    pair.connected()
    pair.theirs.run("drbdadm secondary r0")
    pair.equal()


def a_filesystem_made_there_is_read_here(pair):
    pair.theirs.run("drbdadm primary r0 && mkfs.ext3 -q /dev/drbd0 && mount /dev/drbd0 /mnt && "
                    "echo from the kernel > /mnt/file && umount /mnt && drbdadm secondary r0")
    pair.ours.run("drbdadm", "primary", "r0")
    pair.ours.shell("mkdir -p /mnt/r0 && mount -t ext3 /dev/drbd0 /mnt/r0")
    text = pair.ours.run("cat", "/mnt/r0/file")
    pair.ours.shell("echo from here > /mnt/r0/answer; umount /mnt/r0; drbdadm secondary r0")
    if text != "from the kernel\n":
        raise Failed(f"the file says {text!r}")
    pair.theirs.run("drbdadm primary r0 && mount /dev/drbd0 /mnt && grep -q 'from here' /mnt/answer "
                    "&& umount /mnt && drbdadm secondary r0")
    pair.equal()


SCENARIOS = [our_primary_syncs_the_kernel, the_kernels_primary_syncs_us, roles_are_swapped,
             what_we_wrote_alone_is_resynced, what_the_kernel_wrote_alone_is_resynced,
             a_filesystem_made_there_is_read_here]


def scenarios():
    stage, lab_directory = sys.argv[1:3]
    lab = Lab(lab_directory)
    lab.prepare()
    with Cluster("kernel", stage) as cluster:
        pair = Pair(cluster, lab)
        try:
            return 1 if run_scenarios(SCENARIOS, pair) else 0
        finally:
            pair.theirs.crash()


if __name__ == "__main__":
    main(scenarios)
