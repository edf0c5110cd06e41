"""Nodes (see nodes.py) that run corosync, as it ships, each with its own configuration, state and
shared memory.

    with CorosyncCluster("name", stage, ("alpha", "beta", "gamma")) as cluster:
        cluster.start()
        alpha = cluster.nodes[0]      # its nodeid is 1
        alpha.link(False)             # cut off
        alpha.kill_corosync()         # as a crash does
        alpha.start_corosync()
        probe = Lines(alpha.command("corosync_probe"))
        probe.wait("configured 1,2,3")
"""

import os
import queue
import shutil
import subprocess
import threading
import time

from nodes import Cluster, Failed, Node, until

TOKEN = 1000  # ms; a lost node is noticed after 2.2 times that


class Lines:
    """A program in a node that tells events as lines; a thread reads them, so that it never waits
    for us."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, bufsize=1)
        self.arrived = queue.Queue()
        self.all = []
        self.ended = False
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.arrived.put(line.rstrip("\n"))
        self.arrived.put(None)

    def next(self, seconds):
        """The next line; None: not within that time, or no more at all."""
        try:
            line = None if self.ended else self.arrived.get(timeout=max(seconds, 0.001))
        except queue.Empty:
            return None
        if line is None:
            self.ended = True
        else:
            self.all.append(line)
        return line

    def wait(self, wanted, seconds=15.0):
        """The lines up to the wanted one: equal to it, or such that wanted(line)."""
        fits = wanted if callable(wanted) else lambda line: line == wanted
        deadline = time.monotonic() + seconds
        passed = []
        while True:
            line = self.next(deadline - time.monotonic())
            if line is None:
                name = getattr(wanted, "__doc__", None) if callable(wanted) else wanted
                how = "before its end" if self.ended else f"within {seconds} s"
                raise Failed(f"no line like {name!r} {how}, the last were {self.all[-12:]}")
            passed.append(line)
            if fits(line):
                return passed

    def wait_each(self, *wanted, seconds=15.0):
        """All of these lines, in whatever order."""
        left = list(wanted)

        def last(line):
            if line in left:
                left.remove(line)
            return not left
        last.__doc__ = f"all of {wanted}"
        return self.wait(last, seconds)

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def close(self):
        if not self.process.stdin.closed:
            self.process.stdin.close()
        if self.process.wait(10) != 0:
            raise Failed(f"exit {self.process.returncode} at its end: {self.all[-12:]}")


class CorosyncNode(Node):
    """start() and power_off() are a Node's: corosync is started apart."""

    @property
    def id(self):
        return self.cluster.nodes.index(self) + 1

    def put(self, path, text):
        """A file of its own, while it is off."""
        path = f"{self.directory}/up/{path}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def put_program(self, path):
        """Into its /usr/bin, while it is off: where it was built may be hidden there."""
        directory = f"{self.directory}/up/usr/bin"
        os.makedirs(directory, exist_ok=True)
        shutil.copy(path, directory)

    def start_corosync(self):
        """It is ready some time after that."""
        self.run("corosync")

    def kill_corosync(self):
        """What it told the others stays as it is. It is gone when this returns."""
        pid = self.run("cat", "/run/corosync.pid").strip()
        self.kill(pid)
        gone = f"! test -e /proc/{pid} || grep -q '^State:.*Z' /proc/{pid}/status"
        until(lambda: self.try_run("sh", "-c", gone).returncode == 0, "corosync's end")
        self.run("rm", "-f", "/run/corosync.pid")

    def pause_corosync(self, still):
        """It stands still, or goes on."""
        self.shell(f"kill -{'STOP' if still else 'CONT'} $(cat /run/corosync.pid)")

    def kill(self, pid):
        """A process, by its number in the node."""
        self.run("kill", "-KILL", pid)


class CorosyncCluster(Cluster):
    """`names`: of the nodes; their ids count from 1. `quorum`: more lines of that section."""

    node_type = CorosyncNode

    def __init__(self, name, stage, names, quorum="", programs=(), **options):
        super().__init__(name, stage, **options)
        self.names = names
        self.quorum = quorum
        self.programs = programs

    def __enter__(self):
        super().__enter__()
        for name in self.names:
            self.node(name)
        text = self.configuration(self.quorum)
        for node in self.nodes:
            node.put("etc/corosync/corosync.conf", text)
            for directory in ("var/lib/corosync", "var/log/corosync"):
                os.makedirs(f"{node.directory}/up/{directory}", exist_ok=True)
            for program in self.programs:
                node.put_program(program)
        return self

    def start(self):
        for node in self.nodes:
            node.start()
            node.start_corosync()

    def configuration(self, quorum):
        nodes = "".join(f"""    node {{
        name: {node.name}
        nodeid: {node.id}
        ring0_addr: {node.address}
    }}
""" for node in self.nodes)
        # Without the coefficient the token's time is that of every number of nodes. Corosync would
        # derive knet's times from it, shorter ones than knet's threads wake up for on a busy machine.
        return f"""totem {{
    version: 2
    cluster_name: {self.hub}
    transport: knet
    crypto_cipher: none
    crypto_hash: none
    token: {TOKEN}
    token_coefficient: 0
    interface {{
        linknumber: 0
        knet_ping_interval: 200
        knet_ping_timeout: 1000
        knet_pong_count: 1
    }}
}}
logging {{
    to_stderr: no
    to_syslog: no
    to_logfile: yes
    logfile: /var/log/corosync/corosync.log
    timestamp: hires
}}
quorum {{
    provider: corosync_votequorum
    {quorum}
}}
nodelist {{
{nodes}}}
"""
