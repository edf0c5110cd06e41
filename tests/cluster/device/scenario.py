"""What the scenario tests of the front ends share: a server with its files in a mount namespace of
its own, the tools run against it, and TAP output. Everything made here is gone when the last
process of the namespace is, however the test ends: the server stops at the end of its input, and
its keeper takes nodes and loop devices away."""

import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import time

LOOP_MAJOR = 7
DRBD_MAJOR = 147


class Failed(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failed(text)


def equal(seen, expected, what):
    check(seen == expected, f"{what}: {seen!r}, expected {expected!r}")


def until(condition, what, seconds=10):
    """Waits for something that nobody announces."""
    deadline = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < deadline, f"not within {seconds} s: {what}")
        time.sleep(0.01)


def tool(*command, fails=False, seconds=60, stdin=None):
    """Output of a program that must succeed (or fail)."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=seconds, input=stdin, text=True, errors="replace")
    check((done.returncode != 0) == fails,
          f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}")
    return done.stdout


class Server:
    """A device_test_server; commands are answered by one line each."""

    program = ""
    work = ""
    pids = set()

    def __init__(self, *options, name="r0", container=False):
        """container: in a pid namespace of its own, which kill() ends as a whole."""
        self.directory = f"{self.work}/dev"
        os.makedirs(self.directory, exist_ok=True)
        self.socket = f"{self.work}/{name}.nbd"
        self.log = f"{self.work}/log"
        prefix = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
        self.process = subprocess.Popen(
            [*(prefix if container else []), self.program, "--resource", name, "--directory", self.directory,
             "--socket", self.socket, "--log", self.log, *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        Server.pids.add(self.process.pid)
        self.text = b""
        equal(self.line(), "ready", "the server's first words")

    def line(self, seconds=20):
        deadline = time.monotonic() + seconds
        while b"\n" not in self.text:
            left = deadline - time.monotonic()
            check(left > 0, "the server does not answer")
            if select.select([self.process.stdout], [], [], left)[0]:
                more = os.read(self.process.stdout.fileno(), 4096)
                check(more, "the server has ended")
                self.text += more
        line, self.text = self.text.split(b"\n", 1)
        return line.decode()

    def say(self, command):
        self.process.stdin.write(command.encode() + b"\n")

    def ask(self, command, seconds=20):
        self.say(command)
        return self.line(seconds)

    def do(self, command):
        equal(self.ask(command), "ok", command)

    def up(self):
        self.do("configure")
        self.do("publish")
        return self

    def uri(self, export=""):
        return f"nbd+unix:///{export}?socket={self.socket}"

    def children(self):
        """The keeper and the log writer."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as file:
            return [int(pid) for pid in file.read().split()]

    def node(self, minor=0):
        return f"{self.directory}/drbd{minor}"

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self):
        """The process; its keeper may still be at work."""
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            equal(self.process.returncode, 0, "exit of the server")


def device_numbers(path):
    """Major and minor of a block node, or None."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    if not stat.S_ISBLK(found.st_mode):
        return None
    return os.major(found.st_rdev), os.minor(found.st_rdev)


def loop_attribute(name, attribute):
    """dio, autoclear, backing_file of a loop device; empty if it has no file."""
    try:
        with open(f"/sys/block/{name}/loop/{attribute}") as file:
            return file.read().strip()
    except OSError:
        return ""


def our_loops():
    """Loop devices of this program's servers, dead ones too: other engines may run beside them."""
    found = []
    for name in os.listdir("/sys/block"):
        label = loop_attribute(name, "backing_file") if name.startswith("loop") else ""
        parts = label.split(":")
        if parts[0] == "/lockstep" and len(parts) == 6 and int(parts[3]) in Server.pids:
            found.append(name)
    return found


def in_own_namespace():
    """Goes on in a mount namespace of its own, with a tmpfs for nodes and sockets."""
    if os.environ.get("LOCKSTEP_SCENARIO") != "inside":
        os.environ["LOCKSTEP_SCENARIO"] = "inside"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable,
                              *sys.argv])
    work = f"/var/tmp/lockstep-scenario-{os.getpid()}"
    os.mkdir(work, 0o700)
    tool("mount", "-t", "tmpfs", "-o", "mode=700,size=512m", "tmpfs", work)
    return work


def run(tests, program):
    """Runs the tests and prints TAP. True if all passed."""
    Server.program = program
    Server.work = in_own_namespace()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(f"1..{len(tests)}", flush=True)
    passed = True
    try:
        for number, test in enumerate(tests, 1):
            servers = []

            def make(*options, **named):
                servers.append(Server(*options, **named))
                return servers[-1]

            try:
                test(make)
                for server in servers:
                    server.end()
                until(lambda: not os.listdir(f"{Server.work}/dev") and not our_loops(),
                      "nodes, links and loop devices are gone", 20)
                print(f"ok {number} - {test.__name__}", flush=True)
            except (Failed, subprocess.TimeoutExpired, OSError) as why:
                passed = False
                print(f"not ok {number} - {test.__name__}", flush=True)
                for line in str(why).splitlines():
                    print(f"# {line}", flush=True)
                subprocess.run(["sh", "-c", f"umount -l {Server.work}/mnt* 2>/dev/null"])
                for server in servers:
                    server.kill()
                try:
                    until(lambda: not our_loops(), "loop devices are gone")
                except Failed as left:
                    print(f"# {left}", flush=True)
                shutil.rmtree(f"{Server.work}/dev", ignore_errors=True)
    finally:
        subprocess.run(["umount", "-l", Server.work])
        os.rmdir(Server.work)
    return passed
