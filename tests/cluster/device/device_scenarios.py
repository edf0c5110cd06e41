#!/usr/bin/env python3
"""/dev/drbdN: the node, the loop device on a FUSE file behind it, and what is left of both when
processes are killed. Needs root, /dev/fuse and loop devices."""

import grp
import os
import signal
import stat
import subprocess
import sys
import time

from scenario import (DRBD_MAJOR, LOOP_MAJOR, Server, check, device_numbers, equal,
                      loop_attribute, our_loops, run, tool, until)


def mount_point(name="mnt"):
    path = f"{Server.work}/{name}"
    os.makedirs(path, exist_ok=True)
    return path


def shows_a_loop_device(server):
    numbers = device_numbers(server.node())
    return numbers is not None and numbers[0] == LOOP_MAJOR


def at_rest(server, minor=0):
    return device_numbers(server.node(minor)) == (DRBD_MAJOR, minor)


def a_secondary_has_a_node_that_nobody_can_open(make):
    server = make("--minor", "7")
    server.do("configure")
    check(at_rest(server, 7), "the node is not 147, 7")
    found = os.stat(server.node(7))
    equal(stat.S_IMODE(found.st_mode), 0o660, "mode")
    equal(found.st_gid, grp.getgrnam("disk").gr_gid, "group")
    for flags in (os.O_RDONLY, os.O_RDWR):
        try:
            os.close(os.open(server.node(7), flags))
            check(False, "it could be opened")
        except OSError:
            pass
    server.do("remove")
    check(device_numbers(server.node(7)) is None, "the node is still there")


def links_by_res_and_by_disk_follow_the_device(make):
    server = make()
    server.do("configure /dev/sdb1")
    links = f"{server.directory}/drbd"
    for name in ("by-res/r0", "by-disk/sdb1"):
        equal(os.path.realpath(f"{links}/{name}"), server.node(), name)
    server.do("disk /dev/mapper/vg-lv")
    until(lambda: os.path.lexists(f"{links}/by-disk/vg-lv"), "the link of the new disk")
    check(not os.path.lexists(f"{links}/by-disk/sdb1"), "the link of the old disk is there")
    server.do("publish")
    check(os.path.exists(f"{links}/by-res/r0"), "no link while Primary")
    server.do("withdraw")
    server.do("remove")
    check(not os.path.exists(links), "links or their directories are left")


def the_link_by_res_names_the_volume_if_asked(make):
    server = make("--by-res-volume")
    server.do("configure")
    equal(os.path.realpath(f"{server.directory}/drbd/by-res/r0/0"), server.node(), "link")
    server.do("remove")
    check(not os.path.exists(f"{server.directory}/drbd"), "directories are left")


def a_file_in_the_place_of_the_node_is_refused_and_kept(make):
    server = make()
    with open(server.node(), "w") as file:
        file.write("precious")
    answer = server.ask("configure")
    check("something else has that name" in answer, answer)
    with open(server.node()) as file:
        equal(file.read(), "precious", "the file")
    os.unlink(server.node())


def a_primary_has_a_loop_device_with_direct_io(make):
    server = make("--size", str(100 << 20)).up()
    check(shows_a_loop_device(server), "the node is no loop device")
    loops = our_loops()
    equal(len(loops), 1, "loop devices")
    equal(loop_attribute(loops[0], "dio"), "1", "loop/dio")
    equal(device_numbers(server.node())[1], int(loops[0][4:]), "number of the node")
    equal(int(tool("blockdev", "--getsize64", server.node())), 100 << 20, "size")
    equal(int(tool("blockdev", "--getss", server.node())), 512, "logical block")
    equal(int(tool("blockdev", "--getro", server.node())), 0, "read-only")


def a_volume_with_4096_byte_blocks_has_them_on_the_device(make):
    server = make("--block", "4096").up()
    equal(int(tool("blockdev", "--getss", server.node())), 4096, "logical block")
    tool("mkfs.ext4", "-q", server.node())
    tool("e2fsck", "-fn", server.node())


def a_file_system_on_it_keeps_its_files_over_role_changes(make):
    server = make().up()
    point = mount_point()
    tool("mkfs.ext4", "-q", server.node())
    tool("mount", server.node(), point)
    data = os.urandom(20 << 20)
    with open(f"{point}/file", "wb") as file:
        file.write(data)
    tool("umount", point)
    server.do("withdraw")
    server.do("publish")
    tool("e2fsck", "-fn", server.node())
    tool("mount", "-o", "ro", server.node(), point)
    with open(f"{point}/file", "rb") as file:
        check(file.read() == data, "the file has changed")
    tool("umount", point)


def what_the_device_writes_an_nbd_client_reads(make):
    server = make().up()
    data = os.urandom(4 << 20)
    with open(server.node(), "wb") as device:
        device.write(data)
        os.fsync(device.fileno())
    tool("nbdcopy", server.uri(), f"{Server.work}/copy")
    with open(f"{Server.work}/copy", "rb") as file:
        check(file.read(len(data)) == data, "different data")
    os.unlink(f"{Server.work}/copy")


def nothing_stale_is_read_after_a_role_change(make):
    server = make().up()
    with open(server.node(), "rb") as device:
        check(device.read(4096) == bytes(4096), "a new volume is not empty")
    before = loop_attribute(our_loops()[0], "backing_file")
    server.do("withdraw")
    server.do("publish")
    check(loop_attribute(our_loops()[0], "backing_file") != before, "the same FUSE file")
    tool("qemu-io", "-f", "raw", "-c", "write -P 9 0 4k", server.uri())
    server.do("withdraw")
    server.do("publish")
    with open(server.node(), "rb") as device:
        check(device.read(4096) == b"\x09" * 4096, "stale data")


def fio_verifies_direct_io_on_the_device(make):
    server = make().up()
    tool("fio", "--name=verify", "--ioengine=libaio", f"--filename={server.node()}", "--direct=1",
         "--rw=randrw", "--bsrange=512-1m", "--blockalign=512", "--iodepth=64", "--size=48M",
         "--verify=crc32c", "--do_verify=1", "--fsync=32", "--allow_mounted_write=1")


def a_flush_reaches_the_engine(make):
    server = make().up()
    before = int(server.ask("count").split()[1])
    with open(server.node(), "wb") as device:
        device.write(bytes(4096))
        os.fsync(device.fileno())
    after = int(server.ask("count").split()[1])
    check(after > before, "no flush")


def discards_leave_zeros(make):
    server = make().up()
    tool("qemu-io", "-f", "raw", "-c", "write -P 5 0 32M", server.uri())
    tool("blkdiscard", "-o", str(1 << 20), "-l", str(8 << 20), server.node())
    tool("blkdiscard", "-z", "-o", str(16 << 20), "-l", str(1 << 20), server.node())
    seen = tool("qemu-io", "-f", "raw", "-c", "read -P 5 0 1M", "-c", "read -P 0 1M 8M", "-c",
                "read -P 5 9M 7M", "-c", "read -P 0 16M 1M", "-c", "read -P 5 17M 1M",
                server.uri())
    check("failed" not in seen, seen)


def without_discards_zeros_are_written_by_the_kernel(make):
    server = make("--no-discard").up()
    tool("qemu-io", "-f", "raw", "-c", "write -P 5 0 4M", server.uri())
    tool("blkdiscard", server.node())  # a hint that may be ignored, and is
    tool("blkdiscard", "-z", "-o", "0", "-l", str(1 << 20), server.node())
    seen = tool("qemu-io", "-f", "raw", "-c", "read -P 0 0 1M", "-c", "read -P 5 1M 3M",
                server.uri())
    check("failed" not in seen, seen)


def an_error_of_the_engine_is_an_io_error_of_the_device(make):
    server = make().up()
    server.do("fail 5")
    seen = tool("dd", f"if={server.node()}", "of=/dev/null", "bs=4k", "count=1", "iflag=direct",
                fails=True)
    check("Input/output error" in seen, seen)
    server.do("fail 0")
    tool("dd", f"if={server.node()}", "of=/dev/null", "bs=4k", "count=1", "iflag=direct")


def a_mounted_device_refuses_demotion(make):
    server = make().up()
    point = mount_point()
    tool("mkfs.ext4", "-q", server.node())
    tool("mount", server.node(), point)
    answer = server.ask("withdraw")
    equal(answer, f"in use: mounted on {point}", "withdraw")
    check(shows_a_loop_device(server), "the node has changed")
    equal(loop_attribute(our_loops()[0], "autoclear"), "0",
          "the mark to clear the device at the last close")
    with open(f"{point}/still", "w") as file:
        file.write("works")
    tool("umount", point)
    server.do("withdraw")
    check(at_rest(server), "the node is not at rest")
    equal(our_loops(), [], "loop devices")
    until(lambda: server.ask("idle") == "yes", "nothing is left")


def an_opener_refuses_demotion_until_the_last_one_is_gone(make):
    server = make().up()
    first = subprocess.Popen(["sleep", "60"], stdin=open(server.node(), "rb"))
    second = subprocess.Popen(["sleep", "60"], stdin=open(server.node(), "rb"))
    answer = server.ask("withdraw")
    check(answer.startswith("in use: ") and f"sleep (pid {first.pid})" in answer and
          f"sleep (pid {second.pid})" in answer, answer)
    first.kill()
    first.wait()
    answer = server.ask("withdraw")
    check("sleep" in answer, answer)
    equal(int(tool("blockdev", "--getsize64", server.node())), 64 << 20, "the device goes on")
    second.kill()
    second.wait()
    server.do("withdraw")
    check(at_rest(server), "the node is not at rest")
    equal(our_loops(), [], "loop devices")


def another_loop_device_on_it_refuses_demotion(make):
    server = make().up()
    upper = tool("losetup", "--find", "--show", server.node()).strip()
    try:
        check(server.ask("withdraw").startswith("in use"), "it was withdrawn")
    finally:
        tool("losetup", "-d", upper)
    until(lambda: server.ask("withdraw") == "ok", "withdrawn afterwards")


def an_opener_for_a_moment_does_not_refuse_demotion(make):
    server = make().up()
    opener = subprocess.Popen(["sleep", "0.2"], stdin=open(server.node(), "rb"))
    server.do("withdraw")
    opener.wait()


def a_refused_demotion_loses_no_nbd_service(make):
    server = make().up()
    with open(server.node(), "rb"):
        check(server.ask("withdraw").startswith("in use"), "it was withdrawn")
        tool("nbdinfo", server.uri())


def a_forced_withdrawal_ends_under_a_mounted_file_system(make):
    server = make().up()
    point = mount_point()
    tool("mkfs.ext4", "-q", server.node())
    tool("mount", server.node(), point)
    began = time.monotonic()
    server.do("force")
    check(time.monotonic() - began < 8, "it took too long")
    check(at_rest(server), "the node is not at rest")
    try:
        with open(f"{point}/new", "w") as file:
            file.write("x")
            file.flush()
            os.fsync(file.fileno())
        check(False, "a write went through")
    except OSError:
        pass
    server.do("publish")
    check(shows_a_loop_device(server), "no new device")
    tool("umount", "-l", point)
    until(lambda: len(our_loops()) == 1, "the old loop device is gone")
    server.do("withdraw")


def a_forced_withdrawal_ends_while_io_is_frozen(make):
    server = make().up()
    server.do("hold")
    writer = subprocess.Popen(["dd", "if=/dev/zero", f"of={server.node()}", "bs=4k", "count=4",
                               "oflag=direct"], stderr=subprocess.PIPE, text=True)
    time.sleep(0.3)
    began = time.monotonic()
    server.do("force")
    check(time.monotonic() - began < 8, "it took too long")
    check(at_rest(server), "the node is not at rest")
    seen = writer.communicate(timeout=10)[1]
    check("Input/output error" in seen, seen)
    equal(server.ask("idle"), "no", "idle, with a request in the engine")
    server.do("resume")
    until(lambda: server.ask("idle") == "yes", "the engine's request has ended")
    server.do("publish")


def a_demotion_with_io_frozen_is_refused_in_bounded_time(make):
    server = make().up()
    server.do("hold")
    writer = subprocess.Popen(["dd", "if=/dev/zero", f"of={server.node()}", "bs=4k", "count=1",
                               "oflag=direct"], stderr=subprocess.DEVNULL)
    time.sleep(0.3)
    answer = server.ask("withdraw", 15)
    check(answer.startswith("in use"), answer)
    server.do("resume")
    equal(writer.wait(10), 0, "the writer")
    until(lambda: server.ask("withdraw") == "ok", "withdrawn afterwards")


def growth_reaches_the_device_under_a_mounted_file_system(make):
    server = make("--room", str(256 << 20)).up()
    point = mount_point()
    tool("mkfs.ext4", "-q", server.node())
    tool("mount", server.node(), point)
    server.do(f"grow {256 << 20}")
    equal(int(tool("blockdev", "--getsize64", server.node())), 256 << 20, "size")
    tool("umount", point)
    tool("e2fsck", "-fp", server.node())
    tool("resize2fs", server.node())
    tool("mount", server.node(), point)
    found = os.statvfs(point)
    check(found.f_blocks * found.f_frsize > 200 << 20, "the file system has not grown")
    tool("umount", point)


def a_killed_engine_leaves_no_node_no_link_and_no_loop_device(make):
    server = make().up()
    server.kill()
    until(lambda: device_numbers(server.node()) is None, "the node is gone")
    until(lambda: our_loops() == [], "the loop device is gone")
    until(lambda: not os.path.exists(f"{server.directory}/drbd"), "the links are gone")


def a_killed_engine_under_load_ends_its_clients_with_errors(make):
    server = make().up()
    load = subprocess.Popen(["fio", "--name=load", "--ioengine=libaio",
                             f"--filename={server.node()}", "--direct=1", "--rw=randwrite",
                             "--bs=4k", "--iodepth=32", "--size=48M", "--time_based",
                             "--runtime=60", "--allow_mounted_write=1"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: int(server.ask("count").split()[0]) > 1000, "the load runs")
    server.kill()
    check(load.wait(20) != 0, "fio noticed nothing")
    until(lambda: device_numbers(server.node()) is None and our_loops() == [], "all is gone")


def a_killed_engine_under_a_mounted_file_system_leaves_only_what_is_held(make):
    server = make().up()
    point = mount_point()
    tool("mkfs.ext4", "-q", server.node())
    tool("mount", server.node(), point)
    server.kill()
    until(lambda: device_numbers(server.node()) is None, "the node is gone")
    tool("umount", "-l", point)
    until(lambda: our_loops() == [], "the loop device is gone with its last user")


def a_killed_engine_with_frozen_io_lets_its_writers_go(make):
    server = make().up()
    server.do("hold")
    writer = subprocess.Popen(["dd", "if=/dev/zero", f"of={server.node()}", "bs=4k", "count=4",
                               "oflag=direct"], stderr=subprocess.PIPE, text=True)
    time.sleep(0.3)
    server.kill()
    seen = writer.communicate(timeout=10)[1]
    check("Input/output error" in seen, seen)
    until(lambda: device_numbers(server.node()) is None and our_loops() == [], "all is gone")


def kills_at_any_moment_of_publication_leave_nothing(make):
    for delay_ms in range(0, 60, 3):
        server = make()
        server.do("configure")
        server.say("publish")
        time.sleep(delay_ms / 1000)
        server.kill()
        until(lambda: device_numbers(server.node()) is None and our_loops() == [],
              f"all is gone after a kill {delay_ms} ms into publication")


def the_next_engine_cleans_up_when_the_keeper_was_killed_too(make):
    first = make().up()
    node = device_numbers(first.node())
    for pid in first.children() + [first.process.pid]:
        os.kill(pid, signal.SIGKILL)
    first.process.wait()
    equal(device_numbers(first.node()), node, "the node that is left")
    equal(len(our_loops()), 1, "loop devices that are left")
    # The number is still taken by a dead device: nobody else's can be behind the node.
    tool("dd", f"if={first.node()}", "of=/dev/null", "bs=4k", "count=1", "iflag=direct", fails=True)
    second = make()
    second.do("configure")
    check(at_rest(second), "the node is not at rest")
    until(lambda: our_loops() == [], "the dead loop device is gone")
    second.do("publish")
    tool("dd", f"if={second.node()}", "of=/dev/null", "bs=4k", "count=1", "iflag=direct")


def the_next_engine_cleans_up_after_a_container_that_was_killed(make):
    first = make(container=True).up()
    loop = f"loop{device_numbers(first.node())[1]}"
    label = loop_attribute(loop, "backing_file")
    check(label.startswith("/lockstep:drbd0:"), f"the file behind {loop} is {label}")
    first.kill()
    equal(loop_attribute(loop, "backing_file"), label, "the loop device that is left")
    second = make()
    until(lambda: second.ask("configure") == "ok" and
          loop_attribute(loop, "backing_file") != label, "the dead loop device is gone")
    check(at_rest(second), "the node is not at rest")


def a_loop_device_detached_by_hand_takes_the_node_to_rest(make):
    server = make().up()
    tool("losetup", "-d", f"/dev/loop{device_numbers(server.node())[1]}")
    check(server.line().startswith("lost"), "nothing was said")
    check(at_rest(server), "the node is not at rest")
    tool("nbdinfo", server.uri())
    server.do("withdraw")
    server.do("publish")
    check(shows_a_loop_device(server), "no new device")


def a_killed_keeper_leaves_the_engine_able_to_take_the_node_away(make):
    server = make().up()
    for pid in server.children():
        os.kill(pid, signal.SIGKILL)
    tool("dd", f"if={server.node()}", "of=/dev/null", "bs=4k", "count=1", "iflag=direct")
    server.ask("force")
    check(at_rest(server), "the node still stands for the loop device")
    server.ask("remove")
    check(device_numbers(server.node()) is None, "the node is still there")
    server.end()
    # The loop device, useless without its engine, goes when the next one begins.
    make().do("configure")
    until(lambda: our_loops() == [], "the loop device is gone")


def two_resources_do_not_disturb_each_other(make):
    first = make("--minor", "0", name="r0").up()
    second = make("--minor", "1", name="r1").up()
    equal(len(our_loops()), 2, "loop devices")
    tool("qemu-io", "-f", "raw", "-c", "write -P 1 0 4k", first.uri())
    tool("qemu-io", "-f", "raw", "-c", "write -P 2 0 4k", second.uri())
    first.kill()
    until(lambda: device_numbers(first.node(0)) is None, "the node of the first is gone")
    with open(second.node(1), "rb") as device:
        check(device.read(4096) == b"\x02" * 4096, "the second is disturbed")
    equal(os.path.realpath(f"{second.directory}/drbd/by-res/r1"), second.node(1), "link")


TESTS = [
    a_secondary_has_a_node_that_nobody_can_open,
    links_by_res_and_by_disk_follow_the_device,
    the_link_by_res_names_the_volume_if_asked,
    a_file_in_the_place_of_the_node_is_refused_and_kept,
    a_primary_has_a_loop_device_with_direct_io,
    a_volume_with_4096_byte_blocks_has_them_on_the_device,
    a_file_system_on_it_keeps_its_files_over_role_changes,
    what_the_device_writes_an_nbd_client_reads,
    nothing_stale_is_read_after_a_role_change,
    fio_verifies_direct_io_on_the_device,
    a_flush_reaches_the_engine,
    discards_leave_zeros,
    without_discards_zeros_are_written_by_the_kernel,
    an_error_of_the_engine_is_an_io_error_of_the_device,
    a_mounted_device_refuses_demotion,
    an_opener_refuses_demotion_until_the_last_one_is_gone,
    another_loop_device_on_it_refuses_demotion,
    an_opener_for_a_moment_does_not_refuse_demotion,
    a_refused_demotion_loses_no_nbd_service,
    a_forced_withdrawal_ends_under_a_mounted_file_system,
    a_forced_withdrawal_ends_while_io_is_frozen,
    a_demotion_with_io_frozen_is_refused_in_bounded_time,
    growth_reaches_the_device_under_a_mounted_file_system,
    a_killed_engine_leaves_no_node_no_link_and_no_loop_device,
    a_killed_engine_under_load_ends_its_clients_with_errors,
    a_killed_engine_under_a_mounted_file_system_leaves_only_what_is_held,
    a_killed_engine_with_frozen_io_lets_its_writers_go,
    kills_at_any_moment_of_publication_leave_nothing,
    the_next_engine_cleans_up_when_the_keeper_was_killed_too,
    the_next_engine_cleans_up_after_a_container_that_was_killed,
    a_loop_device_detached_by_hand_takes_the_node_to_rest,
    a_killed_keeper_leaves_the_engine_able_to_take_the_node_away,
    two_resources_do_not_disturb_each_other,
]

if __name__ == "__main__":
    chosen = [test for test in TESTS if len(sys.argv) < 3 or test.__name__ in sys.argv[2:]]
    sys.exit(0 if run(chosen, sys.argv[1]) else 1)
