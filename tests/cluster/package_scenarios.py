"""The package in a fresh Debian 12, where neither drbd-utils nor anything to build with is installed:
it installs, its programs run, a device is made and used, and its removal leaves nothing behind.

    package_scenarios.py BUILD ROOT     prints TAP; ROOT is made if it is not there, and kept
"""

import contextlib
import glob
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

from nodes import Failed, main, run, run_scenarios
from pair import expect

DISK = 64 << 20
DEBIAN_SOURCES = "/etc/apt/sources.list.d/debian.sources"
RESOURCE = """resource r0 {
    on alpha {
        device /dev/drbd0 minor 0; disk /dev/sdb1; address 127.0.0.1:7789; meta-disk internal;
    }
    on beta {
        device /dev/drbd0 minor 0; disk /dev/sdb1; address 127.0.0.2:7789; meta-disk internal;
    }
}
"""
# The first process of the machine in which the package is installed. Ends with its input.
INIT = r"""
set -e
root=$1 work=$2 disk=$3
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$root,upperdir=$work/up,workdir=$work/work" "$work/root"
cd "$work/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs -o mode=755 tmpfs run
mkdir run/lock
mount -t tmpfs -o mode=755 tmpfs dev
for entry in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 fuse:10:229 loop-control:10:237; do
    IFS=: read -r node major minor <<<"$entry"
    mknod -m 666 "dev/$node" c "$major" "$minor"
done
python3 -c 'import os, stat, sys
for number in range(64):
    os.mknod(f"dev/loop{number}", stat.S_IFBLK | 0o660, os.makedev(7, number))'
mknod -m 660 dev/sdb1 b 7 "$disk"
mkdir dev/disk
mount --bind "$4" mnt
hostname alpha
ip link set lo up
echo ready
set +e
while read -r _; do :; done
"""


class Machine:
    """A Debian in namespaces of its own; what is written there is gone afterwards."""

    def __init__(self, build, root):
        self.package = make_package(build)
        self.root = make_root(root, self.package)

    def __enter__(self):
        self.work = tempfile.mkdtemp(prefix="lockstep-package-")
        for each in ("up", "work", "root"):
            os.mkdir(f"{self.work}/{each}")
        image = f"{self.work}/disk.img"
        with open(image, "wb") as file:
            file.truncate(DISK)
        self.loop = run("losetup", "--find", "--show", image).stdout.strip()
        self.init = subprocess.Popen(
            ["unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child",
             "--propagation", "private", "--mount-proc", "bash", "-c", INIT, "init", self.root,
             self.work, str(os.minor(os.stat(self.loop).st_rdev)), os.path.dirname(self.package)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        expect(self.init.stdout.readline() == "ready\n", "the machine does not start")
        self.pid = run("pgrep", "-P", self.init.pid).stdout.split()[0]
        return self

    def __exit__(self, *_):
        self.init.stdin.close()
        self.init.wait()
        run("losetup", "--detach", self.loop, check=False)
        shutil.rmtree(self.work, ignore_errors=True)

    def try_run(self, script):
        return run("nsenter", "--target", self.pid, "--mount", "--uts", "--ipc", "--net", "--pid",
                   "--", "chroot", f"{self.work}/root", "env", "-i",
                   "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/root",
                   "DEBIAN_FRONTEND=noninteractive", "bash", "-c", script,
                   check=False, stdin=subprocess.DEVNULL, timeout=120)

    def run(self, script):
        done = self.try_run(script)
        expect(done.returncode == 0, f"{script}: exit {done.returncode}\n{done.stdout}")
        return done.stdout

    def files(self):
        """All of them, without what dpkg keeps of itself."""
        found = self.run("find / -xdev -path /mnt -prune -o -path /var/lib/dpkg -prune "
                         "-o -path /var/cache -prune -o -path /var/log -prune -o -print")
        return set(found.splitlines())


def make_package(build):
    directory = f"{build}/package"
    shutil.rmtree(directory, ignore_errors=True)
    run("cpack", "-G", "DEB", "-B", directory, "--config", f"{build}/CPackConfig.cmake", cwd=build)
    made = glob.glob(f"{directory}/*.deb")
    expect(len(made) == 1, f"cpack made {made}")
    return os.path.abspath(made[0])


def make_root(root, package):
    """A minimal Debian with what the package says it needs, and mkfs. Made again if that changes."""
    needs = run("dpkg-deb", "--field", package, "Depends").stdout.strip()
    names = sorted({"e2fsprogs", "mount",
                    *(each.split()[0] for each in needs.split(",") if each.strip())})
    mark = hashlib.sha256(" ".join(names).encode()).hexdigest()[:12]
    made = os.path.abspath(f"{root}-{mark}")
    if not os.path.isdir(made):
        for old in glob.glob(f"{root}-*"):
            shutil.rmtree(old)
        source = [DEBIAN_SOURCES] if os.path.exists(DEBIAN_SOURCES) else []
        run("mmdebstrap", "--quiet", "--mode=root", "--variant=apt",
            f"--include={','.join(names)}", "bookworm", f"{made}.new", *source)
        os.rename(f"{made}.new", made)
    return made


def the_package_installs_without_anything_else(machine):
    machine.before = machine.files()
    missing = machine.try_run("command -v drbdadm cc cmake").stdout
    expect(not missing.strip(), f"this is no fresh machine: {missing}")
    machine.run(f"dpkg --install /mnt/{os.path.basename(machine.package)}")
    machine.installed = set(machine.run("dpkg --listfiles lockstep").splitlines())


def every_program_of_it_runs(machine):
    programs = [each for each in sorted(machine.installed)
                if each.startswith(("/usr/sbin/", "/usr/lib/lockstep/"))]
    expect(len(programs) >= 4, f"only {programs} are installed")
    for each in programs:
        loaded = machine.run(f"ldd {each}")
        expect("not found" not in loaded, loaded)
    for words in ("drbdadm --version", "drbdsetup events2 --now",
                  "/usr/lib/lockstep/lockstep-engine --version"):
        machine.run(words)


def nothing_is_installed_outside_of_the_usual_places(machine):
    for each in machine.installed:
        expect(each.startswith(("/etc/drbd", "/usr/"))
               or each in ("/.", "/etc", "/usr", "/etc/init.d", "/etc/init.d/drbd"),
               f"the package has {each}")
    conffiles = machine.run("dpkg-query --show -f '${Conffiles}' lockstep").split()[::2]
    for each in sorted(machine.installed):
        if each == "/etc/init.d/drbd" or (each.startswith("/etc/drbd.") and each.endswith("conf")):
            expect(each in conffiles, f"{each} is no conffile: an upgrade would replace it")


def a_device_is_made_and_used(machine):
    machine.run(f"cat >/etc/drbd.d/r0.res <<'END'\n{RESOURCE}END")
    machine.run("drbdadm create-md r0")
    machine.run("drbdadm up r0")
    machine.run("drbdadm primary --force r0")
    machine.run("mkfs.ext4 -q /dev/drbd0 && mount /dev/drbd0 /media")
    machine.run("echo precious >/media/file && umount /media")
    machine.run("drbdadm secondary r0 && drbdadm primary r0")
    seen = machine.run("mount /dev/drbd0 /media && cat /media/file && umount /media")
    expect(seen == "precious\n", f"the file says {seen!r}")


def drbd_utils_can_not_be_installed_beside_it(machine):
    fields = machine.run("dpkg-query --show -f '${Conflicts}/${Replaces}/${Provides}' lockstep")
    expect(fields == "drbd-utils/drbd-utils/drbd-utils", fields)


def its_removal_leaves_conffiles_and_what_is_known_of_disks(machine):
    machine.run("drbdadm down r0 && rm /etc/drbd.d/r0.res")
    left = machine.try_run("ls -d /dev/drbd* /run/lockstep/*/* 2>/dev/null").stdout
    expect(not left.strip(), f"after down there is {left}")
    running = machine.run("readlink /proc/[0-9]*/exe || true")
    expect("lockstep" not in running, f"after down there runs {running}")
    machine.run("dpkg --remove lockstep")
    left = machine.files() - machine.before
    allowed = {"/etc/drbd.conf", "/etc/drbd.d", "/etc/drbd.d/global_common.conf",
               "/etc/init.d/drbd"}
    expect({each for each in left if not each.startswith("/var/lib/drbd")} <= allowed,
           f"left: {sorted(left - allowed)}")


def its_purge_leaves_nothing(machine):
    machine.run("dpkg --purge lockstep")
    left = machine.files() - machine.before
    expect(not left, f"left: {sorted(left)}")


SCENARIOS = [
    the_package_installs_without_anything_else, every_program_of_it_runs,
    nothing_is_installed_outside_of_the_usual_places, a_device_is_made_and_used,
    drbd_utils_can_not_be_installed_beside_it,
    its_removal_leaves_conffiles_and_what_is_known_of_disks, its_purge_leaves_nothing,
]


def package():
    with contextlib.ExitStack() as stack:
        machine = stack.enter_context(Machine(os.path.abspath(sys.argv[1]), sys.argv[2]))
        return 1 if run_scenarios(SCENARIOS, machine) else 0


if __name__ == "__main__":
    main(package)
