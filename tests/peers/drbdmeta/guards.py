#!/usr/bin/env python3
"""What create-md and restore-md refuse because data or somebody else is in the way: ours against
the original, and what only ours recognises.

usage: guards.py OUR_DRBDMETA ORIGINAL_DRBDMETA
"""
import fcntl
import os
import pty
import stat
import struct
import subprocess
import sys

from pair import KIB, MIB, MINORS, Answer, Pair, Tap, enter, same, show

FORCE = ("--force",)
SIZE = 8 * MIB


def make(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def ext(kind, kib=None):
    def fill(disk):
        size = [str(kib)] if kib else []
        make(f"mkfs.{kind}", "-q", "-F", "-b", "1024", disk.device, *size)
    return fill


def swap(disk):
    make("mkswap", disk.device)


def put(*pieces):
    def fill(disk):
        disk.write(*pieces)
    return fill


XFS = put((0, b"XFSB" + struct.pack(">IQ", 4096, 8192)))
XFS_SMALL = put((0, b"XFSB" + struct.pack(">IQ", 4096, 100)))
JFS = put((0x8000, b"JFS1" + bytes(4) + struct.pack("<Q8xI", 8192, 4096)))
REISERFS = put((0x10000, struct.pack("<I", 8000)), (0x1002c, struct.pack("<H", 4096)),
               (0x10034, b"ReIsEr2Fs"))
LVM = put((0x200, b"LABELONE" + struct.pack("<QII", 1, 0, 32) + b"LVM2 001"))
BTRFS = put((0x10040, b"_BHRfS_M"), (0x10070, struct.pack("<Q", 32 * MIB)))
LUKS = put((0, b"LUKS\xba\xbe" + struct.pack(">H", 1) + b"aes".ljust(32, b"\0")
            + b"xts-plain64".ljust(32, b"\0") + b"sha256".ljust(32, b"\0") + bytes(100)))
SOME_DATA = put((12345, b"hello"))

# (what, how it is made): all of these the original knows.
CONTENTS = (
    ("ext3 on all of the device", ext("ext3")),
    ("ext2 on all of the device", ext("ext2")),
    ("ext3 that leaves room", ext("ext3", 4 * KIB)),
    ("xfs", XFS), ("xfs that leaves room", XFS_SMALL), ("jfs", JFS),
    ("reiserfs", REISERFS), ("swap", swap), ("LVM2", LVM),
    ("some data", SOME_DATA), ("nothing", put()),
)


def compare_contents(tap):
    for what, fill in CONTENTS:
        for index in ("internal", "flex-external"):
            for options in ((), FORCE, ("--force", "--ignore-sanity-checks")):
                with Pair(SIZE, index) as pair:
                    for disk in pair.disks:
                        fill(disk)
                    # mkfs makes random identifiers: start from equal bytes.
                    start = pair.disks[0].read(0, SIZE)
                    pair.disks[1].write((0, start))
                    answers = pair.both("create-md", options=options)
                    name = f"{' '.join(('create-md', *options))} on {what}, {index}"
                    tap.check(f"{name}: same answer (exit {answers[1].code})", same(answers),
                              show(answers))
                    if index == "internal" or answers[0].code != 0:
                        tap.check(f"{name}: same bytes", pair.same_bytes(), pair.difference())
                    else:
                        # The original leaves old data in most of an external bitmap.
                        tap.check(f"{name}: same superblock and log, bitmap zero",
                                  pair.disks[0].read(0, 36864) == pair.disks[1].read(0, 36864) and
                                  not any(pair.disks[0].read(36864, SIZE - 36864)))
                    if answers[0].code == 40:
                        tap.check(f"{name}: the data is untouched",
                                  pair.disks[0].read(0, SIZE) == start)


def refuse_more(tap):
    for what, fill in (("ext4", ext("ext4")), ("btrfs", BTRFS), ("LUKS", LUKS)):
        for index in ("internal", "flex-external"):
            with Pair(SIZE, index) as pair:
                fill(pair.disks[0])
                before = pair.disks[0].blocks()
                answer = pair.run(0, 0, "create-md", options=FORCE)
                tap.check(f"create-md --force on {what}, {index}: exit 40, untouched",
                          answer.code == 40 and pair.disks[0].blocks() == before and
                          "Operation refused." in answer.out, answer)


def refuse_other_versions(tap):
    for version, index in (("v09", "internal"), ("v09", "flex-external"), ("v07", "internal")):
        with Pair(256 * MIB, index) as pair:
            words = [pair.programs[1], "--force", str(MINORS[0]), version, pair.disks[0].device,
                     index, "create-md"] + (["1"] if version == "v09" else [])
            subprocess.run(words, check=True, capture_output=True)
            before = pair.disks[0].blocks()
            answer = pair.run(0, 0, "create-md", options=FORCE)
            tap.check(f"{version} metadata in place, {index}: refused with the way out, untouched",
                      answer.code == 20 and version in answer.err and "dd if=" in answer.err and
                      pair.disks[0].blocks() == before, answer)
            answer = pair.run(0, 0, "dump-md")
            tap.check(f"{version} metadata is not taken for v08", answer.code == 1, answer)
    with Pair(MIB, "internal") as pair:
        for version in ("v06", "v07", "v09"):
            process = subprocess.run([pair.programs[0], "0", version, "/dev/null", "internal",
                                      "dump-md"], capture_output=True, text=True, check=False)
            tap.check(f"{version} is refused with what to do",
                      process.returncode == 20 and "Convert" in process.stderr.title(),
                      process.stderr)


def compare_use_by_others(tap):
    with Pair(SIZE, "internal") as pair:
        pair.both("create-md")
        # What a mounted filesystem, LVM or an engine does to a block device.
        holders = [os.open(disk.device, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
                   for disk in pair.disks]
        for command in ("dump-md", "apply-al", "create-md", "outdate"):
            answers = pair.both(command)
            tap.check(f"{command} on a device in use: same refusal", same(answers, err=True) and
                      answers[0].code == 20, show(answers))
        answers = pair.both("dump-md", options=FORCE)
        tap.check("--force reads a device in use", same(answers, err=True), show(answers))
        for holder in holders:
            os.close(holder)

    with Pair(SIZE, 0) as pair:
        pair.both("create-md")
        locks = []
        for minor in MINORS:
            lock = open(f"/var/lock/drbd-147-{minor}", "w", encoding="ascii")
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locks.append(lock)
        answers = pair.both("dump-md")
        tap.check("a minor that is locked: same refusal", same(answers, err=True) and
                  answers[0].code == 20, show(answers))
        for lock in locks:
            lock.close()


def typed(pair, program, disk, text, *words):
    """Like pair.run, but at a terminal where somebody types."""
    controller, terminal = pty.openpty()
    command = [pair.programs[program], str(MINORS[disk]), "v08", pair.disks[disk].device,
               pair.index, *words]
    with subprocess.Popen(command, stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
        os.close(terminal)
        os.write(controller, text.encode())
        out, err = process.communicate(timeout=60)
    os.close(controller)
    process.stdout, process.stderr = out, err
    return Answer(process, pair.disks[disk].device, MINORS[disk], pair.programs[program])


def compare_dialogues(tap):
    for words in (("create-md",), ("wipe-md",), ("set-gi", "5:6"), ("restore-md", "dump")):
        for text in ("yes\n", "no\n", "\n", "YES\n", "yes please\n", "ye\n", " yes\n", "\x04"):
            with Pair(SIZE, "internal") as pair:
                pair.both("create-md")
                before = pair.disks[0].blocks()
                if words[-1] == "dump":
                    path = os.path.join(pair.directory, "dump")
                    with open(path, "w", encoding="ascii") as file:
                        file.write(pair.run(1, 1, "dump-md").out)
                    words = (words[0], path)
                answers = [typed(pair, who, who, text, *words) for who in (0, 1)]
                name = f"{words[0]} answered by {text!r}"
                tap.check(f"{name}: same answer", same(answers, err=True), show(answers))
                tap.check(f"{name}: same bytes", pair.same_bytes(), pair.difference())
                if text != "yes\n":
                    tap.check(f"{name}: nothing is changed", pair.disks[0].blocks() == before)
                if words[0] == "restore-md":
                    words = ("restore-md", "dump")


def compare_attached(tap):
    with Pair(SIZE, "internal") as pair:
        pair.both("create-md")
        fake = os.path.join(pair.directory, "drbdsetup")
        path = os.environ["PATH"]
        os.environ["PATH"] = pair.directory + ":" + path
        for state, code in (("UpToDate/DUnknown", 0), ("Inconsistent", 0), ("Diskless", 0),
                            ("", 10), ("", 20), ("Unconfigured", 0)):
            with open(fake, "w", encoding="ascii") as file:
                file.write(f"#!/bin/sh\n[ \"$2\" = dstate ] || exit 3\necho {state}\nexit {code}\n")
            os.chmod(fake, stat.S_IRWXU)
            for command in ("dump-md", "apply-al", "create-md", "outdate"):
                answers = pair.both(command)
                tap.check(f"{command} while drbdsetup says '{state}' ({code}): same answer",
                          same(answers), show(answers))
        os.environ["PATH"] = path


def compare_plain_files(tap):
    with Pair(SIZE, "internal") as pair:
        for disk in pair.disks:
            disk.device = disk.path
        answers = pair.both("create-md")
        tap.check("a plain file without --force: same refusal",
                  answers[0].code == answers[1].code == 20 and
                  "is not a block device!" in answers[0].err, show(answers))
        answers = pair.both("create-md", options=FORCE)
        tap.check("a plain file with --force: same answer and bytes",
                  same(answers) and answers[0].code == 0 and pair.same_bytes(), show(answers))
        with open(pair.disks[0].path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            answer = pair.run(0, 0, "apply-al")
            tap.check("a plain file that someone has locked is in use", answer.code == 20, answer)
        for disk in pair.disks:
            disk.device = "/no/such/device"
        answers = pair.both("dump-md")
        tap.check("no such device: same refusal", same(answers, err=True), show(answers))


def main():
    enter()
    tap = Tap()
    compare_contents(tap)
    refuse_more(tap)
    refuse_other_versions(tap)
    compare_use_by_others(tap)
    compare_dialogues(tap)
    compare_attached(tap)
    compare_plain_files(tap)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
