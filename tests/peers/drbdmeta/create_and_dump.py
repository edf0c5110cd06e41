#!/usr/bin/env python3
"""create-md and every command that looks, over sizes and placements: ours against the original.

usage: create_and_dump.py OUR_DRBDMETA ORIGINAL_DRBDMETA
"""
import sys

from pair import GIB, KIB, MIB, TIB, Pair, Tap, enter, same, show

LOOKS = ("dump-md", "get-gi", "show-gi", "dstate", "read-dev-uuid")

SHAPES = (
    [(size, "internal") for size in (
        1 * MIB, 1280 * KIB, 10 * MIB, 128 * MIB - 4096, 128 * MIB, 128 * MIB + 512, 129 * MIB,
        1 * GIB, 20970496 * KIB, 100 * GIB, 1 * TIB, 4 * TIB + 3584, 16 * TIB)]
    + [(size, "flex-external") for size in (
        1 * MIB, 1280 * KIB, 33 * MIB, 513 * MIB)]
    + [(128 * MIB, 0), (272 * MIB, 0), (272 * MIB, 1), (4 * 128 * MIB, 3), (16 * TIB, 255)]
)


def compare_shape(tap, size, index):
    name = f"{index} on {size} bytes"
    with Pair(size, index) as pair:
        answers = pair.both("create-md")
        tap.check(f"create-md, {name}: same answer", same(answers), show(answers))
        tap.check(f"create-md, {name}: same bytes", pair.same_bytes(), pair.difference())
        for command in LOOKS:
            ours, theirs = pair.run(0, 0, command), pair.run(1, 0, command)
            tap.check(f"{command} of ours, {name}: the original says the same",
                      same((ours, theirs), err=True), show((ours, theirs)))
            ours, theirs = pair.run(0, 1, command), pair.run(1, 1, command)
            tap.check(f"{command} of the original's, {name}: we say the same",
                      same((ours, theirs), err=True), show((ours, theirs)))


def compare_options(tap):
    for words in (("--peer-max-bio-size", "4k"), ("--peer-max-bio-size", "1M"),
                  ("--al-stripes", "4", "--al-stripe-size-kB", "64"),
                  ("--al-stripes", "7", "--al-stripe-size-kB", "36k"),
                  ("--al-stripes", "256", "--al-stripe-size-kB", "128"),
                  ("-s", "3", "-z", "32"), ("-p", "512")):
        for index in ("internal", "flex-external"):
            with Pair(80 * MIB, index) as pair:
                answers = pair.both("create-md", *words)
                name = f"create-md {' '.join(words)}, {index}"
                tap.check(f"{name}: same answer", same(answers), show(answers))
                tap.check(f"{name}: same bytes", pair.same_bytes(), pair.difference())
                answers = pair.both("dump-md", options=("-v",) * 10)
                tap.check(f"{name}: same listing of the log", same(answers), show(answers))


def compare_refusals(tap):
    wrong = (
        ("create-md", "--peer-max-bio-size", "2M"), ("create-md", "--al-stripes", "0"),
        ("create-md", "--al-stripes", "x"), ("create-md", "--al-stripe-size-kB", "16"),
        ("create-md", "--al-stripes", "1024", "--al-stripe-size-kB", "64"),
        ("dump-md", "--al-stripes", "2"), ("dump-md", "--peer-max-bio-size", "4k"),
        ("dump-md", "--node-id", "0"), ("get-gi", "--node-id", "99"), ("nonsense",), (),
        ("dump-md", "--no-such-option"),
    )
    with Pair(4 * MIB, "internal") as pair:
        for command in ("get-gi", "show-gi", "dump-md", "dstate", "apply-al", "outdate",
                        "invalidate", "wipe-md", "set-gi", "write-dev-uuid", "check-resize"):
            answers = pair.both(command)
            tap.check(f"{command} without metadata: same answer", same(answers), show(answers))
        pair.both("create-md")
        for words in wrong:
            answers = pair.both(*words)
            usage = "USAGE" in answers[0].out and "USAGE" in answers[1].out
            tap.check(f"'{' '.join(words)}' is refused with the same exit code",
                      answers[0].code == answers[1].code != 0 and
                      (usage or answers[0].out == answers[1].out), show(answers))
    with Pair(4 * MIB, "no-such-index") as pair:
        answers = pair.both("dump-md")
        tap.check("a senseless index: same answer", same(answers, err=True), show(answers))
    for size, index in ((64 * KIB, "internal"), (64 * MIB, 1)):
        with Pair(size, index) as pair:
            answers = pair.both("create-md")
            tap.check(f"{index} on {size} bytes: same refusal", same(answers, err=True),
                      show(answers))


def main():
    enter()
    tap = Tap()
    for size, index in SHAPES:
        compare_shape(tap, size, index)
    compare_options(tap)
    compare_refusals(tap)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
