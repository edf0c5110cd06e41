"""Volumes that come, go and change their minor by `drbdadm adjust`, while an application writes to
another volume of the resource.

    volumes_scenarios.py STAGE     prints TAP
"""

import sys

from kills_scenarios import Account, Writer, contents
from nodes import Cluster, main, run_scenarios, until
from pair import expect

DISK = 32 << 20
LEFT_BY_MINOR = ("ls -d /dev/drbd{0} /dev/drbd/by-res/*/{1} /run/lockstep/*{0} /run/lockstep/*/*{0} "
                 "/var/run/drbd/*{0} 2>/dev/null; losetup --list --noheadings --output NAME,BACK-FILE "
                 "| grep :drbd{0}:{2}:")  # loop devices are the whole machine's


def resource(nodes, minors):
    """r0 with a volume 0, and a volume 1 if it is given a minor."""
    hosts = "".join(f"    on {each.name} {{ address {each.address}:7789; }}\n" for each in nodes)
    volumes = "".join(
        f"    volume {number} {{ device minor {minor}; disk /dev/sd{'bc'[number]}1; "
        "meta-disk internal; }\n" for number, minor in enumerate(minors))
    return ("global { usage-count no; }\n"
            "common { net { protocol C; } }\n"
            f"resource r0 {{\n{volumes}{hosts}}}\n")


class Volumes:
    def __init__(self, cluster):
        self.primary, self.secondary = cluster.node("alpha"), cluster.node("beta")
        self.account = Account(f"{cluster.directory}/acknowledged")
        self.writer = None
        self.data = None
        for node in self.both:
            node.add_disk("sdb1", DISK)
            node.add_disk("sdc1", DISK)
            node.start()
        self.configure(0)
        for node in self.both:
            node.run("drbdadm", "create-md", "r0")
            node.run("drbdadm", "up", "r0")
        self.without_first_sync(0)
        self.primary.run("drbdadm", "primary", "r0")
        self.write_on()

    @property
    def both(self):
        return self.primary, self.secondary

    def configure(self, *minors):
        for node in self.both:
            node.write("/etc/drbd.conf", resource(sorted(self.both, key=lambda each: each.name),
                                                  minors))

    def without_first_sync(self, volume):
        for node in self.both:
            node.wait_for("Connected", "Inconsistent/Inconsistent", f"r0/{volume}")
        self.primary.run("drbdadm", "--", "--clear-bitmap", "new-current-uuid", f"r0/{volume}")
        self.in_sync(volume)

    def in_sync(self, volume):
        for node in self.both:
            node.wait_for("Connected", "UpToDate/UpToDate", f"r0/{volume}")

    def write_on(self):
        self.writer = Writer(self.primary, self.account, 1)
        self.writer.wait_for_more(5)

    def check(self):
        """The application has gone on, and everything of it is there."""
        self.writer.wait_for_more(5)
        for node in self.both:
            expect(node.state("r0/0")[0] == "Connected", f"{node.name}: {node.state('r0/0')}")
        self.writer.end()
        self.account.check(lambda: contents(self.primary))
        self.write_on()

    def take_over(self):
        self.writer.end()
        # By a minor that it has, whatever the configuration says now.
        until(lambda: self.primary.try_run("drbdsetup", "secondary", "0").returncode == 0, "demotion")
        self.primary, self.secondary = self.secondary, self.primary
        self.primary.run("drbdadm", "primary", "r0")
        self.write_on()

    @staticmethod
    def adjust(node):
        node.run("drbdadm", "adjust", "r0")
        expect(node.run("drbdadm", "adjust", "r0") == "", "a second adjust does something")

    @staticmethod
    def nothing_is_left(node, minor):
        left = node.shell(LEFT_BY_MINOR.format(minor, 1, node.pid_namespace) + " || true")
        expect(left == "", f"{node.name}: left behind\n{left}")
        show = node.run("drbdsetup", "show", "r0") + node.run("drbdsetup", "status", "r0")
        expect("sdc1" not in show and f"minor {minor}" not in show, show)


def fill(node, minor, seek=0):
    node.shell(f"dd if=/dev/urandom of=/dev/drbd{minor} bs=64k count=32 seek={seek * 32} "
               "oflag=direct conv=fsync status=none")


def checksum(node, minor):
    return node.shell(f"dd if=/dev/drbd{minor} bs=64k count=64 iflag=direct status=none | sha256sum")


def a_volume_is_added(it):
    it.configure(0, 1)
    for node in it.both:
        node.run("drbdadm", "create-md", "r0/1")
        it.adjust(node)
    it.without_first_sync(1)
    fill(it.primary, 1)
    it.check()


def a_volume_is_removed_on_one_node_and_then_on_the_other(it):
    it.configure(0)
    it.adjust(it.secondary)
    it.nothing_is_left(it.secondary, 1)
    until(lambda: it.primary.run("drbdsetup", "cstate", "1") == "WFReportParams\n", "it to wait")
    fill(it.primary, 1, seek=1)
    # The Primary keeps what it alone has.
    expect(it.primary.try_run("drbdadm", "adjust", "r0").returncode != 0, "taken from a Primary")
    expect(it.primary.run("drbdsetup", "dstate", "1") == "UpToDate/DUnknown\n", "detached")
    it.check()
    it.data = checksum(it.primary, 1)
    it.take_over()
    it.adjust(it.secondary)
    it.nothing_is_left(it.secondary, 1)
    it.check()


def it_comes_back_with_what_was_written_alone(it):
    it.configure(0, 1)
    for node in (it.secondary, it.primary):  # who wrote last first: the other one is compared with it
        it.adjust(node)
    it.in_sync(1)
    for _ in it.both:
        expect(checksum(it.primary, 1) == it.data, f"{it.primary.name} has other data")
        it.check()
        it.take_over()


def its_minor_is_changed(it):
    it.configure(0, 5)
    for _ in it.both:
        it.adjust(it.secondary)
        it.secondary.wait_for("Connected", "UpToDate/UpToDate", "r0/1")
        expect(it.secondary.try_run("ls", "/dev/drbd1").returncode != 0, "/dev/drbd1 is left")
        it.check()
        it.take_over()
        expect(checksum(it.primary, 5) == it.data, "other data")
    fill(it.primary, 5)
    it.check()


def volumes():
    scenarios = [a_volume_is_added, a_volume_is_removed_on_one_node_and_then_on_the_other,
                 it_comes_back_with_what_was_written_alone, its_minor_is_changed]
    with Cluster("volumes", sys.argv[1]) as cluster:
        it = Volumes(cluster)
        try:
            return 1 if run_scenarios(scenarios, it) else 0
        finally:
            it.writer.end()


if __name__ == "__main__":
    main(volumes)
