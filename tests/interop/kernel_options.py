"""Lockstep and the in-kernel DRBD 8.4: two Primaries, discards, disks that go and come back, split
brain.

    kernel_options.py STAGE LAB-DIRECTORY [NAME]     prints TAP
"""

from kernel_pair import expect, run_kernel_pair
from nodes import main, until


def discards_and_zeroes_reach_the_other_side(pair):
    pair.synced()
    pair.primary(pair.ours)
    pair.write(pair.ours, 0, 12)
    pair.ours.run("blkdiscard", "-o", 1 << 20, "-l", 2 << 20, "/dev/drbd0")
    pair.ours.run("blkdiscard", "-z", "-o", 4 << 20, "-l", 2 << 20, "/dev/drbd0")
    zeroes = pair.ours.run("cmp", "-n", 2 << 20, "-i", f"{4 << 20}:0", "/dev/drbd0", "/dev/zero")
    expect(zeroes == "", zeroes)
    pair.primary(pair.theirs)
    pair.theirs.run(f"cmp -n {2 << 20} -i {4 << 20}:0 /dev/drbd0 /dev/zero")
    pair.theirs.run(f"blkdiscard -o {7 << 20} -l {2 << 20} /dev/drbd0")
    pair.theirs.run(f"blkdiscard -z -o {9 << 20} -l {2 << 20} /dev/drbd0")
    pair.primary(pair.ours)
    pair.ours.run("cmp", "-n", 2 << 20, "-i", f"{9 << 20}:0", "/dev/drbd0", "/dev/zero")
    pair.secondary(pair.ours)
    pair.connected()
    pair.equal()


def two_primaries_that_write_the_same_blocks_stay_equal(pair):
    pair.synced(net="allow-two-primaries;")
    pair.ours.run("drbdadm", "primary", "r0")
    pair.theirs.run("drbdadm primary r0")
    theirs = pair.theirs.run(
        "for i in 1 2 3 4 5 6; do for j in 1 2 3 4; do dd if=/dev/urandom of=/dev/drbd0 bs=4k "
        "count=16 seek=$((i * 4)) oflag=direct 2>/dev/null & done; done; echo started")
    expect(theirs == "started\n", theirs)
    pair.ours.shell("for i in 1 2 3 4 5 6 7 8; do dd if=/dev/urandom of=/dev/drbd0 bs=4k count=64 "
                    "oflag=direct status=none & done; wait")
    pair.theirs.run("while pidof dd > /dev/null; do sleep 0.2; done")
    pair.both_secondary()
    pair.connected()
    pair.equal()
    pair.adjust(net="allow-two-primaries no;")
    pair.primary(pair.ours)
    status, text = pair.theirs.try_run("drbdadm primary r0")
    expect(status == 11, f"a second Primary after the option was taken back: {text}")
    pair.secondary(pair.ours)


def either_side_goes_on_without_its_disk(pair):
    pair.synced()
    for side, other, reads in ((pair.ours, pair.theirs, "Diskless/UpToDate"),
                               (pair.theirs, pair.ours, "Diskless/UpToDate")):
        pair.primary(side)
        pair.write(side, 2)
        before = checksum(pair, side, 2)
        pair.adm(side, "detach", "r0")
        side.wait_for("Connected", reads)
        expect(checksum(pair, side, 2) == before, "read through the peer: other data")
        pair.write(side, 5)
        after = checksum(pair, side, 5)
        pair.adm(side, "attach", "r0")
        pair.connected()
        expect(checksum(pair, side, 5) == after, "read after the attach: other data")
        pair.secondary(side)
        pair.equal()


def checksum(pair, side, offset_mib):
    command = (f"dd if=/dev/drbd0 bs=64k count=16 skip={offset_mib * 16} iflag=direct 2>/dev/null "
               "| sha256sum")
    return side.shell(command) if side is pair.ours else side.run(command)


def split_brain_is_refused_and_either_side_can_give_in(pair):
    pair.synced()
    for victim, survivor in ((pair.ours, pair.theirs), (pair.theirs, pair.ours)):
        pair.adm(victim, "disconnect", "r0")
        for side, place in ((victim, 11), (survivor, 12)):
            side.run(*pair.words(side, "primary", "r0"))
            pair.write(side, place)
            pair.secondary(side)
        survivor.run(*pair.words(survivor, "primary", "r0"))
        kept = checksum(pair, survivor, 12)
        pair.adm(victim, "connect", "r0")
        until(lambda: "StandAlone" in (pair.ours.state()[0], pair.theirs.state()[0]),
              "the refusal")
        for side in (victim, survivor):
            pair.try_adm(side, "disconnect", "r0")
        pair.adm(victim, "--", "--discard-my-data", "connect", "r0")
        pair.adm(survivor, "connect", "r0")
        pair.connected()
        expect(checksum(pair, survivor, 12) == kept, "the survivor's data changed")
        pair.secondary(survivor)
        pair.equal()


SCENARIOS = [two_primaries_that_write_the_same_blocks_stay_equal,
             discards_and_zeroes_reach_the_other_side, either_side_goes_on_without_its_disk,
             split_brain_is_refused_and_either_side_can_give_in]


if __name__ == "__main__":
    main(lambda: run_kernel_pair("kopt", SCENARIOS))
