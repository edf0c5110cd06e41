"""What nodes leave on the machine when they, or the test that made them, are killed; and the guard
that takes it away then.

    leftovers.py DIRECTORY HUB

reads of each node that starts ("node PID"). If its input ends without "done", the test was killed:
the guard waits for the nodes to end, and clears up after them.
"""

import contextlib
import glob
import os
import shutil
import signal
import subprocess
import sys
import time


def quietly(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return done.stdout


def loop_devices():
    """(device, what is behind it)"""
    for line in quietly("losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE",
                        "--raw").splitlines():
        loop, _, behind = line.partition(" ")
        yield loop, behind


def detach_loops_of(namespace):
    """Those that engines made there: they outlive them. A power cut would have taken them along."""
    for loop, label in loop_devices():
        parts = label.lstrip("/").split(":")
        if parts[0] == "lockstep" and len(parts) > 2 and parts[2] == str(namespace):
            quietly("losetup", "--detach", loop)


def clear(directory, hub):
    """A cluster's files, what is mounted of them, the loop devices on them, and its network."""
    if os.path.isdir(directory):
        for loop, behind in loop_devices():
            if behind.startswith(directory + "/"):
                quietly("losetup", "--detach", loop)
        for mount in glob.glob(f"{directory}/*/*.mount"):
            quietly("umount", "--lazy", mount)
        shutil.rmtree(directory, ignore_errors=True)
    if os.path.exists(f"/run/netns/{hub}"):
        quietly("ip", "netns", "del", hub)


def processes_of(directory, namespaces):
    """Those of its nodes, and those that serve or start them: the directory is in their words."""
    for entry in glob.glob("/proc/[0-9]*"):
        pid = int(entry.split("/")[2])
        with contextlib.suppress(OSError):
            with open(f"{entry}/cmdline", "rb") as words:
                named = f"{directory}/".encode() in words.read()
            if (named or str(os.stat(f"{entry}/ns/pid").st_ino) in namespaces) and pid != os.getpid():
                yield pid


def end_nodes(directory, namespaces, seconds=3):
    """They end by themselves, as their input does; one that does not is killed."""
    deadline = time.monotonic() + seconds
    while True:
        left = list(processes_of(directory, namespaces))
        if not left:
            return
        if time.monotonic() > deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def guard(directory, hub):
    namespaces = set()
    mounts = []
    for line in sys.stdin:
        word, _, pid = line.strip().partition(" ")
        if word == "done":
            return
        with contextlib.suppress(OSError):
            namespaces.add(str(os.stat(f"/proc/{pid}/ns/pid").st_ino))
            # As the test has it: an engine must not be the last in its mount namespace.
            mounts.append(os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY))
    end_nodes(directory, namespaces)
    for each in mounts:
        os.close(each)
    for each in namespaces:
        detach_loops_of(each)
    clear(directory, hub)


if __name__ == "__main__":
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    guard(*sys.argv[1:])
