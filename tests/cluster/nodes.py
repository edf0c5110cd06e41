"""Nodes on one machine: each has its own network, mount, uts, ipc and pid namespaces, its own disks
(loop devices on files), /etc, /dev, /run and /tmp, and sees the installed Lockstep laid over /usr.

    with Cluster("name", stage) as cluster:
        a, b = cluster.node("alpha"), cluster.node("beta")
        disk = a.add_disk("sdb1", 64 << 20)
        a.start(); b.start()
        a.run("drbdadm", "create-md", "r0")
        a.power_off()          # like pulling the plug: peers get no FIN
        a.start()              # its disks are as it left them

Everything is taken away again when the `with` ends, also after an error. When the whole test is
killed, the nodes' first processes notice (their standard input ends) and take their node along, and
a guard (leftovers.py) clears up after them.
"""

import contextlib
import ctypes
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
import zlib

import leftovers

NETWORK = "10.78.0"
LOOP_MAJOR = 7
LOOP_NODES = 96


class Failed(Exception):
    """A command of a test went wrong."""


def run(*command, check=True, **options):
    """A command on the machine itself."""
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.STDOUT)
    done = subprocess.run([str(each) for each in command], text=True, errors="replace", **options)
    if check and done.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout or ''}")
    return done


def until(condition, what, seconds=20.0):
    """Waits for something that nobody announces."""
    deadline = time.monotonic() + seconds
    while True:
        seen = condition()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise Failed(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def has_ended(pid):
    """Also if nobody has asked how: the first process of a container may leave that to nobody."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


# What the first process of a node does before anything else runs there: a private view of the
# file system. It then waits for the end of its input, which comes at the latest when the test ends.
INIT = r"""
set -e
stage=$1 state=$2 name=$3
mount --make-rprivate /
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock
for top in etc usr var; do
    mkdir -p "$state/up/$top" "$state/work/$top" "$stage/$top"
    mount -t overlay overlay -o "lowerdir=$stage/$top:/$top,upperdir=$state/up/$top,workdir=$state/work/$top" "/$top"
done
mkdir -p /dev/shm
mount -t tmpfs -o mode=755 tmpfs "$state/dev"
mkdir -p "$state/dev/pts" "$state/dev/shm" "$state/dev/disk"
for entry in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0 fuse:10:229 loop-control:10:237; do
    IFS=: read -r node major minor <<<"$entry"
    mknod -m 666 "$state/dev/$node" c "$major" "$minor"
done
python3 -c 'import os, stat, sys
for number in range(int(sys.argv[2])):
    os.mknod(f"{sys.argv[1]}/loop{number}", stat.S_IFBLK | 0o660, os.makedev(7, number))
' "$state/dev" "$LOOPS"
while read -r node minor; do mknod -m 660 "$state/dev/$node" b 7 "$minor"; done <"$state/disks"
ln -s /proc/self/fd "$state/dev/fd"
ln -s /proc/self/fd/0 "$state/dev/stdin"
ln -s /proc/self/fd/1 "$state/dev/stdout"
ln -s /proc/self/fd/2 "$state/dev/stderr"
mount --move "$state/dev" /dev
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs -o mode=1777 tmpfs /tmp
hostname "$name"
ip link set lo up
echo ready
set +e
while read -r _; do :; done
"""


class Node:
    """One node. `run` raises Failed unless the command succeeds; `try_run` tells how it ended."""

    def __init__(self, cluster, name, number):
        self.cluster = cluster
        self.name = name
        self.address = f"{NETWORK}.{10 + number}"
        self.directory = f"{cluster.directory}/{name}"
        self.port = f"ls{cluster.tag}{number}"
        self.disks = {}
        self.helpers = []
        self.init = None
        self.pid_namespace = None
        self.mounts = None
        for each in ("up", "work", "dev"):
            os.makedirs(f"{self.directory}/{each}", exist_ok=True)

    # --- disks ---

    def add_disk(self, device, size):
        """A disk /dev/DEVICE of `size` bytes, kept while the node is off. Before start()."""
        path = f"{self.directory}/{device}.img"
        with open(path, "wb") as image:
            image.truncate(size)
        loop = run("losetup", "--find", "--show", "--direct-io=on", path).stdout.strip()
        self.disks[device] = (path, loop)
        return path

    def add_faulty_disk(self, device, size):
        """A disk whose writes (reads) fail with EIO while the file PATH.write (PATH.read) exists;
        returns PATH. Served by nbdkit, through FUSE and a loop device."""
        path = f"{self.directory}/{device}"
        with open(f"{path}.raw", "wb") as image:
            image.truncate(size)
        mount = f"{path}.mount"
        os.makedirs(mount)
        self.helpers.append(subprocess.Popen(
            ["nbdkit", "--foreground", "--exit-with-parent", "--unix", f"{path}.sock",
             "--filter=error", "file", f"{path}.raw", "error=EIO",
             "error-pwrite-rate=100%", f"error-pwrite-file={path}.write",
             "error-pread-rate=100%", f"error-pread-file={path}.read"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        until(lambda: os.path.exists(f"{path}.sock"), "nbdkit")
        self.helpers.append(subprocess.Popen(
            ["nbdfuse", mount, f"nbd+unix:///?socket={path}.sock"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        served = f"{mount}/nbd"
        until(lambda: os.path.exists(served) and os.path.getsize(served) == size, "nbdfuse")
        loop = run("losetup", "--find", "--show", "--direct-io=on", served).stdout.strip()
        self.disks[device] = (f"{path}.raw", loop)
        return path

    # --- life ---

    @property
    def is_up(self):
        return self.init is not None and self.init.poll() is None

    def start(self):
        with open(f"{self.directory}/disks", "w", encoding="ascii") as table:
            for device, (_, loop) in self.disks.items():
                table.write(f"{device} {os.minor(os.stat(loop).st_rdev)}\n")
        self.pid = None
        self.init = subprocess.Popen(
            ["unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child",
             "--propagation", "private", "--mount-proc", "bash", "-c", INIT, "init",
             self.cluster.stage, self.directory, self.name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            stderr=open(f"{self.directory}/init.log", "w", encoding="utf-8"),
            env={**os.environ, "LOOPS": str(LOOP_NODES), "LC_ALL": "C"}, bufsize=1)
        ready = self.init.stdout.readline().strip()
        if ready != "ready":
            with open(f"{self.directory}/init.log", encoding="utf-8") as log:
                raise Failed(f"node {self.name} did not start: {ready}\n{log.read()}")
        children = run("pgrep", "-P", self.init.pid).stdout.split()
        self.pid = int(children[0])
        self.pid_namespace = os.stat(f"/proc/{self.pid}/ns/pid").st_ino
        # What is mounted in the node is unmounted by whoever has this open last. An engine that did
        # it while it dies would wait for itself, and with it every sync of the machine.
        self.mounts = os.open(f"/proc/{self.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        self.cluster.tell_guard(f"node {self.pid}")
        run("ip", "link", "add", self.port, "netns", self.cluster.hub, "type", "veth",
            "peer", "name", "eth0", "netns", str(self.pid))
        run("ip", "-n", self.cluster.hub, "link", "set", self.port, "master", "br0", "up")
        self.host_run("ip", "addr", "add", f"{self.address}/24", "dev", "eth0", namespaces=["--net"])
        self.host_run("ip", "link", "set", "eth0", "up", namespaces=["--net"])

    def link(self, up):
        """Plugs its cable in, or out."""
        run("ip", "-n", self.cluster.hub, "link", "set", self.port, "up" if up else "down")

    def power_off(self):
        """Everything in the node ends at once, and nobody is told."""
        if self.init is None:
            return
        run("ip", "-n", self.cluster.hub, "link", "set", self.port, "down", check=False)
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self.init.kill()
        self.init.wait()
        until(lambda: has_ended(self.pid), f"the end of node {self.name}")
        if self.mounts is not None:
            os.close(self.mounts)
            self.mounts = None
        self.init.stdin.close()
        self.init.stdout.close()
        self.init = None
        run("ip", "-n", self.cluster.hub, "link", "del", self.port, check=False)
        leftovers.detach_loops_of(self.pid_namespace)

    # --- commands ---

    def _enter(self, namespaces=("--all",)):
        if not self.is_up:
            raise Failed(f"node {self.name} is off")
        flags = list(namespaces)
        if flags == ["--all"]:
            flags = ["--mount", "--uts", "--ipc", "--net", "--pid"]
        return ["nsenter", "--target", str(self.pid), *flags, "--"]

    def host_run(self, *command, namespaces):
        """A program of the machine in some of the node's namespaces."""
        return run(*self._enter(namespaces), *command)

    def command(self, *command):
        """The words that run a command in the node, for Popen."""
        environment = ["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                       "HOME=/root", "LC_ALL=C", "TERM=" + os.environ.get("TERM", "dumb"),
                       *self.cluster.environment]
        return [*self._enter(), *environment, *map(str, command)]

    def try_run(self, *command, seconds=60, stdin=None):
        return subprocess.run(self.command(*command), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace",
                              timeout=seconds, input=stdin if stdin is not None else "")

    def run(self, *command, **options):
        done = self.try_run(*command, **options)
        if done.returncode != 0:
            raise Failed(f"{self.name}: {' '.join(map(str, command))}: exit {done.returncode}\n"
                         f"{done.stdout}")
        return done.stdout

    def shell(self, script, **options):
        return self.run("bash", "-c", script, **options)

    def write(self, path, text):
        self.run("bash", "-c", 'mkdir -p "$(dirname "$1")" && cat > "$1"', "write", path, stdin=text)

    # --- what DRBD says ---

    def state(self, resource="r0"):
        """(connection state, roles, disk states), "?" for what can't be told."""
        out = []
        for verb in ("cstate", "role", "dstate"):
            done = self.try_run("drbdadm", verb, resource)
            out.append(done.stdout.strip().splitlines()[-1]
                       if done.returncode == 0 and done.stdout.strip() else "?")
        return tuple(out)

    def wait_for(self, connection=None, disks=None, resource="r0", seconds=30):
        def reached():
            now = self.state(resource)
            return ((connection is None or now[0] == connection)
                    and (disks is None or now[2] == disks))
        try:
            until(reached, "", seconds)
        except Failed as late:
            raise Failed(f"{self.name}: wanted {connection} {disks}, is {self.state(resource)}; "
                         f"not within {seconds} s") from late


class Cluster:
    """The nodes and the bridge between them."""

    node_type = Node

    def __init__(self, name, stage, directory=None, environment=()):
        self.stage = os.path.abspath(stage)
        # Of this checkout: two of them can run the same test side by side.
        self.name = name = f"{name}-{zlib.crc32(self.stage.encode()) & 0xffff:04x}"
        self.directory = os.path.abspath(directory or f"/var/tmp/lockstep-{name}")
        self.hub = f"lockstep-{name}"
        self.tag = f"{sum(map(ord, name)) % 1000:03d}"
        self.environment = list(environment)
        self.nodes = []

    def node(self, name):
        made = self.node_type(self, name, len(self.nodes) + 1)
        self.nodes.append(made)
        return made

    def __enter__(self):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
        self.taken = self.take_name()
        leftovers.clear(self.directory, self.hub)
        self.guard = subprocess.Popen(
            [sys.executable, "-B", leftovers.__file__, self.directory, self.hub],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
            start_new_session=True, pass_fds=[self.taken.fileno()])
        os.makedirs(self.directory)
        run("ip", "netns", "add", self.hub)
        run("ip", "-n", self.hub, "link", "add", "br0", "type", "bridge", "stp_state", "0",
            "forward_delay", "0")
        run("ip", "-n", self.hub, "addr", "add", f"{NETWORK}.1/24", "dev", "br0")
        run("ip", "-n", self.hub, "link", "set", "br0", "up")
        run("ip", "-n", self.hub, "link", "set", "lo", "up")
        return self

    def take_name(self):
        """It is ours while this is open, here or in the guard: the guard of one that was killed may
        still clear up. An abstract address, since that leaves nothing behind."""
        taken = socket.socket(socket.AF_UNIX)

        def free():
            with contextlib.suppress(OSError):
                taken.bind(f"\0{self.hub}")
                return True
            return False
        until(free, f"the end of another run of {self.name}", 60)
        return taken

    def __exit__(self, *_):
        for each in self.nodes:
            with contextlib.suppress(Failed):
                each.power_off()
            for _, loop in each.disks.values():
                run("losetup", "--detach", loop, check=False)
            for process in reversed(each.helpers):
                process.terminate()
                process.wait()
        leftovers.end_nodes(self.directory, set(), 0)
        leftovers.clear(self.directory, self.hub)
        self.tell_guard("done")
        self.guard.stdin.close()
        self.guard.wait()
        self.taken.close()

    def tell_guard(self, line):
        self.guard.stdin.write(line + "\n")
        self.guard.stdin.flush()


def resource_text(name, nodes, minor=0, port=7789, disk="sdb1", net="", disk_options="",
                  handlers="", meta="internal"):
    """An 8.4 style resource of two nodes."""
    hosts = "".join(
        f"""    on {each.name} {{
        device    /dev/drbd{minor} minor {minor};
        disk      /dev/{disk};
        address   {each.address}:{port};
        meta-disk {meta};
    }}
""" for each in nodes)
    return f"""global {{ usage-count no; }}
common {{
    net {{ protocol C; {net} }}
    disk {{ {disk_options} }}
    handlers {{ {handlers} }}
}}
resource {name} {{
{hosts}}}
"""


def data_checksum(path, size):
    """Of the data on a disk of `size` bytes with internal metadata of default size: without that."""
    extents = -(-(size // 512) // 32768)  # a sector of the bitmap covers 16 MiB
    left = size - 4096 - 32768 - -(-extents // 8) * 8 * 512
    digest = hashlib.sha256()
    with open(path, "rb") as image:
        while left > 0:
            piece = image.read(min(1 << 20, left))
            digest.update(piece)
            left -= len(piece)
    return digest.hexdigest()


def run_scenarios(scenarios, *arguments):
    """Runs functions in order, each a test named by its name; TAP. How many failed."""
    bad = 0
    print(f"1..{len(scenarios)}", flush=True)
    for number, each in enumerate(scenarios, 1):
        name = each.__name__.replace("_", " ")
        try:
            each(*arguments)
            print(f"ok {number} - {name}", flush=True)
        except (Failed, subprocess.TimeoutExpired) as failure:
            bad += 1
            print(f"not ok {number} - {name}", flush=True)
            print("# " + str(failure).replace("\n", "\n# "), flush=True)
    return bad


def main(function):
    """Runs a scenario program: Failed is a plain message, an interrupt cleans up."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(function())
    except Failed as failure:
        print(f"failed: {failure}", file=sys.stderr)
        sys.exit(1)
