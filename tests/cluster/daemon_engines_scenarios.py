"""What the daemon is told of its node's engines, and does with them: two real engines on plain
files, and beside each a program that prints what daemon/engines tells it.

    daemon_engines_scenarios.py ENGINE DRBDSETUP DRBDMETA DRBDADM PROBE     prints TAP
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time

PROBE = os.path.abspath(sys.argv.pop(5))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../unit/setup"))

from engines import DRBDADM, DRBDSETUP, EngineTest, main  # noqa: E402

CONFIG = """
global {{ usage-count no; disable-ip-verification; }}
resource r0 {{
    net {{ protocol C; }}
    on alpha {{ device minor {alpha_minor}; disk {alpha_disk}; meta-disk internal; address {alpha}; }}
    on beta {{ device minor {beta_minor}; disk {beta_disk}; meta-disk internal; address {beta}; }}
}}
"""


class Probe:
    def __init__(self, test, host, drbdadm, limit_ms=60000):
        self.test, self.host = test, host
        self.lines, self.changed = [], threading.Condition()
        self.process = subprocess.Popen(
            [PROBE, DRBDSETUP, drbdadm, str(limit_ms)], env=host.environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        test.addCleanup(self.stop)

    def read(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.rstrip("\n"))
                self.changed.notify_all()

    def mark(self):
        with self.changed:
            return len(self.lines)

    def wait(self, pattern, since=0, seconds=20):
        """The first line from `since` on that the pattern matches as a whole."""
        deadline = time.monotonic() + seconds
        with self.changed:
            while True:
                for line in self.lines[since:]:
                    found = re.fullmatch(pattern, line)
                    if found:
                        return found
                left = deadline - time.monotonic()
                if left <= 0 or not self.changed.wait(left):
                    self.test.fail(f"{self.host.name} was not told {pattern} from line {since} on:\n"
                                   + "\n".join(self.lines))

    def facts(self, flags, connection, since=0, resource="r0"):
        found = self.wait(f"facts {resource} {flags} connection={connection} "
                          r"started=(\d+) separated=(\d+)", since)
        return int(found.group(1)), int(found.group(2))

    def last(self, resource="r0"):
        with self.changed:
            return [line for line in self.lines if line.startswith(f"facts {resource} ")][-1]

    def command(self, what, code=0, says=".*", resource="r0"):
        since = self.mark()
        self.process.stdin.write(f"{what} {resource}\n")
        return self.wait(f"ended {resource} {what} {code} {says}", since)

    def children(self):
        pid = self.process.pid
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(each) for each in file.read().split()]

    def stop(self):
        self.process.stdin.close()
        code = self.process.wait(20)
        self.reader.join()
        self.process.stdout.close()
        self.test.assertEqual(code, 0)


class DaemonEngines(EngineTest):
    def script(self, name, text):
        path = f"{self.directory}/{name}"
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\n{text}\n")
        os.chmod(path, 0o755)
        return path

    def nodes(self, *options):
        """Hosts with disks, a configuration and no engine; and what to run as drbdadm."""
        hosts = self.host("alpha", options), self.host("beta", options)
        values = {}
        for host in hosts:
            host.environment["__DRBD_NODE__"] = host.name
            values[host.name] = host.address.removeprefix("ipv4:")
            values[f"{host.name}_disk"] = host.new_disk()
            values[f"{host.name}_minor"] = host.minor()
        path = f"{self.directory}/drbd.conf"
        with open(path, "w", encoding="utf-8") as file:
            file.write(CONFIG.format(**values))
        return *hosts, self.script("drbdadm",
                                   f'exec "{DRBDADM}" -c "{path}" --drbdsetup "{DRBDSETUP}" "$@"')

    def start_engine(self, host):
        host.create()
        host.attach(f"{host.directory}/disk0")

    def kill_engine(self, host):
        """That of r0."""
        for pid in host.pids("lockstep-engine"):
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if b"r0" in file.read().split(b"\0"):
                    os.kill(pid, signal.SIGKILL)
                    return
        self.fail(f"no engine of r0 on {host.name}")

    def followed_pair(self, *options):
        """Two nodes in sync, and the probes that saw it from the start."""
        alpha, beta, drbdadm = self.nodes(*options)
        probes = []
        for host in (alpha, beta):
            probe = Probe(self, host, drbdadm)
            probes.append(probe)
            # One engine is there before events2 runs, or starts while it does; r0's comes later.
            host.setup("new-resource", "first")
            probe.facts("running,stands_alone", 0, resource="first")
            self.start_engine(host)
            probe.facts("running,stands_alone", 0)
        for probe in probes:
            probe.command("connect")
        for probe in probes:
            probe.facts("running,connected", 0)
        alpha.setup("new-current-uuid", alpha.minor(), "--clear-bitmap")
        for probe in probes:
            probe.facts("running,up_to_date,connected,peer_up_to_date", 0)
        return alpha, beta, *probes

    def test_a_pair_is_followed_through_promotions_losses_and_returns(self):
        alpha, beta, at_alpha, at_beta = self.followed_pair()
        at_alpha.command("promote")
        at_alpha.facts("running,primary,up_to_date,connected,peer_up_to_date", 0)
        at_beta.facts("running,up_to_date,connected,peer_up_to_date,peer_primary", 0)
        at_beta.command("promote", code=11)

        began = time.monotonic_ns()
        started = int(re.search(r"started=(\d+)", at_alpha.last()).group(1))
        self.kill_engine(beta)
        again, separated = at_alpha.facts("running,primary,up_to_date", 1)
        self.assertEqual(again, started)
        self.assertTrue(began <= separated <= time.monotonic_ns())
        at_beta.facts("-", 1)
        at_beta.wait("gone r0")
        self.assertFalse(at_beta.lines[-1].startswith("problem"), at_beta.lines[-1])

        since = at_alpha.mark(), at_beta.mark()
        beta.setup("down", "r0")
        beta.apply_al(f"{beta.directory}/disk0")
        self.start_engine(beta)
        at_beta.command("connect")
        at_alpha.facts("running,primary,up_to_date,connected,peer_up_to_date", 1, since[0])
        restarted, _ = at_beta.facts("running,up_to_date,connected,peer_up_to_date,peer_primary",
                                     1, since[1])
        self.assertGreater(restarted, began)

        since = at_alpha.mark(), at_beta.mark()
        at_beta.command("drop_link")
        at_beta.facts("running,up_to_date,stands_alone", 2, since[1])
        at_alpha.facts("running,primary,up_to_date", 2, since[0])
        at_beta.command("outdate")
        at_beta.facts("running,stands_alone", 2, since[1])

        since = at_alpha.mark(), at_beta.mark()
        at_beta.command("connect")
        at_beta.facts("running,up_to_date,connected,peer_up_to_date,peer_primary", 2, since[1])
        at_alpha.facts("running,primary,up_to_date,connected,peer_up_to_date", 2, since[0])
        at_alpha.command("demote")
        at_alpha.facts("running,up_to_date,connected,peer_up_to_date", 2, since[0])

    def test_a_device_in_use_is_demoted_with_errors_when_asked_for(self):
        host, _, drbdadm = self.nodes()
        probe = Probe(self, host, drbdadm)
        self.start_engine(host)
        host.setup("primary", host.minor(), "--force")
        probe.facts("running,primary,up_to_date,stands_alone", 0)
        client = host.nbd()
        self.assertEqual(client.write(0, b"w" * 4096), 0)
        probe.command("demote", code=11, says=".*held open.*")
        probe.command("demote_with_errors")
        probe.wait("facts r0 running,up_to_date,stands_alone .*", probe.mark() - 2)
        with self.assertRaises((EOFError, OSError, AssertionError)):
            self.assertEqual(client.write(0, b"x" * 4096), 0)

    def test_a_frozen_primary_is_demoted_with_errors(self):
        alpha, beta, at_alpha, _ = self.followed_pair(
            f"--helper={self.script('handler', 'sleep 0.5; exit 6')}")
        alpha.setup("disk-options", alpha.minor(), "--fencing=resource-and-stonith")
        at_alpha.command("promote")
        at_alpha.facts("running,primary,up_to_date,connected,peer_up_to_date", 0)
        client = alpha.nbd()
        self.assertEqual(client.write(0, b"w" * 4096), 0)
        self.kill_engine(beta)
        at_alpha.facts("running,primary,up_to_date", 1)
        client.begin(client.WRITE, 0, 4096, b"x" * 4096)
        self.assertIn("suspended:fencing", alpha.setup("status", "r0", "--verbose"))
        since = at_alpha.mark()
        at_alpha.command("demote_with_errors")
        at_alpha.facts("running,up_to_date", 1, since)
        with self.assertRaises((EOFError, OSError, AssertionError)):
            self.assertEqual(client.end()[0], 0)

    def test_what_happens_while_events2_is_away_is_told_when_it_is_back(self):
        alpha, beta, at_alpha, _ = self.followed_pair()
        since, before = at_alpha.mark(), time.monotonic_ns()
        os.kill(at_alpha.children()[0], signal.SIGKILL)
        alpha.setup("down", "first")
        at_alpha.wait("problem .* events2 has ended, killed", since)
        at_alpha.wait("gone first", since)
        started, separated = at_alpha.facts("running,up_to_date,connected,peer_up_to_date", 1, since)
        self.assertTrue(started > before and separated > before)
        # It goes on as before.
        since = at_alpha.mark()
        self.kill_engine(beta)
        at_alpha.facts("running,up_to_date", 2, since)

    def test_a_command_that_does_not_end_is_killed_and_holds_nobody_else_up(self):
        host = self.host("alpha")
        stuck = self.script("stuck", f'echo "$@" >>{self.directory}/asked; [ $2 != r0 ] || '
                                     'sleep 1000; echo "no $2" >&2; exit 3')
        probe = Probe(self, host, stuck, limit_ms=700)
        probe.process.stdin.write("promote r0\npromote r1\noutdate r0\n")
        probe.wait("ended r1 promote 3 no r1 ")
        self.assertFalse([line for line in probe.lines if line.startswith("ended r0")])
        probe.wait("ended r0 promote -1 too late .*killed")
        probe.wait("ended r0 outdate -1 too late .*killed")
        with open(f"{self.directory}/asked", encoding="utf-8") as file:
            self.assertEqual(sorted(file.read().splitlines()),
                             ["outdate r0", "primary r0", "primary r1"])

    def test_programs_that_are_missing_are_named(self):
        host = self.host("alpha")
        missing = f"{self.directory}/missing"
        probe = Probe(self, host, missing)
        probe.command("promote", code=-1, says=f".*{missing}.*No such file or directory.*")


def ended_from_outside(number, _):
    raise AssertionError(f"signal {number}")  # so that the test cleans up


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, ended_from_outside)
    main()
