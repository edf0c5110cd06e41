"""The demo ends as it should however it is ended: interrupted, terminated or killed at any step, it
leaves no node, no file, no loop device and no network; and what --keep leaves, --end takes away.

    demo_scenarios.py STAGE     prints TAP
"""

import os
import signal
import subprocess
import sys

import leftovers
from nodes import Cluster, Failed, main, run, run_scenarios, until
from pair import expect

HERE = os.path.dirname(os.path.abspath(__file__))


class Demo:
    """Runs it and looks at what it leaves."""

    def __init__(self, stage):
        self.command = [sys.executable, "-B", f"{HERE}/demo.py", stage]
        self.cluster = Cluster("demo", stage)  # not entered: only to know its names

    def left(self):
        found = []
        if os.path.exists(self.cluster.directory):
            found.append(self.cluster.directory)
        if os.path.exists(f"/run/netns/{self.cluster.hub}"):
            found.append(self.cluster.hub)
        found += [f"{loop}: {behind}" for loop, behind in leftovers.loop_devices()
                  if behind.startswith(self.cluster.directory + "/")]
        # Every process of a node has the stage laid over its /usr.
        found += [f"process {pid}"
                  for pid in map(int, run("pgrep", "lockstep", check=False).stdout.split())
                  if self.is_ours(pid)]
        return found

    def is_ours(self, pid):
        try:
            with open(f"/proc/{pid}/mountinfo", encoding="utf-8") as table:
                return self.cluster.directory in table.read()
        except OSError:
            return False

    def end_at(self, step, number):
        """Ended by that signal once it says that it is at the step."""
        process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, start_new_session=True)
        seen = []
        for line in process.stdout:
            seen.append(line)
            if step in line:
                break
        else:
            raise Failed(f"it never said {step!r}:\n{''.join(seen)}")
        process.send_signal(number)
        process.stdout.close()
        code = process.wait(60)
        expect(code != 0, f"{step!r}: it ended as if nothing had happened")
        until(lambda: not self.left(), f"nothing to be left of {step!r}: {self.left()}", 30)


def interrupted_while_its_nodes_start_it_leaves_nothing(demo):
    demo.end_at("two nodes, each", signal.SIGINT)


def killed_during_the_first_sync_it_leaves_nothing(demo):
    demo.end_at("the first full sync", signal.SIGKILL)


def killed_with_a_mounted_filesystem_it_leaves_nothing(demo):
    demo.end_at("16 MiB written", signal.SIGKILL)


def terminated_with_one_node_down_it_leaves_nothing(demo):
    demo.end_at("beta notices", signal.SIGTERM)


def what_keep_leaves_can_be_typed_into_and_taken_away(demo):
    done = run(*demo.command, "--keep", stdin=subprocess.DEVNULL, timeout=300)
    entries = [line.strip() for line in done.stdout.splitlines() if "nsenter" in line]
    expect(len(entries) == 2, f"no instructions:\n{done.stdout[-800:]}")
    for entry in entries:
        seen = run("bash", "-c", entry.removesuffix("bash") + "drbdadm cstate r0").stdout
        expect(seen.strip() == "Connected", seen)
        # What it proposes, as typed.
        run("bash", "-c", entry, input="set -e\ndrbdadm primary r0\nmount /dev/drbd0 /media/drbd0\n"
            "drbdsetup proc\numount /media/drbd0\ndrbdadm secondary r0\n")
    expect(demo.left(), "nothing was kept")
    run(*demo.command, "--end", stdin=subprocess.DEVNULL)
    expect(not demo.left(), f"left: {demo.left()}")


SCENARIOS = [
    interrupted_while_its_nodes_start_it_leaves_nothing,
    killed_during_the_first_sync_it_leaves_nothing,
    killed_with_a_mounted_filesystem_it_leaves_nothing,
    terminated_with_one_node_down_it_leaves_nothing,
    what_keep_leaves_can_be_typed_into_and_taken_away,
]


if __name__ == "__main__":
    main(lambda: 1 if run_scenarios(SCENARIOS, Demo(sys.argv[1])) else 0)
