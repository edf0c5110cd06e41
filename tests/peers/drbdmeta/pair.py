"""Two equal disks, one worked on by our drbdmeta and one by the original, and what to compare.

Disks are sparse files on loop devices; the files lie on a tmpfs of our own, because only that has
files of 16 TiB, and limited, because zeroing a loop device on it takes real memory. A test prints
TAP; without the original, without root or without loop devices it is skipped.
"""
import difflib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
# Two bitmaps of 16 TiB and some.
TMPFS_SIZE = 1300 * MIB
# Minors that no configuration uses, and no other run of a test; the original keeps a file for each
# in its state directory.
MINORS = (1040000 + os.getpid() % 4000 * 2, 1040001 + os.getpid() % 4000 * 2)
WORK = "/mnt"


class Tap:
    """Counts and prints results; `finish` is the exit status."""

    def __init__(self):
        self.number = 0
        self.failed = 0

    def check(self, name, good, detail=""):
        self.number += 1
        print(f"{'ok' if good else 'not ok'} {self.number} - {name}", flush=True)
        if not good:
            self.failed += 1
            for line in str(detail).splitlines()[:40]:
                print(f"# {line}")

    def finish(self):
        print(f"1..{self.number}")
        return 1 if self.failed else 0


def skip(reason):
    print(f"1..0 # SKIP {reason}")
    sys.exit(0)


def enough_memory():
    with open("/proc/meminfo", encoding="ascii") as file:
        found = re.search(r"MemAvailable:\s+(\d+) kB", file.read())
    return found and int(found[1]) * KIB > 2 * TMPFS_SIZE


def programs():
    """(ours, original) from the command line, or ends the test with a skip."""
    ours, original = sys.argv[1], sys.argv[2]
    reason = None
    if not os.access(original, os.X_OK):
        reason = "drbdmeta of drbd-utils is not installed"
    elif os.geteuid() != 0:
        reason = "needs root for loop devices"
    elif subprocess.run(["losetup", "-f"], capture_output=True, check=False).returncode != 0:
        reason = "no loop device"
    elif not enough_memory():
        reason = "too little free memory for files on tmpfs"
    if reason:
        skip(reason)
    return ours, original


def enter():
    """Call first: goes on in a mount namespace of its own, with a limited tmpfs on WORK, which is
    gone with the process however it ends."""
    programs()
    if os.environ.get("PAIR_NAMESPACE") != "1":
        os.environ["PAIR_NAMESPACE"] = "1"
        os.execvp("unshare", ["unshare", "-m", sys.executable, "-B", *sys.argv])
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={TMPFS_SIZE}", "tmpfs", WORK],
                   check=True)


class Disk:
    """A sparse file on a loop device."""

    def __init__(self, path, size):
        self.path = path
        with open(path, "wb") as file:
            file.truncate(size)
        self.device = subprocess.run(["losetup", "-f", "--show", path], check=True,
                                     stdout=subprocess.PIPE, text=True).stdout.strip()
        # Detaching a device that is open frees it at the last close, so also if the test dies.
        self.held = os.open(self.device, os.O_RDONLY | os.O_CLOEXEC)
        subprocess.run(["losetup", "-d", self.device], check=True)

    def grow(self, size):
        os.truncate(self.path, size)
        subprocess.run(["losetup", "-c", self.device], check=True)

    def write(self, *pieces):
        """Writes (offset, bytes) behind the back of the loop device."""
        subprocess.run(["blockdev", "--flushbufs", self.device], check=True)
        with open(self.path, "r+b") as file:
            for offset, data in pieces:
                file.seek(offset)
                file.write(data)
        subprocess.run(["blockdev", "--flushbufs", self.device], check=True)

    def read(self, offset, size):
        with open(self.path, "rb") as file:
            file.seek(offset)
            return file.read(size)

    def blocks(self):
        """{offset: digest} of all blocks of 4 KiB that are not zero."""
        found = {}
        zero = bytes(4096)
        fd = os.open(self.path, os.O_RDONLY)
        try:
            end, at = os.fstat(fd).st_size, 0
            while at < end:
                try:
                    at = os.lseek(fd, at, os.SEEK_DATA)
                except OSError:
                    break
                hole = os.lseek(fd, at, os.SEEK_HOLE)
                at -= at % 4096
                while at < hole:
                    piece = os.pread(fd, 4 * MIB, at)
                    for i in range(0, len(piece), 4096):
                        block = piece[i:i + 4096]
                        if block != zero[:len(block)]:
                            found[at + i] = hashlib.sha1(block).digest()
                    at += len(piece)
        finally:
            os.close(fd)
        return found

    def close(self):
        os.close(self.held)
        os.unlink(self.path)


class Answer:
    """What a run of drbdmeta printed, without what must differ: names, dates, the minor."""

    def __init__(self, process, device, minor, program):
        self.code = process.returncode
        self.out = self.plain(process.stdout, device, minor, program)
        self.err = self.plain(process.stderr, device, minor, program)

    @staticmethod
    def plain(text, device, minor, program):
        text = re.sub(r"^# \d{4}-\d\d-\d\d .*\n# .*> .*\n", "# DATE\n", text, flags=re.M)
        text = text.replace(program, "drbdmeta").replace(device, "DEVICE")
        # Who has it: only ours says so.
        text = re.sub(r"^DEVICE is open in python3 \(pid \d+\)\n", "", text, flags=re.M)
        # As a number, not as a part of one: an offset may begin with the same digits.
        return re.sub(rf"(?<!\d){minor}(?!\d)", "MINOR", text)

    def __str__(self):
        return f"exit {self.code}\n{self.out}{self.err}"


class Pair:
    """Equal disks; `ours` and `theirs` are the indices of what belongs to whom."""

    def __init__(self, size, index, names=("ours", "theirs")):
        self.programs = programs()
        self.index = str(index)
        self.directory = tempfile.mkdtemp(prefix="drbdmeta-", dir=WORK)
        self.disks = [Disk(os.path.join(self.directory, name), size) for name in names]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for disk in self.disks:
            disk.close()
        shutil.rmtree(self.directory)
        for minor in MINORS:
            for path in (f"/var/lib/drbd/drbd-minor-{minor}.lkbd",
                         f"/var/lock/drbd-147-{minor}"):
                if os.path.exists(path):
                    os.unlink(path)

    def run(self, program, disk, *words, options=(), stdin=None):
        """Runs program 0 (ours) or 1 (the original) on disk 0 or 1."""
        minor, device = MINORS[disk], self.disks[disk].device
        command = [self.programs[program], *options, str(minor), "v08", device, self.index, *words]
        process = subprocess.run(command, input=stdin or "", capture_output=True, text=True,
                                 check=False, env=dict(os.environ, LC_ALL="C"))
        return Answer(process, device, minor, self.programs[program])

    def both(self, *words, options=(), stdin=None):
        """Each program on its own disk."""
        return (self.run(0, 0, *words, options=options, stdin=stdin),
                self.run(1, 1, *words, options=options, stdin=stdin))

    def same_bytes(self):
        return self.disks[0].blocks() == self.disks[1].blocks()

    def difference(self):
        ours, theirs = (disk.blocks() for disk in self.disks)
        differ = sorted(at for at in ours.keys() | theirs.keys() if ours.get(at) != theirs.get(at))
        return f"{len(differ)} blocks differ, the first at {differ[:5]}" if differ else "same bytes"


def same(answers, err=False):
    ours, theirs = answers
    return ours.code == theirs.code and ours.out == theirs.out and (not err or
                                                                    ours.err == theirs.err)


def show(answers):
    ours, theirs = map(str, answers)
    if max(ours.count("\n"), theirs.count("\n")) > 15:
        return "\n".join(difflib.unified_diff(theirs.split("\n"), ours.split("\n"), "original",
                                              "ours", lineterm="", n=1))
    return f"--- ours: {ours}\n--- original: {theirs}"
