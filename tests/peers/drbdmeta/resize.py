#!/usr/bin/env python3
"""check-resize after the device has grown: ours against the original.

usage: resize.py OUR_DRBDMETA ORIGINAL_DRBDMETA [SEED]
"""
import os
import random
import sys

from edit_and_restore import FORCE, dump_file, random_words
from pair import GIB, KIB, MIB, MINORS, TIB, Pair, Tap, enter, same, show


def known_file(minor):
    return f"/var/lib/drbd/drbd-minor-{minor}.lkbd"


def text_of(path):
    if not os.path.exists(path):
        return None
    with open(path, encoding="ascii") as file:
        return file.read()


def compare_growth(tap, rng, size, grown):
    """Where the bitmap needs more blocks than before, 9.22 copies it from the wrong place, so only
    what surrounds it can be compared; where old and new areas overlap, the original leaves old
    bytes in what is zero here."""
    same_bitmap = (size - 1) // (128 * MIB) == (grown - 1) // (128 * MIB)
    name = f"{size} grown by {grown - size} bytes"
    with Pair(size, "internal") as pair:
        pair.both("create-md")
        room = int(next(line.split()[-1] for line in pair.run(0, 0, "dump-md").out.splitlines()
                        if "bm_offset" in line)) // 512
        words = (room // 8 + 63) // 64
        path = dump_file(pair, "dump", room, random_words(rng, words)[0])
        pair.both("restore-md", path, options=FORCE)
        pair.both("apply-al")
        pair.both("set-gi", "::::1:1:0:1", options=FORCE)
        before = pair.run(1, 1, "dump-md").out
        for disk in pair.disks:
            disk.grow(grown)
        for command in ("get-gi", "dstate"):
            answers = pair.both(command)
            tap.check(f"{command} before check-resize, {name}",
                      answers[0].code == answers[1].code == 1, show(answers))
        answers = pair.both("check-resize")
        tap.check(f"check-resize, {name}: same answer", same(answers) and answers[0].code == 0,
                  show(answers))
        if same_bitmap and grown - size > MIB:
            tap.check(f"check-resize, {name}: same bytes", pair.same_bytes(), pair.difference())
        for command in ("dump-md", "get-gi", "show-gi"):
            looks = [pair.run(1, disk, command) for disk in (0, 1)]
            if not same_bitmap:
                for look in looks:
                    look.out = look.out.split("bm {")[0]
            tap.check(f"{command} after check-resize, {name}",
                      looks[0].code == 0 and same(looks, err=True), show(looks))
        after = pair.run(1, 0, "dump-md").out
        tap.check(f"the bitmap has moved unchanged, {name}",
                  before.split("bm {")[1] == after.split("bm {")[1])
        files = [text_of(known_file(minor)) for minor in MINORS]
        tap.check(f"the last known device is the new one, {name}",
                  files[0] is not None and
                  files[0].replace(pair.disks[0].device, "D") ==
                  files[1].replace(pair.disks[1].device, "D"), files)
        again = pair.both("check-resize")
        tap.check(f"check-resize again changes nothing, {name}", same(again, err=True) and
                  again[0].code == 0, show(again))


def compare_other_ways(tap):
    with Pair(64 * MIB, "internal") as pair:
        pair.both("create-md")
        for disk in pair.disks:
            disk.grow(256 * MIB)
        answers = pair.both("dump-md")
        ours, theirs = ([line for line in answer.out.splitlines() if "## " not in line]
                        for answer in answers)
        tap.check("dump-md of a grown device reads the last known place",
                  answers[0].code == answers[1].code == 0 and ours == theirs, show(answers))
        answers = pair.both("create-md")
        tap.check("create-md offers to move", same(answers) and "Move internal" in answers[0].err,
                  show(answers))
        answers = pair.both("apply-al")
        tap.check("apply-al moves first", same(answers) and answers[0].code == 0, show(answers))
        tap.check("apply-al moved the same bytes", pair.same_bytes(), pair.difference())
    with Pair(64 * MIB, "internal") as pair:
        pair.both("create-md")
        pair.both("write-dev-uuid", "1111")
        for disk, minor in zip(pair.disks, MINORS):
            disk.grow(256 * MIB)
            changed = text_of(known_file(minor)).replace("1111", "2222")
            with open(known_file(minor), "w", encoding="ascii") as file:
                file.write(changed)
        answers = pair.both("check-resize")
        tap.check("another device's UUID at the last known place: same refusal",
                  same(answers) and answers[0].code == 1, show(answers))
        for minor in MINORS:
            with open(known_file(minor), "w", encoding="ascii") as file:
                file.write("nonsense\n")
        answers = pair.both("check-resize")
        tap.check("a senseless last known file: same refusal",
                  same(answers) and answers[0].code == 1, show(answers))
    with Pair(64 * MIB, "internal") as pair:
        pair.both("create-md")
        for disk in pair.disks:
            disk.grow(32 * MIB)
        answers = pair.both("check-resize")
        tap.check("a device that has shrunk: same refusal", same(answers, err=True) and
                  answers[0].code == 1, show(answers))
    for index, size in (("flex-external", 64 * MIB), (0, 128 * MIB)):
        with Pair(size, index) as pair:
            answers = pair.both("check-resize")
            tap.check(f"check-resize of {index} without metadata", same(answers, err=True),
                      show(answers))
            pair.both("create-md")
            tap.check(f"no last known file for {index}",
                      not any(os.path.exists(known_file(minor)) for minor in MINORS))


def main():
    enter()
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.SystemRandom().randrange(1 << 32)
    print(f"# seed {seed}")
    rng = random.Random(seed)
    tap = Tap()
    for size, grown in ((MIB, 100 * MIB), (100 * GIB + MIB, 100 * GIB + 60 * MIB),
                        (64 * MIB, 256 * MIB), (64 * MIB, 64 * MIB + 4096),
                        (64 * MIB, 64 * MIB + 32 * KIB), (128 * MIB, 128 * MIB + 4096),
                        (GIB, GIB + 48 * KIB), (GIB, 3 * TIB), (200 * GIB, 200 * GIB + 5 * MIB),
                        (200 * GIB, 201 * GIB), (64 * MIB + 512, 64 * MIB + 8192 + 1024)):
        compare_growth(tap, rng, size, grown)
    compare_other_ways(tap)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
