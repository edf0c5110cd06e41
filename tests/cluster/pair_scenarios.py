"""What an administrator sees of a pair: commands, refusals, failing disks, killed engines.

    pair_scenarios.py STAGE     prints TAP
"""

import os
import subprocess

from nodes import Failed, main, until
from pair import ended, expect, run_pair

# --- the first session ---

def dstate_without_resources_says_so(pair):
    pair.alpha.write("/etc/drbd.conf", "global { usage-count no; }\n")
    ended(pair.alpha.try_run("drbdadm", "dstate", "alpha"), 1, "no resources defined!")


def a_mistyped_resource_is_not_mistaken_for_success(pair):
    pair.configure()
    ended(pair.alpha.try_run("drbdadm", "secondary", "dbdb0"), 1, "'dbdb0' not defined")


def attach_without_metadata_is_refused(pair):
    pair.configure()
    ended(pair.beta.try_run("drbdadm", "up", "r0"), 1, "No valid meta data found")
    pair.beta.try_run("drbdadm", "down", "r0")


def the_device_node_belongs_to_drbd_while_secondary(pair):
    pair.fresh()
    kind = pair.alpha.run("stat", "-c", "%F %t:%T", "/dev/drbd0").strip()
    expect(kind == "block special file 93:0", f"/dev/drbd0 is {kind}")
    refused = pair.alpha.try_run("dd", "if=/dev/drbd0", "of=/dev/null", "count=1")
    expect(refused.returncode != 0, "a Secondary's device could be read")
    links = pair.alpha.shell("find /dev/drbd* | sort").split()
    expect(links == ["/dev/drbd", "/dev/drbd/by-disk", "/dev/drbd/by-disk/sdb1",
                     "/dev/drbd/by-res", "/dev/drbd/by-res/r0", "/dev/drbd0"], f"found {links}")


def a_second_primary_is_refused(pair):
    pair.alpha.run("drbdadm", "primary", "r0")
    ended(pair.beta.try_run("drbdadm", "primary", "r0"), 11,
          "State change failed: (-1) Multiple primaries not allowed by config")


def a_device_that_is_open_refuses_demotion(pair):
    holder = pair.alpha.command("bash", "-c", "exec 3</dev/drbd0; echo open; read -r _")
    process = subprocess.Popen(holder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    expect(process.stdout.readline() == "open\n", "the device could not be opened")
    try:
        ended(pair.alpha.try_run("drbdadm", "secondary", "r0"), 11, "(-12)")
    finally:
        process.communicate("\n")
    pair.alpha.run("drbdadm", "secondary", "r0")


def state_is_an_alias_with_a_notice(pair):
    done = pair.alpha.try_run("drbdadm", "state", "r0")
    ended(done, 0, "'drbdadm state' is deprecated, use 'drbdadm role' instead.",
          "Secondary/Secondary")


# --- failing disks ---

def detach_after_a_write_error_goes_on_through_the_peer(pair):
    pair.fresh(primary=pair.alpha, disk_options="on-io-error detach;")
    pair.write(pair.alpha)
    pair.fail("write")
    pair.write(pair.alpha, seek=2)
    pair.alpha.wait_for("Connected", "Diskless/UpToDate")
    written = pair.checksum(pair.alpha, seek=2)
    pair.heal()
    pair.alpha.run("drbdadm", "secondary", "r0")
    pair.beta.run("drbdadm", "primary", "r0")
    expect(pair.checksum(pair.beta, seek=2) == written, "the peer does not have the data")


def an_attached_disk_gets_what_it_missed(pair):
    pair.alpha.run("drbdadm", "attach", "r0")
    pair.in_sync()
    written = pair.checksum(pair.beta, seek=2)
    pair.beta.run("drbdadm", "secondary", "r0")
    pair.alpha.run("drbdadm", "primary", "r0")
    expect(pair.checksum(pair.alpha, seek=2) == written, "the resynced disk has other data")


def detach_after_a_read_error_reads_from_the_peer(pair):
    pair.fresh(primary=pair.alpha, disk_options="on-io-error detach;")
    pair.write(pair.alpha)
    before = pair.checksum(pair.alpha)
    pair.fail("read")
    expect(pair.checksum(pair.alpha) == before, "other data was read")
    pair.alpha.wait_for("Connected", "Diskless/UpToDate")


def pass_on_keeps_the_disk_as_inconsistent(pair):
    pair.fresh(primary=pair.alpha, disk_options="on-io-error pass_on;")
    before = pair.write(pair.alpha) or pair.checksum(pair.alpha)
    pair.fail("read")
    expect(pair.checksum(pair.alpha) == before, "other data was read")
    pair.alpha.wait_for("Connected", "Inconsistent/UpToDate")


def call_local_io_error_runs_the_handler_and_detaches(pair):
    pair.fresh(primary=pair.alpha, disk_options="on-io-error call-local-io-error;",
               handlers='local-io-error "env > /tmp/handler-$DRBD_RESOURCE-$DRBD_MINOR; true";')
    mark = f"/tmp/handler-r0-0"
    pair.alpha.run("rm", "-f", mark)
    pair.fail("write")
    pair.write(pair.alpha)
    pair.alpha.wait_for("Connected", "Diskless/UpToDate")
    seen = pair.alpha.run("cat", mark)
    pair.alpha.run("rm", mark)
    for each in ("DRBD_RESOURCE=r0", "DRBD_MINOR=0", "DRBD_PEER"):
        expect(each in seen, f"the handler did not see {each}:\n{seen}")


def an_error_on_the_secondary_costs_only_its_disk(pair):
    pair.fresh(primary=pair.beta, disk_options="on-io-error detach;")
    pair.fail("write")
    pair.write(pair.beta)
    pair.beta.wait_for("Connected", "UpToDate/Diskless")
    pair.heal()
    pair.alpha.run("drbdadm", "attach", "r0")
    pair.in_sync()


# --- crashes ---

def a_killed_engine_leaves_no_device_behind(pair):
    pair.fresh(primary=pair.alpha)
    engines = pair.alpha.shell("pgrep -o -f 'lockstep-engine r0' || pgrep -o lockstep-engine")
    pair.alpha.run("kill", "-9", engines.split()[0])

    def gone():
        return pair.alpha.try_run("bash", "-c", "test -e /dev/drbd0").returncode != 0
    until(gone, "the node of a dead engine to go", 10)
    pair.beta.wait_for("WFConnection")


def a_crashed_primary_comes_back_and_is_resynced(pair):
    pair.alpha.run("drbdadm", "up", "r0")
    pair.in_sync()


def fence_peer_decides_over_frozen_writes(pair):
    pair.fresh(primary=pair.alpha, net="ping-int 1;",
               disk_options="fencing resource-and-stonith;",
               handlers='fence-peer "touch /tmp/asked; while [ ! -e /tmp/answer ]; do sleep 0.1; '
                        'done; exit 4";')
    pair.alpha.shell("rm -f /tmp/asked /tmp/answer")
    pair.beta.link(False)
    until(lambda: pair.alpha.try_run("test", "-e", "/tmp/asked").returncode == 0,
          "fence-peer to be called", 20)
    writer = subprocess.Popen(pair.alpha.command(
        "dd", "if=/dev/zero", "of=/dev/drbd0", "bs=4k", "count=1", "oflag=direct"),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    status = pair.alpha.run("drbdsetup", "status", "r0", "--verbose")
    expect("suspended:fencing" in status, f"I/O is not frozen:\n{status}")
    expect(writer.poll() is None, "a write was completed while it should be frozen")
    pair.alpha.run("touch", "/tmp/answer")
    try:
        expect(writer.wait(timeout=20) == 0, "the write failed")
    finally:
        pair.alpha.shell("rm -f /tmp/asked /tmp/answer")
    pair.alpha.wait_for("WFConnection", "UpToDate/Outdated")
    pair.beta.link(True)
    pair.in_sync()


def split_brain_is_refused_and_solved_by_hand(pair):
    pair.fresh()
    for node in (pair.alpha, pair.beta):
        node.run("drbdadm", "disconnect", "r0")
    for node in (pair.alpha, pair.beta):
        node.run("drbdadm", "primary", "r0")
        pair.write(node)
        node.run("drbdadm", "secondary", "r0")
    for node in (pair.alpha, pair.beta):
        node.run("drbdadm", "connect", "r0")
    # Who hears of it last finds the connection closed, and may wait for another.
    until(lambda: "StandAlone" in (pair.alpha.state()[0], pair.beta.state()[0]),
          "the split brain to be found", 20)
    until(lambda: all(node.state()[0] in ("StandAlone", "WFConnection")
                      for node in (pair.alpha, pair.beta)), "both to have parted", 20)
    for node in (pair.alpha, pair.beta):
        node.try_run("drbdadm", "disconnect", "r0")
    pair.beta.run("drbdadm", "connect", "--discard-my-data", "r0")
    pair.alpha.run("drbdadm", "connect", "r0")
    pair.in_sync()


def invalidate_fetches_everything_from_the_peer(pair):
    pair.fresh()
    pair.beta.run("drbdadm", "invalidate", "r0")
    until(lambda: pair.alpha.state()[2] == "UpToDate/UpToDate", "the resync", 60)
    pair.in_sync()
    pair.alpha.run("drbdadm", "invalidate-remote", "r0")
    pair.in_sync()


def verify_finds_what_was_changed_below(pair):
    pair.fresh(net="verify-alg crc32c;")
    with open(pair.beta.disks["sdb1"][0], "r+b") as image:
        image.seek(40 * 4096)
        image.write(b"changed")
    pair.beta.run("blockdev", "--flushbufs", "/dev/sdb1")
    pair.alpha.run("drbdadm", "verify", "r0")
    until(lambda: "oos:4" in pair.alpha.run("drbdsetup", "proc"), "the difference to be found", 30)


SCENARIOS = [
    dstate_without_resources_says_so, a_mistyped_resource_is_not_mistaken_for_success,
    attach_without_metadata_is_refused,
    the_device_node_belongs_to_drbd_while_secondary, a_second_primary_is_refused,
    a_device_that_is_open_refuses_demotion, state_is_an_alias_with_a_notice,
    detach_after_a_write_error_goes_on_through_the_peer, an_attached_disk_gets_what_it_missed,
    detach_after_a_read_error_reads_from_the_peer, pass_on_keeps_the_disk_as_inconsistent,
    call_local_io_error_runs_the_handler_and_detaches,
    an_error_on_the_secondary_costs_only_its_disk, a_killed_engine_leaves_no_device_behind,
    a_crashed_primary_comes_back_and_is_resynced, fence_peer_decides_over_frozen_writes,
    split_brain_is_refused_and_solved_by_hand,
    invalidate_fetches_everything_from_the_peer, verify_finds_what_was_changed_below,
]


if __name__ == "__main__":
    main(lambda: run_pair("pair", SCENARIOS))
