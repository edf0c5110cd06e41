"""What is compared: engines on plain files, reached by NBD, and QEMU's storage daemon."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time


def run(*command, **options):
    done = subprocess.run([str(each) for each in command], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}")
    return done.stdout


def wait_until(condition, what, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def listens(port):
    """Without connecting: a server that negotiates would complain."""
    with open("/proc/net/tcp", encoding="ascii") as file:
        sockets = [line.split() for line in file.readlines()[1:]]
    return any(each[1].endswith(f":{port:04X}") and each[3] == "0A" for each in sockets)


def fill(path, size):
    with open(path, "wb") as image:
        block = os.urandom(1 << 20)
        for _ in range(size >> 20):
            image.write(block)
        os.fsync(image.fileno())
        # Pages in the cache would send direct writes to a worker thread of io_uring.
        os.posix_fadvise(image.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def cpu_us(pid):
    """Processor time of all threads, worker threads of io_uring included."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError), \
                open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total / 1000


class Engine:
    """One engine on a plain file; two of them make a pair on the loopback. `data` bytes of the
    device are written at the start, the rest of `size` is a hole."""

    def __init__(self, bench, name, port, peer_port, size=None, data=None, device_nodes=False,
                 options=""):
        self.directory = f"{bench.directory}/{name}"
        os.makedirs(f"{self.directory}/dev")
        self.image = f"{self.directory}/disk"
        self.bench = bench
        nodes = f"--device-directory={self.directory}/dev" if device_nodes else "--no-device-nodes"
        self.environment = {
            **os.environ,
            "LOCKSTEP_RUNTIME_DIRECTORY": f"{self.directory}/run",
            "LOCKSTEP_ENGINE": f"{bench.stage}/usr/lib/lockstep/lockstep-engine",
            "LOCKSTEP_ENGINE_OPTIONS": f"--files {nodes} --helper=disabled "
                                       f"--log={self.directory}/log {options}",
        }
        self.addresses = (f"ipv4:127.0.0.1:{port}", f"ipv4:127.0.0.1:{peer_port}")
        self.node = f"{self.directory}/dev/drbd0"
        size = size or bench.size
        fill(self.image, data or size)
        os.truncate(self.image, size)
        run(f"{bench.stage}/usr/sbin/drbdmeta", "--force", "0", "v08", self.image, "internal",
            "create-md", env=self.environment)
        bench.cleanup.callback(self.stop)
        self.setup("new-resource", "r0")
        self.setup("new-minor", "r0", "0", "0")
        self.setup("attach", "0", self.image, self.image, "internal", "--al-extents=1237",
                   "--c-max-rate=4096M", "--c-min-rate=0", "--c-fill-target=4M")

    def setup(self, *words, check=True):
        program = f"{self.bench.stage}/usr/sbin/drbdsetup"
        if check:
            return run(program, *words, env=self.environment)
        return subprocess.run([program, *words], env=self.environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False).stdout

    def primary(self):
        self.setup("primary", "0", "--force")
        return self

    def stop(self):
        self.setup("down", "r0", check=False)

    def uri(self):
        for where, _, files in os.walk(f"{self.directory}/run"):
            for each in files:
                if each.startswith("nbd"):
                    return f"nbd+unix:///?socket={os.path.join(where, each)}"
        return sys.exit(f"no NBD socket below {self.directory}/run")

    def connect(self, protocol):
        self.setup("connect", "r0", *self.addresses, f"--protocol={protocol}",
                   "--max-buffers=8192")

    def state(self):
        return self.setup("dstate", "0", check=False).strip()

    def connected(self):
        return self.setup("cstate", "0", check=False).strip() == "Connected"

    def stands_alone(self):
        return self.setup("cstate", "0", check=False).strip() == "StandAlone"

    def out_of_sync_kib(self):
        text = self.setup("status", "r0", "--verbose", "--statistics")
        return int(re.search(r"out-of-sync:(\d+)", text).group(1))

    def pid(self):
        """Of the engine; the keeper beside it has no ring."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/environ", "rb") as file:
                    if f"={self.directory}/run\0".encode() not in file.read() + b"\0":
                        continue
                links = [os.readlink(f"/proc/{pid}/fd/{each}")
                         for each in os.listdir(f"/proc/{pid}/fd")]
                if any("io_uring" in each for each in links):
                    return int(pid)
        return sys.exit(f"no engine runs for {self.directory}")

    def memory_mib(self):
        with open(f"/proc/{self.pid()}/status", encoding="ascii") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1)) / 1024

    @contextlib.contextmanager
    def frozen(self):
        pid = self.pid()
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


def synced(left, right, protocol):
    """Makes a pair, and returns how long its first sync took."""
    left.connect(protocol)
    right.connect(protocol)
    wait_until(lambda: left.state() == "Inconsistent/Inconsistent", "the pair to connect")
    began = time.monotonic()
    left.primary()
    wait_until(lambda: left.state() == "UpToDate/UpToDate", "the first sync", 120)
    return time.monotonic() - began


class Daemon:
    """qemu-storage-daemon with an NBD export, in a session of its own as an engine is."""

    def __init__(self, bench, name, *blockdevs, node, listen=None):
        self.socket = f"{bench.directory}/{name}.sock"
        server = (f"addr.type=inet,addr.host=127.0.0.1,addr.port={listen}" if listen
                  else f"addr.type=unix,addr.path={self.socket}")
        command = ["qemu-storage-daemon"]
        for each in blockdevs:
            command += ["--blockdev", each]
        command += ["--nbd-server", server,
                    "--export", f"type=nbd,id=e,node-name={node},name=,writable=on"]
        self.process = subprocess.Popen(command, start_new_session=True)
        bench.cleanup.callback(self.stop)
        if listen is None:
            wait_until(lambda: os.path.exists(self.socket), "qemu-storage-daemon")
        else:
            wait_until(lambda: listens(listen), "qemu-storage-daemon")

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def uri(self):
        return f"nbd+unix:///?socket={self.socket}"
