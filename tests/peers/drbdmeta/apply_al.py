#!/usr/bin/env python3
"""apply-al on random activity logs, whole, torn and of 8.3: ours against the original.

usage: apply_al.py OUR_DRBDMETA ORIGINAL_DRBDMETA [SEED]
"""
import os
import random
import struct
import sys

from pair import GIB, KIB, MIB, TIB, Pair, Tap, enter, same, show

FREE = 0xffffffff
UNCLEAN, CLEAN = 0x8374026c, 0x8374026b
CONSISTENT, PRIMARY, UP_TO_DATE, AL_CLEAN = 0x1, 0x2, 0x10, 0x80
INITIALIZED = 0xffff

TABLE = []
for value in range(256):
    for _ in range(8):
        value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    TABLE.append(value)


def raw_crc32c(data):
    crc = 0
    for byte in data:
        crc = TABLE[(crc ^ byte) & 255] ^ (crc >> 8)
    return crc


class Log84:
    """An activity log as an 8.4 writes it, independent of our C++."""

    def __init__(self, stripes, blocks, slots, number):
        self.stripes, self.blocks, self.number, self.first = stripes, blocks, number, 0
        self.table = [FREE] * slots
        self.ring = [bytes(4096)] * (stripes * blocks)
        self.last = 0

    def commit(self, updates):
        context = self.table[self.first:self.first + 919]
        slots = [slot for slot, _ in updates] + [0xffff] * (64 - len(updates))
        extents = [extent for _, extent in updates] + [FREE] * (64 - len(updates))
        body = struct.pack(">HHHH16x64H64I919I", 0, len(updates), len(self.table), self.first,
                           *slots, *extents, *(context + [FREE] * (919 - len(context))))
        head = struct.pack(">II", 0x69cb65a2, self.number)
        crc = raw_crc32c(head + bytes(4) + body)
        position = self.number % len(self.ring)
        self.last = position % self.stripes * self.blocks + position // self.stripes
        self.ring[self.last] = head + struct.pack(">I", crc) + body
        self.number = (self.number + 1) & 0xffffffff
        self.first = 0 if self.first + 919 >= len(self.table) else self.first + 919
        for slot, extent in updates:
            self.table[slot] = extent

    def tear(self, at):
        block = bytearray(self.ring[self.last])
        block[at] ^= 0x40
        self.ring[self.last] = bytes(block)

    def area(self):
        return b"".join(self.ring)


def log83(rng, slots, extent_count, transactions):
    """An area of 32 KiB with a log of 8.3."""
    ring = 1 + (slots + 60) // 61
    table, sectors, cycle = [FREE] * slots, [bytes(512)] * 64, 0
    number = rng.choice((1, 77, 0xfffffff0))
    for i in range(transactions):
        slot, extent = rng.randrange(slots), rng.randrange(extent_count)
        pairs = [(slot, extent)]
        for at in range(cycle, cycle + 61):
            pairs.append((at, table[at]) if at < slots else (FREE, FREE))
        total = 0
        for _, held in pairs:
            total ^= held
        flat = [word for pair in pairs for word in pair]
        sectors[i % ring] = struct.pack(">II124II4x", 0x83740267, (number + i) & 0xffffffff,
                                        *flat, total)
        table[slot] = extent
        cycle = 0 if cycle + 61 >= slots else cycle + 61
    return b"".join(sectors)


def dump_text(sectors, stripes, blocks, bits):
    """A dump to restore: that many sectors, some bits."""
    words = (sectors + 511) // 512
    lines, left = [], words
    while left > 0:
        count = min(left, 4 * bits.randrange(1, 200))
        lines.append(f"{count} times 0x{bits.choice((0, 0, 0, 1 << 40, 0xffffffff)):016X};")
        left -= count
    return f"""version "v08";
uuid {{ 0x{bits.getrandbits(64):016X}; 0x0000000000000000; 0x0000000000000000;
  0x0000000000000000; flags 0x00000011; }}
la-size-sect {sectors}; bm-byte-per-bit 4096; device-uuid 0x{bits.getrandbits(64):016X};
la-peer-max-bio-size 4096; al-stripes {stripes}; al-stripe-size-4k {blocks};
bm {{ {' '.join(lines)} }}
"""


class Case:
    """Both disks with the same used metadata and the same log."""

    def __init__(self, rng, size, index, stripes=1, blocks=8):
        self.pair = Pair(size, index)
        self.stripes, self.blocks = stripes, blocks
        words = ("--al-stripes", str(stripes), "--al-stripe-size-kB", str(4 * blocks))
        for disk in (0, 1):
            made = self.pair.run(1, disk, "create-md", *words)
            assert made.code == 0, made
        fields = dict(line[2:].split(" ") for line in
                      self.pair.run(1, 0, "dump-md").out.splitlines() if "_offset " in line)
        self.md, self.al, self.bm = (int(fields[name]) for name in
                                     ("md_offset", "al_offset", "bm_offset"))
        # The last agreed size: all there is, or less and not a multiple of 4 KiB.
        room = self.bm // 512 if index == "internal" else 8 * MIB
        self.sectors = room - rng.choice((0, 1, 1029))
        text = dump_text(self.sectors, stripes, blocks, rng)
        path = os.path.join(self.pair.directory, "dump")
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        for disk in (0, 1):
            done = self.pair.run(1, disk, "restore-md", path, options=("--force",))
            assert done.code == 0, done
        self.extents = (self.sectors + 8191) // 8192

    def put(self, area, magic, flags, slots, old_striping=False):
        for disk in self.pair.disks:
            disk.write((self.al, area), (self.md + 56, struct.pack(">II", flags, magic)),
                       (self.md + 72, struct.pack(">I", slots)),
                       (self.md + 88, bytes(8) if old_striping else
                        struct.pack(">II", self.stripes, self.blocks)))

    def compare(self, tap, name):
        looks = self.pair.both("dump-md")
        tap.check(f"{name}: dump-md before it: same answer", same(looks, err=True), show(looks))
        answers = self.pair.both("apply-al")
        tap.check(f"{name}: same answer", same(answers, err=True), show(answers))
        tap.check(f"{name}: same bytes", self.pair.same_bytes(), self.pair.difference())
        for disk in (0, 1):
            looks = [self.pair.run(program, disk, "dump-md") for program in (0, 1)]
            tap.check(f"{name}: dump-md agrees on what {('we', 'it')[disk]} applied",
                      looks[0].code == 0 and same(looks), show(looks))
        again = self.pair.both("apply-al")
        tap.check(f"{name}: applying again changes nothing",
                  same(again, err=True) and self.pair.same_bytes(), show(again))

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.pair.__exit__(*args)


def random_log(rng, case, slots, number, transactions):
    log = Log84(case.stripes, case.blocks, slots, number)
    for _ in range(transactions):
        log.commit([(rng.randrange(slots),
                     FREE if rng.random() < 0.1 else rng.randrange(case.extents))
                    for _ in range(rng.randrange(65))])
    return log


def compare_84(tap, rng):
    shapes = [(64 * MIB, "internal", 1, 8), (1280 * KIB, "internal", 1, 8),
              (100 * GIB, "internal", 1, 8), (1 * TIB, "internal", 4, 16),
              (16 * TIB, "internal", 1, 8), (33 * MIB, "flex-external", 1, 8),
              (33 * MIB, "flex-external", 2, 8), (272 * MIB, 1, 1, 8)]
    for size, index, stripes, blocks in shapes:
        slots = rng.choice((67, 257, 1237, 6433))
        # A ring begun at each attach with 0 and one that wraps.
        number = rng.choice((0, 5, 0xfffffff8))
        for torn in (False, True):
            with Case(rng, size, index, stripes, blocks) as case:
                # Fully written once, as the kernel leaves it after an attach.
                ring = stripes * blocks
                log = random_log(rng, case, slots, number, ring + rng.randrange(ring))
                if torn:
                    log.tear(rng.randrange(4096))
                case.put(log.area(), UNCLEAN, CONSISTENT | UP_TO_DATE | PRIMARY, slots)
                case.compare(tap, f"{'torn ' if torn else ''}log of a Primary, {stripes} stripes, "
                                  f"{index} on {size} bytes")
    with Case(rng, 64 * MIB, "internal") as case:
        log = random_log(rng, case, 67, 0, 20)
        case.put(log.area(), UNCLEAN, CONSISTENT | UP_TO_DATE, 67)
        case.compare(tap, "log of a Secondary: nothing is marked")
    with Case(rng, 64 * MIB, "internal") as case:
        log = random_log(rng, case, 67, 0, 20)
        case.put(log.area(), CLEAN, CONSISTENT | PRIMARY | AL_CLEAN, 67)
        case.compare(tap, "superblock says clean, log does not")


def compare_damaged(tap, rng):
    with Case(rng, 64 * MIB, "internal") as case:
        case.put(bytes(32768), UNCLEAN, CONSISTENT | PRIMARY, 67)
        answers = case.pair.both("apply-al")
        tap.check("a Primary's log without a valid block is refused alike",
                  same(answers) and answers[0].code == 1, show(answers))
        tap.check("and the refusal names the way out", "--force" in answers[0].err, answers[0])
        forced = case.pair.run(0, 0, "apply-al", options=("--force",))
        after = case.pair.run(1, 0, "get-gi")
        tap.check("--force marks the whole device for a full sync",
                  forced.code == 0 and after.out.split(":")[8] == "1", f"{forced}{after}")
    with Case(rng, 64 * MIB, "internal") as case:
        case.put(bytes(32768), UNCLEAN, CONSISTENT, 67)
        case.compare(tap, "a Secondary's log without a valid block")
    with Case(rng, 64 * MIB, "internal") as case:
        log = random_log(rng, case, 67, 40, 20)
        log.commit([(0, 5000000), (1, 3)])
        case.put(log.area(), UNCLEAN, CONSISTENT | PRIMARY, 67)
        answers = case.pair.both("apply-al")
        tap.check("an extent beyond the device: both go on", answers[0].code == answers[1].code == 0,
                  show(answers))
        ours = case.pair.disks[0].read(case.bm, 4096)
        theirs = case.pair.disks[1].read(case.bm, 4096)
        tap.check("we mark all that the original marks",
                  all(a & b == b for a, b in zip(ours, theirs)))
        tap.check("and the last extent of the device in its place",
                  ours[(case.extents - 1) * 128] == 0xff)


def compare_83(tap, rng):
    for slots, transactions in ((127, 7), (127, 60), (257, 400), (3833, 900), (67, 1)):
        with Case(rng, 16 * GIB, "internal") as case:
            area = log83(rng, slots, case.extents, transactions)
            case.put(area, CLEAN, CONSISTENT | UP_TO_DATE | PRIMARY, slots, old_striping=True)
            case.compare(tap, f"8.3 log of {slots} slots after {transactions} transactions")
    with Case(rng, 64 * MIB, "internal") as case:
        case.put(bytes(32768), CLEAN, CONSISTENT | PRIMARY, 127, old_striping=True)
        case.compare(tap, "8.3 log never written")


def main():
    enter()
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.SystemRandom().randrange(1 << 32)
    print(f"# seed {seed}")
    rng = random.Random(seed)
    tap = Tap()
    compare_84(tap, rng)
    compare_damaged(tap, rng)
    compare_83(tap, rng)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
