"""Real engines for tests of drbdsetup: two hosts on this machine, each with a runtime directory, a
log, and disks that are files or, to freeze them, loop devices on files of a FUSE server.

    class Something(EngineTest):
        def test_what_holds(self):
            pair = self.connected_pair()
            ...
    main()

A program of tests prints TAP; its arguments are the engine, drbdsetup, drbdmeta and drbdadm, and
then, to run less than all, parts of names.
"""

import contextlib
import glob
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

ENGINE, DRBDSETUP, DRBDMETA, DRBDADM = sys.argv[1:5]
MIB = 1 << 20
DISK = 16 * MIB


def until(condition, what, seconds=30.0):
    end = time.monotonic() + seconds
    while True:
        seen = condition()
        if seen:
            return seen
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


class Nbd:
    """A client of a volume, as far as these tests need one (NBD protocol, "proto.md")."""

    READ, WRITE, FLUSH = 0, 1, 3

    def __init__(self, path, export):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.receive(18)
        self.socket.sendall(struct.pack(">I", 3))
        name = export.encode()
        self.socket.sendall(b"IHAVEOPT" + struct.pack(">II", 1, len(name)) + name)
        self.size = struct.unpack(">QH", self.receive(10))[0]
        self.cookie = 0

    def receive(self, count):
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise EOFError("the NBD server closed the connection")
            data += part
        return data

    def begin(self, kind, offset=0, size=0, data=b""):
        self.cookie += 1
        self.socket.sendall(struct.pack(">IHHQQI", 0x25609513, 0, kind, self.cookie, offset, size)
                            + data)

    def end(self, size=0):
        """The errno of the oldest request, and what it read."""
        _, error, _ = struct.unpack(">IIQ", self.receive(16))
        return error, self.receive(size) if error == 0 else b""

    def write(self, offset, data):
        self.begin(self.WRITE, offset, len(data), data)
        return self.end()[0]

    def read(self, offset, size):
        self.begin(self.READ, offset, size)
        return self.end(size)

    def flush(self):
        self.begin(self.FLUSH)
        return self.end()[0]

    def close(self):
        self.socket.close()


class FrozenDisk:
    """A disk of `size` bytes that stops answering between freeze() and thaw()."""

    filters = ()

    def __init__(self, directory, name, size=DISK, more=()):
        self.mount = f"{directory}/{name}.mount"
        os.mkdir(self.mount)
        with open(f"{directory}/{name}.raw", "wb") as file:
            file.truncate(size)
        path = f"{directory}/{name}.sock"
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL,
                 "stderr": subprocess.DEVNULL}
        self.server = subprocess.Popen(["nbdkit", "--foreground", "--exit-with-parent", "--unix",
                                        path, *self.filters, "file", f"{directory}/{name}.raw",
                                        *more], **quiet)
        until(lambda: os.path.exists(path), "nbdkit")
        self.fuse = subprocess.Popen(["nbdfuse", self.mount, f"nbd+unix:///?socket={path}"],
                                     **quiet)
        served = f"{self.mount}/nbd"
        until(lambda: os.path.exists(served) and os.path.getsize(served) == size, "nbdfuse")
        # A block device: of a file of a frozen server not even a killed process would get away.
        self.path = subprocess.run(["losetup", "--find", "--show", "--direct-io=on", served],
                                   check=True, text=True, stdout=subprocess.PIPE).stdout.strip()

    def freeze(self):
        """Ends when the server has stopped: until then it may still answer."""
        self.server.send_signal(signal.SIGSTOP)
        until(self._stopped, "nbdkit to stop")

    def _stopped(self):
        states = []
        for path in glob.glob(f"/proc/{self.server.pid}/task/*/stat"):
            with open(path, encoding="ascii") as file:
                states.append(file.read().rpartition(")")[2].split()[0])
        return bool(states) and set(states) == {"T"}

    def thaw(self):
        self.server.send_signal(signal.SIGCONT)

    def close(self):
        self.thaw()
        subprocess.run(["losetup", "--detach", self.path], check=False, timeout=60)
        subprocess.run(["umount", "--lazy", self.mount], check=False, timeout=60)
        for process in (self.fuse, self.server):
            process.terminate()
            process.wait(timeout=60)


class Host:
    """One node: `setup(...)` runs its drbdsetup."""

    def __init__(self, test, name, number, options=()):
        self.test = test
        self.name = name
        self.directory = f"{test.directory}/{name}"
        os.mkdir(self.directory)
        self.address = f"ipv4:127.0.0.{number}:{test.port}"
        self.first_minor = 900000 + os.getpid() % 20000 * 2 + (number - 1)
        self.log_path = f"{self.directory}/log"
        self.disks = []
        self.environment = dict(
            os.environ, LC_ALL="C",
            LOCKSTEP_RUNTIME_DIRECTORY=f"{self.directory}/run", LOCKSTEP_ENGINE=ENGINE,
            LOCKSTEP_ENGINE_OPTIONS=" ".join(
                ["--no-device-nodes", "--files", f"--log={self.log_path}", "--helper=disabled",
                 *options]))

    def minor(self, volume=0):
        return str(self.first_minor + 50000 * volume)

    def run(self, *words, seconds=60, program=DRBDSETUP, **options):
        return subprocess.run([program, *words], env=self.environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds,
                              check=False, **options)

    def setup(self, *words, code=0, **options):
        done = self.run(*words, **options)
        self.test.assertEqual(done.returncode, code, f"{self.name}: {words}: {done.stdout}")
        return done.stdout

    def start(self, *words):
        """A drbdsetup that goes on while the test does something else."""
        process = subprocess.Popen([DRBDSETUP, *words], env=self.environment, text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT)
        self.test.addCleanup(self.test.stop, process)
        return process

    def new_disk(self, volume=0, size=DISK):
        path = f"{self.directory}/disk{volume}"
        with open(path, "wb") as file:
            file.truncate(size)
        self.create_md(path, volume)
        return path

    def frozen_disk(self, volume=0):
        disk = FrozenDisk(self.directory, f"frozen{volume}")
        self.disks.append(disk)
        self.create_md(disk.path, volume)
        return disk

    def create_md(self, path, volume=0):
        done = self.run("--force", self.minor(volume), "v08", path, "internal", "create-md",
                        program=DRBDMETA)
        self.test.assertEqual(done.returncode, 0, done.stdout)

    def apply_al(self, path, kind="internal", volume=0):
        done = self.run("--force", self.minor(volume), "v08", path, kind, "apply-al",
                        program=DRBDMETA)
        self.test.assertEqual(done.returncode, 0, done.stdout)

    def create(self, resource="r0", *options):
        self.setup("new-resource", resource, *options)
        self.setup("new-minor", resource, self.minor(), "0")

    def attach(self, path, *options, volume=0, code=0):
        return self.setup("attach", self.minor(volume), path, path, "internal", *options, code=code)

    def connect(self, peer, *options, resource="r0", code=0):
        return self.setup("connect", resource, self.address, peer.address, *options, code=code)

    def status(self, resource="r0"):
        return json.loads(self.setup("status", resource, "--json"))[0]

    def device(self, volume=0):
        return self.status()["devices"][volume]

    def proc(self):
        return self.setup("proc")

    def counters(self, volume=0):
        """ns, nr, ... of the volume's paragraph in `proc`, as numbers where they are."""
        paragraph = self.proc().split(f"{self.minor(volume)}: cs:", 1)[1]
        found = re.search(r"\n    (ns:.*)\n", paragraph).group(1)
        pairs = (each.split(":") for each in found.split())
        return {key: int(value) if value.isdigit() else value for key, value in pairs}

    def state(self, volume=0):
        minor = self.minor(volume)
        return tuple(self.run(word, minor).stdout.strip() for word in ("cstate", "role", "dstate"))

    def wait_for(self, connection, disks=None):
        def reached():
            now = self.state()
            return now[0] == connection and disks in (None, now[2])
        until(reached, f"{self.name} to be {connection} {disks}")

    def nbd(self, resource="r0", volume=0):
        client = Nbd(f"{self.directory}/run/resources/{resource}/nbd", f"{resource}/{volume}")
        self.test.addCleanup(client.close)
        return client

    def processes(self):
        """pid and name of the engines, keepers and log writers of this host."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    mine = f"{self.directory}/run".encode() in file.read()
                with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
                    name = file.read().strip()
            except OSError:
                continue
            if mine and name.startswith("lockstep-"):
                found.append((int(pid), name))
        return found

    def pids(self, name):
        return [pid for pid, each in self.processes() if each == name]

    def log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def end(self):
        for disk in self.disks:
            disk.thaw()
        for pid, name in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
                if name == "lockstep-engine":
                    os.kill(pid, signal.SIGKILL)
        until(lambda: not self.processes(), f"the end of the engines of {self.name}", 60)
        for disk in self.disks:
            disk.close()


class Pair:
    def __init__(self, alpha, beta):
        self.alpha, self.beta = alpha, beta

    def in_sync(self):
        for host in (self.alpha, self.beta):
            host.wait_for("Connected", "UpToDate/UpToDate")


class EngineTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="lockstep-setup-", dir="/var/tmp")
        self.hosts = []
        self.loops = []
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]

    def tearDown(self):
        self.doCleanups()
        for host in self.hosts:
            host.end()
        for loop in self.loops:
            subprocess.run(["losetup", "--detach", loop], check=True)
        shutil.rmtree(self.directory)

    def stop(self, process):
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()

    def loop_device(self, path):
        loop = subprocess.run(["losetup", "--find", "--show", path], check=True, text=True,
                              stdout=subprocess.PIPE).stdout.strip()
        self.loops.append(loop)
        return loop

    def host(self, name="alpha", options=()):
        made = Host(self, name, len(self.hosts) + 1, options)
        self.hosts.append(made)
        return made

    def lone(self, **options):
        """A host with one resource of one volume, attached."""
        host = self.host(**options)
        host.create()
        host.attach(host.new_disk())
        return host

    def pair(self, *net, disk=()):
        """Two hosts, attached and connected, with new disks."""
        alpha, beta = self.host("alpha"), self.host("beta")
        for host in (alpha, beta):
            host.create()
            host.attach(host.new_disk(), *disk)
        for host, peer in ((alpha, beta), (beta, alpha)):
            host.connect(peer, "--protocol=C", *net)
        made = Pair(alpha, beta)
        for host in (alpha, beta):
            host.wait_for("Connected", "Inconsistent/Inconsistent")
        return made

    def pair_in_sync(self, *net, **options):
        made = self.pair(*net, **options)
        made.alpha.setup("new-current-uuid", made.alpha.minor(), "--clear-bitmap")
        made.in_sync()
        return made


class TapResult(unittest.TestResult):
    count = 0

    def tell(self, test, good, reason=""):
        self.count += 1
        name = test._testMethodName.removeprefix("test_").replace("_", " ")
        print(f"{'' if good else 'not '}ok {self.count} - {name}", flush=True)
        for line in reason.splitlines():
            print(f"# {line}", flush=True)

    def addSuccess(self, test):
        self.tell(test, True)

    def addError(self, test, err):
        super().addError(test, err)
        self.tell(test, False, self._exc_info_to_string(err, test))

    addFailure = addError


def main(module="__main__"):
    suite = unittest.defaultTestLoader.loadTestsFromName(module)
    tests = [each for group in suite for each in group
             if len(sys.argv) < 6 or any(part in each.id() for part in sys.argv[5:])]
    print(f"1..{len(tests)}", flush=True)
    result = TapResult()
    unittest.TestSuite(tests).run(result)
    sys.exit(0 if not result.errors and not result.failures else 1)
