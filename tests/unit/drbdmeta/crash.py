#!/usr/bin/env python3
"""A crash of drbdmeta at every write of a long change: nothing of the metadata is ever lost.

usage: crash.py DRBDMETA STOP_AT_WRITE_LIBRARY
Needs root for the state directory of minors; skipped otherwise.
"""
import lzma
import os
import re
import shutil
import subprocess
import sys
import tempfile

KIB, MIB = 1 << 10, 1 << 20
# No configuration uses it, and no other run of this test.
MINOR = str(1048100 + os.getpid() % 400)
KNOWN = f"/var/lib/drbd/drbd-minor-{MINOR}.lkbd"
STOPPED = 99
FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../fixtures/metadata")


class Tap:
    number = failed = 0

    def check(self, name, good, detail=""):
        self.number += 1
        print(f"{'ok' if good else 'not ok'} {self.number} - {name}", flush=True)
        if not good:
            self.failed += 1
            for line in str(detail).splitlines()[:30]:
                print(f"# {line}")


class Bench:
    """One disk image and the program, which may be stopped."""

    def __init__(self, program, library, directory):
        self.program, self.library = program, library
        self.path = os.path.join(directory, "disk")

    def run(self, *words, stop_at=0):
        env = dict(os.environ, LC_ALL="C")
        if stop_at:
            env.update(LD_PRELOAD=self.library, STOP_AT_WRITE=str(stop_at),
                       ASAN_OPTIONS="verify_asan_link_order=0")
        return subprocess.run([self.program, "--force", MINOR, "v08", self.path, "internal",
                               *words], capture_output=True, text=True, check=False, env=env,
                              stdin=subprocess.DEVNULL)

    def dump(self):
        return self.run("dump-md").stdout

    def bitmap(self):
        """The words of the bitmap, by the tool's own account."""
        found = []
        for count, word in re.findall(r"(?:(\d+) times )?0x([0-9A-F]{16});",
                                      self.dump().partition("bm {")[2]):
            found += [int(word, 16)] * int(count or 1)
        return found

    def flags(self):
        return self.run("get-gi").stdout.strip().split(":")


def used_metadata(bench, size):
    """Metadata with a bitmap that is worth something, and all UUIDs set."""
    with open(bench.path, "wb") as file:
        file.truncate(size)
    assert bench.run("create-md").returncode == 0
    at = int(re.search(r"# bm_offset (\d+)", bench.dump())[1])
    sectors = at // 512
    words = (sectors // 8 + 63) // 64
    dump = bench.path + ".dump"
    with open(dump, "w", encoding="ascii") as file:
        file.write(f"""version "v08"; uuid {{ 0x0123456789ABCDEF; 0x1111222233334444;
0x5555666677778888; 0x9999AAAABBBBCCCC; flags 0x00000011; }} la-size-sect {sectors};
bm-byte-per-bit 4096; device-uuid 0xFEDCBA9876543210; la-peer-max-bio-size 4096; bm {{
{" ".join(f"0x{i * 0x9E3779B97F4A7C15 % (1 << 64):016X};" for i in range(words))} }}""")
    assert bench.run("restore-md", dump).returncode == 0
    assert bench.run("apply-al").returncode == 0


def crash_in_resize(tap, bench, size, grown):
    used_metadata(bench, size)
    with open(KNOWN, "rb") as file:
        known = file.read()
    shutil.copyfile(bench.path, bench.path + ".before")
    words, flags = bench.bitmap(), bench.flags()
    for stop_at in range(1, 200):
        shutil.copyfile(bench.path + ".before", bench.path)
        with open(KNOWN, "wb") as file:
            file.write(known)
        os.truncate(bench.path, grown)
        crashed = bench.run("check-resize", stop_at=stop_at)
        if crashed.returncode != STOPPED:
            tap.check(f"{size} grown to {grown}: {stop_at - 1} writes, then all is done",
                      crashed.returncode == 0 and stop_at > 3, crashed)
            break
        again = bench.run("check-resize")
        applied = bench.run("apply-al")
        after, now = bench.bitmap(), bench.flags()
        whole = after[:len(words)] == words and now == flags
        full_sync = now[8] == "1" and now[:8] == flags[:8] and now[9:] == flags[9:]
        tap.check(f"{size} grown to {grown}, crash at write {stop_at}: found again, "
                  f"{'unchanged' if whole else 'asking for a full sync'}",
                  again.returncode == applied.returncode == 0 and (whole or full_sync),
                  f"{again}\n{applied}\n{flags}\n{now}")


def crash_in_apply_al(tap, bench, name):
    with lzma.open(os.path.join(FIXTURES, name + ".img.xz")) as packed, \
            open(bench.path + ".before", "wb") as file:
        for piece in iter(lambda: packed.read(MIB), b""):
            if piece.strip(b"\0"):
                file.write(piece)
            else:
                file.seek(len(piece), os.SEEK_CUR)
        file.truncate()
    subprocess.run(["cp", "--sparse=always", bench.path + ".before", bench.path], check=True)
    assert bench.run("apply-al").returncode == 0
    expected, flags = bench.bitmap(), bench.flags()
    for stop_at in range(1, 50):
        subprocess.run(["cp", "--sparse=always", bench.path + ".before", bench.path], check=True)
        crashed = bench.run("apply-al", stop_at=stop_at)
        if crashed.returncode != STOPPED:
            tap.check(f"{name}: {stop_at - 1} writes, then all is done",
                      crashed.returncode == 0 and stop_at > 2, crashed)
            break
        again = bench.run("apply-al")
        tap.check(f"{name}, crash at write {stop_at}: applied by the next run",
                  again.returncode == 0 and bench.bitmap() == expected and
                  bench.flags() == flags, again)


def main():
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root for the state directory of minors")
        return 0
    tap = Tap()
    with tempfile.TemporaryDirectory(prefix="drbdmeta-crash-") as directory:
        bench = Bench(sys.argv[1], sys.argv[2], directory)
        for size, grown in ((64 * MIB, 64 * MIB + 4096), (64 * MIB, 64 * MIB + 40 * KIB),
                            (128 * MIB, 128 * MIB + 4096), (64 * MIB, 300 * MIB)):
            crash_in_resize(tap, bench, size, grown)
        crash_in_apply_al(tap, bench, "internal-512m-dirty-crashed")
        crash_in_apply_al(tap, bench, "internal-64m-al83-synthetic")
    for path in (KNOWN, f"/var/lock/drbd-147-{MINOR}"):
        if os.path.exists(path):
            os.unlink(path)
    print(f"1..{tap.number}")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
