"""What goes wrong around a resource, and costs nothing: strangers on its port, full or read-only
file systems for logs and state, a disk that vanishes. Each gets a clear word, and no data is lost.

    bad_surroundings_scenarios.py STAGE     prints TAP
"""

import signal
import subprocess

from nodes import main, run, until
from pair import ended, expect, run_pair

STRANGER = r"""
import socket, sys
with socket.create_connection((sys.argv[1], 7789), 5) as link:
    link.settimeout(10)
    try:
        link.sendall(bytes(range(256)) * 16)
        while link.recv(4096):
            pass
    except OSError:
        pass
"""


def log_of(node):
    return node.shell("cat /run/lockstep/r0.log /var/log/syslog 2>/dev/null || true")


def a_stranger_on_the_port_is_named_and_takes_nobodys_place(pair):
    pair.fresh(primary=pair.alpha)
    pair.beta.run("drbdadm", "down", "r0")
    pair.alpha.wait_for("WFConnection")
    before = len(log_of(pair.alpha))
    for _ in range(3):
        run("ip", "netns", "exec", pair.alpha.cluster.hub, "python3", "-c", STRANGER,
            pair.alpha.address, timeout=30)
    pair.write(pair.alpha, seek=1)
    pair.beta.run("drbdadm", "up", "r0")
    pair.in_sync()
    said = log_of(pair.alpha)[before:]
    expect("10.78.0.1:" in said, f"the stranger is not named:\n{said}")


def a_full_file_system_for_logs_and_sockets_stops_no_write(pair):
    pair.alpha.shell("mount -o remount,size=2M /run; dd if=/dev/zero of=/run/fill bs=4k "
                     "count=4096 status=none; ! echo more >/run/more")
    try:
        pair.write(pair.alpha)
        pair.beta.link(False)
        pair.alpha.wait_for("WFConnection")
        pair.write(pair.alpha, seek=3)
        pair.beta.link(True)
        pair.in_sync()
    finally:
        pair.alpha.run("rm", "-f", "/run/fill", "/run/more")
    before = len(log_of(pair.alpha))
    pair.alpha.run("drbdadm", "secondary", "r0")
    pair.alpha.run("drbdadm", "primary", "r0")
    until(lambda: len(log_of(pair.alpha)) > before, "the log to go on", 10)


def a_resource_that_can_not_be_started_says_why_and_leaves_nothing(pair):
    pair.alpha.run("drbdadm", "down", "r0")
    until(lambda: pair.alpha.try_run("pgrep", "lockstep").returncode == 1, "the engine's end")
    pair.alpha.run("mount", "-o", "remount,ro", "/run")
    try:
        done = pair.alpha.try_run("drbdadm", "up", "r0")
        expect(done.returncode != 0, "it says that it started")
        expect("/run/lockstep" in done.stdout and "Read-only file system" in done.stdout,
               f"it does not say why:\n{done.stdout}")
    finally:
        pair.alpha.run("mount", "-o", "remount,rw", "/run")
    ended(pair.alpha.try_run("pgrep", "lockstep"), 1)
    expect(pair.alpha.try_run("test", "-e", "/dev/drbd0").returncode == 1, "a node is left")
    pair.alpha.run("drbdadm", "up", "r0")
    pair.in_sync()


def metadata_is_made_although_what_is_known_of_disks_can_not_be_kept(pair):
    pair.alpha.run("drbdadm", "down", "r0")
    pair.alpha.shell("mkdir -p /var/lib/drbd && mount -t tmpfs -o ro tmpfs /var/lib/drbd")
    try:
        done = pair.alpha.try_run("drbdadm", "--", "--force", "create-md", "r0")
        expect("/var/lib/drbd" in done.stdout and "Read-only file system" in done.stdout,
               f"it does not say what it could not keep:\n{done.stdout}")
        ended(pair.alpha.try_run("drbdadm", "dump-md", "r0"), 0, "la-size-sect 0;")
    finally:
        pair.alpha.run("umount", "/var/lib/drbd")
    pair.alpha.run("drbdadm", "up", "r0")
    pair.in_sync()


def a_disk_that_vanishes_is_dropped_and_its_data_comes_from_the_peer(pair):
    pair.fresh(primary=pair.alpha, disk_options="on-io-error detach;")
    pair.write(pair.alpha)
    before = pair.checksum(pair.alpha)
    for server in pair.alpha.helpers:
        server.send_signal(signal.SIGKILL)
    expect(pair.checksum(pair.alpha) == before, "other data is read")
    pair.alpha.wait_for("Connected", "Diskless/UpToDate")
    pair.write(pair.alpha, seek=2)
    written = pair.checksum(pair.alpha, seek=2)
    done = pair.alpha.try_run("drbdadm", "attach", "r0")
    expect(done.returncode != 0, "a disk that is not there was attached")
    pair.alpha.run("drbdadm", "secondary", "r0")
    pair.beta.run("drbdadm", "primary", "r0")
    expect(pair.checksum(pair.beta, seek=2) == written, "the peer does not have what was written")


SCENARIOS = [
    a_stranger_on_the_port_is_named_and_takes_nobodys_place,
    a_full_file_system_for_logs_and_sockets_stops_no_write,
    a_resource_that_can_not_be_started_says_why_and_leaves_nothing,
    metadata_is_made_although_what_is_known_of_disks_can_not_be_kept,
    a_disk_that_vanishes_is_dropped_and_its_data_comes_from_the_peer,
]


if __name__ == "__main__":
    main(lambda: run_pair("surroundings", SCENARIOS))
