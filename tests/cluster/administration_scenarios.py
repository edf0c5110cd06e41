"""What administrators do to a pair by drbdadm, beside the first session: each command against real
engines, its refusals, and what stands in the way of new metadata.

    administration_scenarios.py STAGE     prints TAP
"""

import os
import struct
import subprocess
import sys
import time
import uuid
import zlib

from nodes import Cluster, main, resource_text, run, run_scenarios, until
from pair import DISK, Pair, ended, expect

BIGGER = 96 << 20


class TwoNodes(Pair):
    """As Pair, with disks that can grow."""

    def __init__(self, cluster):
        self.alpha, self.beta = cluster.node("alpha"), cluster.node("beta")
        self.faults = f"{cluster.directory}/none"
        for node in self.both:
            node.add_disk("sdb1", DISK)
            node.start()

    @property
    def both(self):
        return self.alpha, self.beta

    @staticmethod
    def grow(node, size):
        path, loop = node.disks["sdb1"]
        os.truncate(path, size)
        run("losetup", "--set-capacity", loop)

    def apart(self):
        """Connected no more."""
        for node in self.both:
            node.run("drbdadm", "disconnect", "r0")
            node.wait_for("StandAlone")


def write_sectors(path, sectors):
    with open(path, "r+b") as image:
        for number, data in sectors.items():
            image.seek(number * 512)
            image.write(data)


def dos_table(kind=0x83):
    """One partition from sector 2048 to the end, as fdisk makes it."""
    entry = struct.pack("<B3sB3sII", 0, bytes(3), kind, bytes(3), 2048, DISK // 512 - 2048)
    return {0: bytes(440) + struct.pack("<IH", 0xd1a5a0e2, 0) + entry + bytes(48) + b"\x55\xaa"}


def gpt_table():
    """The same, with the table's copy at the end (UEFI 2.10, section 5.3)."""
    last = DISK // 512 - 1
    entry = uuid.uuid4().bytes + uuid.uuid4().bytes + struct.pack("<QQQ", 2048, last - 33, 0)
    entries = (entry + bytes(72)).ljust(128 * 128, b"\0")
    disk = uuid.uuid4().bytes

    def header(here, other, entries_at):
        def packed(crc):
            return struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, crc, 0, here, other,
                               34, last - 33, disk, entries_at, 128, 128, zlib.crc32(entries))
        return packed(zlib.crc32(packed(0))).ljust(512, b"\0")
    sectors = dos_table(0xee)
    sectors[1], sectors[last] = header(1, last, 2), header(last, 1, last - 32)
    for number in range(32):
        sectors[2 + number] = sectors[last - 32 + number] = entries[number * 512:][:512]
    return sectors


def exit_of(node, *command):
    return node.try_run(*command).returncode


# --- configuration ---

def the_first_default_file_that_exists_is_read(pair):
    node = pair.alpha
    node.run("ln", "-sf", "/usr/sbin/drbdadm", "/tmp/drbdadm-83")
    names = ("drbd", "drbd-08", "drbd-82", "drbd-83", "drbd-84", "drbd-90")
    for number, name in enumerate(names):
        node.write(f"/etc/{name}.conf", resource_text(name, pair.both, minor=number,
                                                      port=7700 + number))
        found = node.run("drbdadm", "sh-resources").strip()
        expect(found == name, f"read {found}, not {name}")
    old = node.run("/tmp/drbdadm-83", "sh-resources").strip()
    expect(old == "drbd-83", f"8.3 reads {old}")
    node.run("rm", *(f"/etc/{name}.conf" for name in names))
    ended(node.try_run("drbdadm", "up", "all"), 10, "/etc/drbd.conf", "-c FILE")


# --- what is in the way of new metadata ---

def a_filesystem_in_the_way_survives(pair):
    pair.configure()
    node = pair.alpha
    node.run("mkfs.ext4", "-q", "/dev/sdb1")
    for words in (("create-md",), ("--", "--force", "create-md")):
        ended(node.try_run("drbdadm", *words, "r0"), 40, "Found ext4 filesystem",
              "Operation refused.", "use external meta data")
    node.run("e2fsck", "-fn", "/dev/sdb1")
    node.run("wipefs", "--all", "--quiet", "/dev/sdb1")


def a_disk_in_use_is_refused_and_its_user_named(pair):
    pair.configure()
    node = pair.alpha
    node.shell("mkfs.ext4 -q /dev/sdb1 60M && mkdir -p /mnt/disk && mount /dev/sdb1 /mnt/disk")
    try:
        for words in (("create-md", "r0"), ("up", "r0")):
            ended(node.try_run("drbdadm", *words), 20, "/dev/sdb1 is mounted on /mnt/disk")
    finally:
        node.run("umount", "/mnt/disk")
        node.run("drbdadm", "down", "r0")
        node.run("wipefs", "--all", "--quiet", "/dev/sdb1")
    node.run("drbdadm", "--", "--force", "create-md", "r0")
    node.run("drbdadm", "up", "r0")
    for words in (("create-md", "r0"), ("up", "r0"), ("wipe-md", "r0")):
        ended(node.try_run("drbdadm", *words), 20, "Device '0' is configured!", "drbdadm detach",
              "drbdadm adjust")
    node.write("/tmp/other.conf", resource_text("r1", pair.both, minor=1, port=7799))
    ended(node.try_run("drbdadm", "-c", "/tmp/other.conf", "create-md", "r1"), 20,
          "/dev/sdb1 is open in lockstep-engine (pid ")
    node.run("drbdadm", "down", "r0")


def a_partition_table_in_the_way_survives(pair):
    node = pair.alpha
    image = node.disks["sdb1"][0]
    for label, sectors in (("dos", dos_table()), ("gpt", gpt_table())):
        write_sectors(image, sectors)
        before = run("sha256sum", image).stdout
        ended(node.try_run("drbdadm", "--", "--force", "create-md", "r0"), 40,
              f"Found {label} partition table", "Operation refused.")
        expect(run("sha256sum", image).stdout == before, "the disk was written to")
        write_sectors(image, {number: bytes(512) for number in sectors})


def a_disk_that_shrank_is_not_attached(pair):
    node = pair.alpha
    half = ("bash", "-c", f"head -c {DISK // 2} {node.disks['sdb1'][0]} | sha256sum")
    pair.configure()
    for words in (("--", "--force", "create-md"), ("up",), ("down",)):
        node.run("drbdadm", *words, "r0")
    node.run("dd", "if=/dev/urandom", "of=/dev/sdb1", "bs=1M", f"count={DISK // 2 >> 20}",
             "oflag=direct", "status=none")
    before = run(*half).stdout
    pair.grow(node, DISK // 2)
    done = node.try_run("drbdadm", "up", "r0")
    ended(done, 1, f"/dev/sdb1 has {DISK // 2} bytes; when this minor was attached last, /dev/sdb1 "
          f"had {DISK}.", "give it its old size again")
    expect("create-md" not in done.stdout, f"it proposes to overwrite the disk:\n{done.stdout}")
    node.run("drbdadm", "down", "r0")
    expect(run(*half).stdout == before,
           "the disk was written to")
    pair.grow(node, DISK)
    node.run("dd", "if=/dev/zero", "of=/dev/sdb1", "bs=1M", "count=64", "oflag=direct",
             "status=none")


def metadata_that_make_no_sense_are_not_attached(pair):
    pair.configure()
    node = pair.alpha
    node.run("drbdadm", "--", "--force", "create-md", "r0")
    # How much a bit stands for: bytes 88 to 91 of the superblock, 4 KiB before the end.
    node.shell(f"printf '\\377\\377\\377\\377' | dd of=/dev/sdb1 bs=1 seek={DISK - 4096 + 88} "
               "conv=notrunc status=none")
    image = run("sha256sum", node.disks["sdb1"][0]).stdout
    done = node.try_run("drbdadm", "up", "r0")
    ended(done, 1, "Those on /dev/sdb1 are damaged", "restore-md", "v08 ")
    expect("a new one" not in done.stdout, done.stdout)
    node.run("drbdadm", "down", "r0")
    expect(run("sha256sum", node.disks["sdb1"][0]).stdout == image, "the disk was written to")


# --- life of a pair ---

def one_minor_is_worked_on_by_one_at_a_time(pair):
    node = pair.alpha
    held = ("import fcntl, sys; f = open('/run/lock/drbd-147-0', 'w'); "
            "fcntl.lockf(f, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.readline()")
    holder = subprocess.Popen(node.command("python3", "-c", held), stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    try:
        expect(holder.stdout.readline() == "held\n", "the lock could not be taken")
        for words in (("--", "--force", "create-md"), ("apply-al",), ("get-gi",)):
            ended(node.try_run("drbdadm", *words, "r0"), 20,
                  "/lock/drbd-147-0 currently held by pid:")
        waiting = subprocess.Popen(node.command("drbdadm", "--", "--force", "create-md", "r0"),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        holder.communicate("\n")
        expect(waiting.wait(timeout=20) == 0, "it did not wait for the lock")
    finally:
        holder.kill()
        holder.wait()


def a_resource_lives_step_by_step(pair):
    pair.configure()
    for node in pair.both:
        node.run("drbdadm", "--", "--force", "create-md", "r0")
        for step in ("new-resource", "new-minor", "attach", "connect"):
            node.run("drbdadm", step, "r0")
    for node in pair.both:
        node.wait_for("Connected", "Inconsistent/Inconsistent")
    expect(pair.alpha.run("drbdadm", "peer-role", "r0") == "Secondary\n", "peer-role")
    for step in ("del-peer", "detach", "del-minor"):
        pair.alpha.run("drbdadm", step, "r0")
    expect(pair.alpha.run("drbdadm", "sh-list-adjustable").strip() == "r0", "nothing to adjust")
    pair.alpha.run("drbdadm", "adjust", "r0")
    expect(pair.alpha.run("drbdadm", "sh-list-adjustable") == "", "adjust left something")
    pair.alpha.wait_for("Connected", "Inconsistent/Inconsistent")


def the_init_script_waits_for_the_peer_and_promotes_whom_the_file_names(pair):
    pair.fresh()
    for node in pair.both:
        node.run("/etc/init.d/drbd", "stop")
        node.write("/etc/drbd.conf", resource_text("r0", pair.both).replace(
            "common {", "common { startup { wfc-timeout 3; become-primary-on alpha; }"))
    began = time.monotonic()
    pair.alpha.run("/etc/init.d/drbd", "start")
    expect(time.monotonic() - began >= 3, "it did not wait for the peer")
    expect(pair.alpha.state() == ("WFConnection", "Primary/Unknown", "UpToDate/DUnknown"),
           f"{pair.alpha.state()}")
    pair.beta.run("/etc/init.d/drbd", "start")
    expect(pair.beta.state()[:2] == ("Connected", "Secondary/Primary"), f"{pair.beta.state()}")
    pair.in_sync()
    pair.configure()


def adjust_does_as_little_as_it_can(pair):
    pair.fresh(primary=pair.alpha)
    for node in pair.both:
        node.write("/etc/drbd.conf", resource_text("r0", pair.both, net="timeout 50;",
                                                   disk_options="c-max-rate 20M;"))
    printed = pair.alpha.run("drbdadm", "-d", "adjust", "r0").splitlines()
    expect([line.split()[1] for line in printed] == ["disk-options", "net-options"], f"{printed}")
    pair.alpha.run("drbdadm", "adjust", "r0")
    show = pair.alpha.run("drbdsetup", "show", "r0")
    expect("timeout" in show and "50;" in show and "c-max-rate" in show, show)
    pair.configure()
    pair.alpha.run("drbdadm", "adjust", "r0")
    expect("c-max-rate" not in pair.alpha.run("drbdsetup", "show", "r0"), "not reset")
    expect(pair.alpha.run("drbdadm", "adjust", "r0") == "", "a second adjust does something")
    expect(pair.alpha.state() == ("Connected", "Primary/Secondary", "UpToDate/UpToDate"),
           f"{pair.alpha.state()}")


def options_are_set_and_put_back(pair):
    node = pair.alpha
    node.run("drbdadm", "disk-options", "--c-max-rate=11M", "r0")
    node.run("drbdadm", "net-options", "--ko-count=3", "r0")
    node.run("drbdadm", "resource-options", "--on-no-data-accessible=suspend-io", "r0")
    show = node.run("drbdsetup", "show", "r0")
    for each in ("11264k", "ko-count", "suspend-io"):
        expect(each in show, f"{each} is not in:\n{show}")
    node.run("drbdadm", "syncer", "r0")
    show = node.run("drbdsetup", "show", "r0")
    for each in ("11264k", "ko-count", "suspend-io"):
        expect(each not in show, f"{each} is still in:\n{show}")


def a_disk_is_taken_and_given(pair):
    pair.beta.run("drbdadm", "detach", "r0")
    pair.beta.wait_for("Connected", "Diskless/UpToDate")
    pair.write(pair.alpha)
    pair.beta.run("drbdadm", "attach", "r0")
    pair.in_sync()
    ended(pair.beta.try_run("drbdadm", "attach", "r0"), 20, "Device '0' is configured!")
    pair.apart()
    ended(pair.alpha.try_run("drbdadm", "detach", "r0"), 17, "State change failed: (-2)")
    expect(pair.alpha.state()[2].startswith("UpToDate/"), "the only good disk was taken")


def data_that_nobody_else_has_are_not_thrown_away(pair):
    ended(pair.alpha.try_run("drbdadm", "invalidate", "r0"), 17, "(-2)")
    ended(pair.alpha.try_run("drbdadm", "verify", "r0"), 11)
    ended(pair.beta.try_run("drbdadm", "invalidate-remote", "r0"), 11)
    pair.beta.run("drbdadm", "invalidate", "r0")
    expect(pair.beta.state()[2].startswith("Inconsistent/"), f"{pair.beta.state()}")


def a_tentative_connection_changes_nothing(pair):
    pair.write(pair.alpha, mib=2)
    before = [node.run("drbdadm", "get-gi", "r0") for node in pair.both]
    pair.alpha.run("drbdadm", "connect", "r0")
    pair.alpha.wait_for("WFConnection")
    pair.beta.run("drbdadm", "connect", "--tentative", "r0")
    until(lambda: pair.beta.state()[0] == "StandAlone", "the tentative connection to end")
    pair.alpha.wait_for("WFConnection")
    pair.alpha.run("drbdadm", "disconnect", "r0")
    after = [node.run("drbdadm", "get-gi", "r0") for node in pair.both]
    expect(before == after, f"{before} became {after}")
    for node in pair.both:
        node.run("drbdadm", "connect", "r0")
    pair.in_sync()


def a_device_in_use_is_taken_by_force_only(pair):
    node = pair.alpha
    node.shell("mkfs.ext3 -q /dev/drbd0 && mkdir -p /mnt/r0 && mount /dev/drbd0 /mnt/r0 && "
               "echo kept > /mnt/r0/file && sync -f /mnt/r0")
    ended(node.try_run("drbdadm", "secondary", "r0"), 11, "(-12)", "in use: mounted on /mnt/r0\n")
    node.run("drbdadm", "secondary", "--force", "r0")
    node.wait_for("Connected", "UpToDate/UpToDate")
    expect(node.state()[1] == "Secondary/Secondary", f"{node.state()}")
    failed = node.try_run("bash", "-c", "echo lost > /mnt/r0/other && sync -f /mnt/r0")
    expect(failed.returncode != 0, "the old device still takes writes")
    node.run("umount", "/mnt/r0")
    pair.beta.run("drbdadm", "primary", "r0")
    kept = pair.beta.shell("mkdir -p /mnt/r0 && mount /dev/drbd0 /mnt/r0 && cat /mnt/r0/file; "
                           "umount /mnt/r0")
    expect(kept == "kept\n", f"read {kept!r}")
    pair.beta.run("drbdadm", "secondary", "r0")
    node.run("drbdadm", "primary", "r0")


def io_is_frozen_and_let_go(pair):
    node = pair.alpha
    node.run("drbdadm", "suspend-io", "r0")
    writer = subprocess.Popen(node.command(
        "dd", "if=/dev/zero", "of=/dev/drbd0", "bs=4k", "count=1", "oflag=direct"),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: " ap:1 " in node.run("drbdsetup", "proc"), "the write to be waiting")
        # As DRBD has it, whatever is frozen is congested, too.
        expect(" C s---d" in node.run("drbdsetup", "proc"), node.run("drbdsetup", "proc"))
        expect(writer.poll() is None, "a write was completed while I/O was suspended")
        node.run("drbdadm", "resume-io", "r0")
        expect(writer.wait(timeout=20) == 0, "the write failed")
    finally:
        writer.kill()
        writer.wait()


def a_sync_is_paused_and_goes_on(pair):
    node = pair.beta
    node.run("drbdadm", "disk-options", "--c-plan-ahead=0", "--resync-rate=512", "r0")
    node.run("drbdadm", "invalidate", "r0")
    node.wait_for("SyncTarget")
    node.run("drbdadm", "pause-sync", "r0")
    node.wait_for("PausedSyncT")
    pair.alpha.wait_for("PausedSyncS")
    ended(node.try_run("drbdadm", "pause-sync", "r0"), 10, "(134) Sync-pause flag is already set")
    node.run("drbdadm", "resume-sync", "r0")
    node.wait_for("SyncTarget")
    ended(node.try_run("drbdadm", "resume-sync", "r0"), 10, "(135)")
    node.run("drbdadm", "syncer", "r0")
    pair.in_sync()


def metadata_move_when_a_disk_grew_offline(pair):
    pair.fresh(primary=pair.alpha)
    pair.write(pair.alpha)
    written = pair.checksum(pair.alpha)
    for node in pair.both:
        node.run("drbdadm", "down", "r0")
        pair.grow(node, BIGGER)
        expect("successfully moved" in node.run("drbdadm", "check-resize", "r0"), "not moved")
        expect(node.run("drbdadm", "check-resize", "r0") == "", "it is not silent")
        node.run("drbdadm", "up", "r0")
    pair.in_sync()
    pair.alpha.run("drbdadm", "primary", "r0")
    expect(pair.checksum(pair.alpha) == written, "the data differ")
    size = int(pair.alpha.run("blockdev", "--getsize64", "/dev/drbd0"))
    expect(BIGGER - (1 << 20) < size < BIGGER, f"{size} of {BIGGER}")


def the_metadata_can_be_looked_at_up_and_down(pair):
    pair.fresh(primary=pair.alpha)
    node = pair.beta
    up = node.run("drbdadm", "get-gi", "r0").strip()
    expect(":1:1:0:1:" in up, up)
    expect("flags: Secondary, Connected, UpToDate" in node.run("drbdadm", "show-gi", "r0"), "flags")
    done = node.try_run("drbdadm", "dump-md", "r0")
    expect(done.returncode == 20 and "minor 0 is attached" in done.stdout, done.stdout)
    node.run("drbdadm", "down", "r0")
    down = node.run("drbdadm", "get-gi", "r0").strip()
    expect(down.split(":")[:4] == up.split(":")[:4], f"{up} is {down} when down")
    expect("meta-data: need apply-al\n" in node.run("drbdadm", "show-gi", "r0"), "unclean")
    ended(node.try_run("drbdadm", "dump-md", "r0"), 1, "please apply-al first")
    node.run("drbdadm", "apply-al", "r0")
    expect("meta-data: clean\n" in node.run("drbdadm", "show-gi", "r0"), "clean")
    expect('version "v08";' in node.run("drbdadm", "dump-md", "r0"), "dump-md")
    state = node.run("drbdadm", "dstate", "r0")
    expect(state == "Consistent\n", state)
    value = ":".join(["1122334455667788", *down.split(":")[1:4], "1"])
    node.run("drbdadm", "--", "--force", value, "set-gi", "r0/0")
    expect(node.run("drbdadm", "get-gi", "r0").startswith("1122334455667788:"), "set-gi")
    node.run("drbdadm", "invalidate", "r0")
    expect(node.run("drbdadm", "dstate", "r0") == "Inconsistent\n", "invalidate")
    node.run("drbdadm", "--", "--force", "wipe-md", "r0")
    ended(node.try_run("drbdadm", "attach", "r0"), 1, "drbdadm create-md r0")


def down_may_be_repeated_and_needs_no_file(pair):
    pair.fresh(primary=pair.alpha)
    node = pair.alpha
    node.write("/etc/drbd.conf", "global { usage-count no; }\n")
    node.run("drbdadm", "down", "r0")
    expect("r0" not in node.run("drbdsetup", "status"), "it still runs")
    ended(node.try_run("drbdadm", "down", "r0"), 1, "not defined")
    pair.configure()
    for _ in range(2):
        for each in pair.both:
            each.run("drbdadm", "down", "r0")
    expect(exit_of(pair.alpha, "test", "-e", "/dev/drbd0") != 0, "/dev/drbd0 is still there")


SCENARIOS = [
    the_first_default_file_that_exists_is_read,
    a_filesystem_in_the_way_survives, a_disk_in_use_is_refused_and_its_user_named,
    a_partition_table_in_the_way_survives,
    a_disk_that_shrank_is_not_attached, metadata_that_make_no_sense_are_not_attached,
    one_minor_is_worked_on_by_one_at_a_time, a_resource_lives_step_by_step,
    the_init_script_waits_for_the_peer_and_promotes_whom_the_file_names,
    adjust_does_as_little_as_it_can, options_are_set_and_put_back, a_disk_is_taken_and_given,
    data_that_nobody_else_has_are_not_thrown_away, a_tentative_connection_changes_nothing,
    a_device_in_use_is_taken_by_force_only, io_is_frozen_and_let_go, a_sync_is_paused_and_goes_on,
    metadata_move_when_a_disk_grew_offline, the_metadata_can_be_looked_at_up_and_down,
    down_may_be_repeated_and_needs_no_file,
]


def administer():
    with Cluster("administration", sys.argv[1]) as cluster:
        wanted = [each for each in SCENARIOS if len(sys.argv) < 3 or sys.argv[2] in each.__name__]
        return 1 if run_scenarios(wanted, TwoNodes(cluster)) else 0


if __name__ == "__main__":
    main(administer)
