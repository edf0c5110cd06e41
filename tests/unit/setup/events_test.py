"""events2 of engines at work: its grammar, its order, and readers that are slow or die."""

import json
import os
import re
import signal
import socket
import threading
import time

from engines import EngineTest, main, until

KEYS = {
    "resource": r"name:\S+( role:\w+)?( suspended:\S+)?( may_promote:(yes|no))?"
                r"( promotion_score:\d+)?",
    "connection": r"name:\S+ peer-node-id:0( conn-name:peer)?( connection:\w+)?( role:\w+)?",
    "device": r"name:\S+ volume:\d+ minor:\d+( backing_dev:\S+)?( disk:\w+)?( client:(yes|no))?"
              r"( quorum:(yes|no))?( open:\w+)?",
    "peer-device": r"name:\S+ peer-node-id:0( conn-name:peer)? volume:\d+( replication:\w+)?"
                   r"( peer-disk:\w+)?( peer-client:no)?( resync-suspended:\S+)?"
                   r"( done:\d+\.\d\d)?",
    "helper": r"name:\S+ peer-node-id:0( conn-name:peer)?( volume:\d+ minor:\d+)? helper:\S+"
              r"( status:\d+)?",
}
LINE = re.compile(r"(exists|create|change|destroy|call|response) (?:-|(" + "|".join(KEYS) + r") (.*))")


class Control:
    """A client that speaks to the engine itself, to ask for many changes in a short time."""

    def __init__(self, host, resource="r0"):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(f"{host.directory}/run/resources/{resource}/control")
        self.file = self.socket.makefile("rb")
        self.file.readline()
        self.socket.sendall(b'{"hello":1,"program":"test","pid":1}\n')

    def ask(self, **request):
        self.socket.sendall(json.dumps({"id": 1, **request}).encode() + b"\n")
        return json.loads(self.file.readline())

    def close(self):
        self.file.close()
        self.socket.close()


class Reader:
    """A running events2; `lines` grows as it prints."""

    def __init__(self, test, host, *options):
        self.process = host.start("events2", *options)
        self.lines = []
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()
        until(lambda: any(line.endswith("exists -") for line in self.lines), "the initial state")

    def read(self):
        try:
            for line in self.process.stdout:
                self.lines.append(line.rstrip("\n"))
        except ValueError:
            pass  # closed at the end of the test

    def heard(self, pattern):
        return [line for line in self.lines if re.search(pattern, line)]

    def wait(self, pattern):
        until(lambda: self.heard(pattern), f"an event {pattern}")


class Events(EngineTest):
    def check_grammar(self, line):
        found = LINE.fullmatch(line)
        self.assertIsNotNone(found, line)
        if found.group(2):
            self.assertRegex(found.group(3), "^" + KEYS[found.group(2)] + "$", line)

    def test_every_line_of_a_life_follows_the_grammar(self):
        host = self.host()
        reader = Reader(self, host)
        self.assertEqual(reader.lines, ["exists -"])
        peer = self.host("beta")
        for each, other in ((host, peer), (peer, host)):
            each.create()
            each.attach(each.new_disk())
            each.connect(other, "--protocol=C")
        host.wait_for("Connected", "Inconsistent/Inconsistent")
        host.setup("primary", host.minor(), "--force")
        host.wait_for("Connected", "UpToDate/UpToDate")
        host.setup("secondary", host.minor())
        host.setup("down", "r0")
        reader.wait("destroy resource name:r0")
        for line in reader.lines:
            self.check_grammar(line)
        self.assertEqual(len(reader.heard("^exists -$")), 1)
        for key in ("role:Primary", "disk:UpToDate", "replication:SyncSource",
                    "peer-disk:UpToDate", "connection:Connected", "backing_dev:/", "open:"):
            self.assertTrue(reader.heard(key), f"{key} was not told")

    def test_objects_are_created_before_they_change_and_destroyed_last(self):
        host = self.host()
        reader = Reader(self, host)
        for _ in range(3):
            host.create()
            host.attach(host.new_disk())
            host.setup("primary", host.minor(), "--force")
            host.setup("down", "r0")
        until(lambda: len(reader.heard("destroy resource")) == 3, "three lives")
        alive = set()
        for line in reader.lines[1:]:
            kind, what = line.split(" ")[:2]
            volume = re.search(r"volume:\d+", line)
            name = (what, volume.group(0) if volume else "")
            if kind == "create":
                self.assertNotIn(name, alive, line)
                alive.add(name)
            else:
                self.assertIn(name, alive, line)
            if kind == "destroy":
                alive.remove(name)
                if what == "resource":
                    self.assertFalse(alive, line)

    def test_timestamps_never_go_back_and_are_those_of_the_event(self):
        host = self.lone()
        reader = Reader(self, host, "--timestamps")
        for _ in range(5):
            host.setup("primary", host.minor(), "--force")
            host.setup("secondary", host.minor())
        reader.wait("role:Secondary may_promote")
        stamps = [line.split(" ", 1)[0] for line in reader.lines]
        for stamp in stamps:
            self.assertRegex(stamp, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d$")
        self.assertEqual(stamps, sorted(stamps))

    def test_handlers_are_told_when_they_are_called_and_how_they_ended(self):
        script = f"{self.directory}/drbdadm"
        with open(script, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\nexit 5\n")
        os.chmod(script, 0o700)
        host = self.host(options=(f"--helper={script}",))
        host.create()
        host.attach(host.new_disk())
        host.setup("primary", host.minor(), "--force")
        host.setup("secondary", host.minor())
        host.setup("disk-options", host.minor(), "--fencing=resource-only")
        host.connect(self.host("beta"), "--protocol=C")
        reader = Reader(self, host)
        host.setup("primary", host.minor())
        reader.wait("call helper name:r0 .*helper:fence-peer$")
        reader.wait("response helper name:r0 .*helper:fence-peer status:5$")
        for line in reader.lines:
            self.check_grammar(line)

    def test_a_sync_tells_each_percent_once(self):
        pair = self.pair(disk=("--c-plan-ahead=0", "--resync-rate=8M", "--c-min-rate=0"))
        readers = [Reader(self, host) for host in (pair.alpha, pair.beta)]
        pair.alpha.setup("primary", pair.alpha.minor(), "--force")
        pair.in_sync()
        for reader in readers:
            reader.wait("replication:Established")
            told = [float(re.search(r"done:(\S+)", line).group(1))
                    for line in reader.heard("done:")]
            self.assertEqual(told, sorted(told))
            self.assertLessEqual(len(told), 101)
            self.assertGreater(len(told), 3)

    def test_several_readers_hear_the_same_in_order_under_load(self):
        pair = self.pair_in_sync()
        alpha = pair.alpha
        alpha.setup("primary", alpha.minor())
        client = alpha.nbd()
        pattern = r"change peer-device .* resync-suspended:\S+$"
        fast = [Reader(self, alpha) for _ in range(2)]
        slow, killed = Reader(self, alpha), Reader(self, alpha)
        engine = alpha.pids("lockstep-engine")[0]
        def memory_kib():
            with open(f"/proc/{engine}/status", encoding="utf-8") as file:
                return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))
        before = memory_kib()
        slow.process.send_signal(signal.SIGSTOP)
        control, changes, slowest = Control(alpha), 0, 0.0
        minor = int(alpha.minor())
        end = time.monotonic() + 60
        # Until a reader that reads nothing must have missed something: four times what is kept.
        while changes < 16000 and time.monotonic() < end:
            for command in ("pause-sync", "resume-sync"):
                self.assertTrue(control.ask(command=command, minor=minor)["ok"])
            changes += 2
            if changes % 200 == 0:
                began = time.monotonic()
                self.assertEqual(client.write(changes % 64 * 4096, b"w" * 4096), 0)
                slowest = max(slowest, time.monotonic() - began)
            if changes == 1000:
                killed.process.kill()
        self.assertGreaterEqual(changes, 1000)
        control.close()
        alpha.setup("pause-sync", alpha.minor())
        for reader in fast:
            until(lambda r=reader: len(r.heard(pattern)) == changes + 1, "every change", 60)
            words = [line.rsplit(":", 1)[1] for line in reader.heard(pattern)]
            self.assertEqual(words[:-1], ["user", "no"] * (changes // 2))
            self.assertEqual(words[-1], "user")
        self.assertEqual(fast[0].lines, fast[1].lines)
        # Nobody waited for the one that does not read, and what is kept for it is limited.
        self.assertLess(slowest, 5)
        self.assertLess(memory_kib() - before, 8 << 10)
        slow.process.send_signal(signal.SIGCONT)
        until(lambda: slow.heard(pattern) and slow.heard(pattern)[-1].endswith(":user")
              and len(slow.heard(pattern)) > 1 and self.is_quiet(slow), "the slow one to catch up")
        self.assertFalse(slow.heard("destroy|create"))
        words = [line.rsplit(":", 1)[1] for line in slow.heard(pattern)]
        self.assertTrue(all(one != other for one, other in zip(words, words[1:])), words[-10:])
        # All hear of what comes next.
        alpha.setup("resume-sync", alpha.minor())
        for reader in (slow, *fast):
            until(lambda r=reader: r.heard(pattern)[-1].endswith(":no"), "the last change")

    @staticmethod
    def is_quiet(reader):
        count = len(reader.lines)
        time.sleep(0.3)
        return count == len(reader.lines)

    def test_who_opens_and_closes_the_device_is_told(self):
        host = self.lone()
        host.setup("primary", host.minor(), "--force")
        self.assertIn("disk:UpToDate open:no", host.setup("status", "r0"))
        reader = Reader(self, host)
        client = host.nbd()
        self.assertEqual(client.read(0, 4096)[0], 0)
        self.assertIs(host.device()["open"], True)
        reader.wait("change device .* open:yes$")
        client.close()
        reader.wait("change device .* open:no$")
        self.assertIs(host.device()["open"], False)

    def test_many_resources_are_all_listed(self):
        host = self.host()
        names = [f"many{number}" for number in range(12)]
        for name in names:
            host.setup("new-resource", name)
        told = host.setup("events2", "--now")
        self.assertEqual(re.findall(r"exists resource name:(\S+)", told), sorted(names))
        self.assertEqual(told.count("\nexists -\n"), 1)


if __name__ == "__main__":
    main()
