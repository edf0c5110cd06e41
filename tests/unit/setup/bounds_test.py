"""Nothing holds a command up: not a disk, a log, a peer or a client that is frozen."""

import os
import signal
import socket
import subprocess
import time

from engines import DRBDSETUP, EngineTest, main, until

# Promised are two seconds, and seven where a disk does not answer; a busy machine gets more.
PROMISED = 10.0


class Bounds(EngineTest):
    def timed(self, host, *words):
        """How long the command took, and how it ended."""
        began = time.monotonic()
        done = host.run(*words)
        return time.monotonic() - began, done

    def test_a_command_says_within_two_seconds_what_it_waits_for(self):
        host, _ = self.frozen_secondary()
        began = time.monotonic()
        process = host.start("detach", host.minor())
        line = process.stdout.readline()
        self.assertLess(time.monotonic() - began, 5)
        self.assertIn("accepted, pending because the disk does not answer", line)

    def frozen_primary(self):
        """A Primary whose disk does not answer, with a write under way."""
        host = self.host()
        host.create()
        disk = host.frozen_disk()
        host.attach(disk.path)
        host.setup("primary", host.minor(), "--force")
        client = host.nbd()
        disk.freeze()
        client.begin(client.WRITE, 0, 4096, b"f" * 4096)
        until(lambda: host.counters()["ap"] == 1, "the write to wait")
        return host, disk, client

    def frozen_secondary(self):
        """A Secondary with good data whose disk does not answer."""
        host = self.host()
        host.create()
        disk = host.frozen_disk()
        host.attach(disk.path)
        host.setup("primary", host.minor(), "--force")
        host.setup("secondary", host.minor())
        disk.freeze()
        return host, disk

    def test_every_verb_answers_while_the_disk_is_frozen(self):
        host, _, _ = self.frozen_primary()
        minor = host.minor()
        looks = [("role", minor), ("cstate", minor), ("dstate", minor), ("show-gi", minor),
                 ("get-gi", minor), ("show", minor), ("status", "r0", "--verbose"),
                 ("sh-status", minor), ("proc",), ("events2", "--now")]
        for words in looks:
            seconds, done = self.timed(host, *words)
            self.assertEqual(done.returncode, 0, f"{words}: {done.stdout}")
            self.assertLess(seconds, PROMISED, f"{words}")
        changes = [("disk-options", minor, "--resync-rate=1M"), ("resource-options", "r0"),
                   ("suspend-io", minor), ("resume-io", minor), ("pause-sync", minor),
                   ("resume-sync", minor), ("verify", minor), ("invalidate", minor),
                   ("invalidate-remote", minor), ("outdate", minor), ("resize", minor),
                   ("new-current-uuid", minor), ("new-minor", "r0", minor, "0"),
                   ("del-minor", minor), ("del-resource", "r0"),
                   ("attach", minor, "/nonexistent", "/nonexistent", "internal"),
                   ("connect", "r0", "127.0.0.1:1", "127.0.0.2:1"), ("primary", minor),
                   ("secondary", minor), ("detach", minor), ("down", "r0")]
        for words in changes:
            seconds, done = self.timed(host, *words)
            self.assertLess(seconds, PROMISED, f"{words}: {done.stdout}")
            self.assertIn(done.returncode, (0, 5, 10, 11, 17, 20), f"{words}: {done.stdout}")
            if done.returncode == 20 and words[0] != "attach":
                self.assertIn("accepted, pending because the disk does not answer", done.stdout)
                self.assertIn("hint: ", done.stdout)

    def test_what_is_pending_is_named_and_ends_when_the_disk_answers_again(self):
        host, disk = self.frozen_secondary()
        seconds, done = self.timed(host, "detach", host.minor())
        self.assertLess(seconds, PROMISED)
        self.assertEqual(done.returncode, 20)
        self.assertIn("accepted, pending because the disk does not answer; detach --force "
                      "drops it", done.stdout)
        self.assertIn("# the disk does not answer", host.setup("status", "r0", "--verbose"))
        disk.thaw()
        until(lambda: host.state()[2] != "Failed/DUnknown", "the detach to go on")

    def test_a_frozen_disk_can_be_dropped_by_force(self):
        host, _ = self.frozen_secondary()
        pending = host.start("detach", host.minor())
        until(lambda: host.state()[2] == "Failed/DUnknown", "the detach to begin")
        seconds, done = self.timed(host, "detach", host.minor(), "--force")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertLess(seconds, PROMISED)
        pending.wait(timeout=30)
        self.assertIn(host.state()[2], ("Unconfigured", "Diskless/DUnknown"))

    def test_a_primary_that_drops_a_frozen_disk_by_force_answers_its_client(self):
        host, _, client = self.frozen_primary()
        seconds, done = self.timed(host, "detach", host.minor())
        self.assertEqual(done.returncode, 17, done.stdout)  # it is the last good copy
        seconds, done = self.timed(host, "detach", host.minor(), "--force")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertLess(seconds, PROMISED)
        self.assertNotEqual(client.end()[0], 0)

    def test_a_detach_that_hangs_can_be_forced_and_the_peer_answers_for_the_disk(self):
        alpha, beta = self.host("alpha"), self.host("beta")
        alpha.create()
        disk = alpha.frozen_disk()
        alpha.attach(disk.path)
        beta.create()
        beta.attach(beta.new_disk())
        alpha.connect(beta, "--protocol=C")
        beta.connect(alpha, "--protocol=C")
        alpha.wait_for("Connected")
        alpha.setup("new-current-uuid", alpha.minor(), "--clear-bitmap")
        alpha.wait_for("Connected", "UpToDate/UpToDate")
        alpha.setup("primary", alpha.minor())
        client = alpha.nbd()
        self.assertEqual(client.write(0, b"1" * 4096), 0)
        disk.freeze()
        client.begin(client.WRITE, 0, 4096, b"2" * 4096)
        until(lambda: alpha.counters()["lo"] >= 1, "the write to reach the disk")
        seconds, done = self.timed(alpha, "detach", alpha.minor())
        self.assertEqual(done.returncode, 20, done.stdout)
        self.assertLess(seconds, PROMISED)
        seconds, done = self.timed(alpha, "detach", alpha.minor(), "--force")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual(client.end()[0], 0)
        self.assertEqual(client.read(0, 4096), (0, b"2" * 4096))
        self.assertEqual(alpha.state()[2], "Diskless/UpToDate")

    def test_a_forced_down_always_ends(self):
        host, disk, _ = self.frozen_primary()
        seconds, done = self.timed(host, "down", "r0")
        self.assertEqual(done.returncode, 11, done.stdout)  # a client has it open
        self.assertLess(seconds, PROMISED)
        stuck = host.start("new-current-uuid", host.minor())
        seconds, done = self.timed(host, "down", "r0", "--force")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertLess(seconds, 25)
        stuck.wait(timeout=30)
        until(lambda: host.setup("status") == "# No currently configured DRBD found.\n",
              "the resource to be gone")
        until(lambda: not os.listdir(f"{host.directory}/run/resources"), "its directory to go")
        # The kernel keeps a process whose flush is under way until the disk has answered.
        disk.thaw()
        until(lambda: not host.processes(), "the end of engine and keeper")

    def test_a_forced_down_of_a_healthy_resource_is_a_clean_one(self):
        host = self.lone()
        host.setup("primary", host.minor(), "--force")
        client = host.nbd()
        self.assertEqual(client.write(0, b"c" * 4096), 0)
        host.setup("down", "r0", code=11)
        host.setup("down", "r0", "--force")
        host.create()
        path = f"{host.directory}/disk0"
        host.apply_al(path)
        host.attach(path)
        self.assertEqual(host.state()[2], "UpToDate/DUnknown")
        # Not as after a crash: no Primary had to be remembered.
        self.assertTrue(host.setup("get-gi", host.minor()).endswith(":1:1:0:0:0:0:0\n"))

    def test_every_verb_answers_while_the_peer_is_frozen(self):
        pair = self.pair_in_sync("--ping-int=1", "--ping-timeout=5", "--timeout=20")
        host, minor = pair.alpha, pair.alpha.minor()
        host.setup("primary", minor)
        client = host.nbd()
        frozen = pair.beta.pids("lockstep-engine")
        os.kill(frozen[0], signal.SIGSTOP)
        client.begin(client.WRITE, 0, 4096, b"p" * 4096)
        # The peer counts as dead after ping-int and ping-timeout; until then questions wait for it.
        for words in (("status", "r0", "--verbose"), ("proc",), ("suspend-io", minor),
                      ("resume-io", minor), ("pause-sync", minor), ("resume-sync", minor),
                      ("verify", minor), ("invalidate-remote", minor),
                      ("disconnect", host.address, pair.beta.address)):
            seconds, done = self.timed(host, *words)
            self.assertLess(seconds, PROMISED + 2, f"{words}: {done.stdout}")
        self.assertEqual(client.end()[0], 0)
        os.kill(frozen[0], signal.SIGCONT)

    def test_a_frozen_engine_is_named_and_does_not_hold_up_the_others(self):
        host = self.lone()
        host.setup("new-resource", "r1")
        pid = [each for each in host.pids("lockstep-engine") if b"r1" in self.words_of(each)][0]
        os.kill(pid, signal.SIGSTOP)
        for words in (("status",), ("proc",), ("show",)):
            seconds, done = self.timed(host, *words)
            self.assertLess(seconds, PROMISED, words)
            self.assertEqual(done.returncode, 20)
            self.assertIn("r1: The engine did not answer in time", done.stdout)
            self.assertIn(f"{host.minor()}" if words[0] != "status" else "r0 role:", done.stdout)
        seconds, done = self.timed(host, "down", "r1")
        self.assertLess(seconds, PROMISED)
        self.assertEqual(done.returncode, 20)
        self.assertIn("hint: ", done.stdout)

    @staticmethod
    def words_of(pid):
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().split(b"\0")

    def test_a_log_that_nobody_reads_delays_no_command(self):
        host = self.host()
        os.mkfifo(host.log_path)  # the writer of the log waits in open()
        host.create()
        host.attach(host.new_disk())
        for words in (("primary", host.minor(), "--force"), ("secondary", host.minor()),
                      ("detach", host.minor()), ("down", "r0")):
            seconds, done = self.timed(host, *words)
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertLess(seconds, PROMISED, words)
        with open(host.log_path, "rb", buffering=0):
            until(lambda: not host.processes(), "the end of the log's writer")

    def test_a_full_log_disk_stops_nothing_and_is_told_once_there_is_room(self):
        host = self.host()
        mount = f"{self.directory}/small"
        os.mkdir(mount)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", mount], check=True)
        self.addCleanup(subprocess.run, ["umount", "--lazy", mount], check=True)
        host.environment["LOCKSTEP_ENGINE_OPTIONS"] += f" --log={mount}/log"
        host.log_path = f"{mount}/log"
        host.create()
        host.attach(host.new_disk())
        filler = f"{mount}/filler"
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"f" * 512)
            except OSError:
                pass
        host.setup("primary", host.minor(), "--force")
        client = host.nbd()
        for block in range(16):
            self.assertEqual(client.write(block * 4096, b"l" * 4096), 0)
        client.close()
        for _ in range(40):  # far more lines than the page that is left takes
            host.setup("secondary", host.minor())
            host.setup("primary", host.minor())
        os.unlink(filler)
        host.setup("secondary", host.minor())
        until(lambda: "could not be written" in host.log(), "the word about it in the log")
        for line in host.log().splitlines():
            self.assertRegex(line, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} lockstep-r0 ")

    def test_garbage_on_the_control_socket_harms_nobody(self):
        host = self.lone()
        path = f"{host.directory}/run/resources/r0/control"
        hello = b'{"hello":1,"program":"test","pid":1}\n'
        pieces = [b"\0" * 4096, b"GET / HTTP/1.0\r\n\r\n", hello + b"\xff\xfe\n" * 100,
                  hello + b"{" * 20000 + b"\n", hello + b"x" * (300 << 10),
                  hello + b'{"id":1,"command":"primary","minor":-1}\n',
                  hello + b'{"id":1,"command":"down","surprise":true}\n',
                  hello + b'{"id":1,"command":"events"}\n{"id":2,"command":"status"}\n' * 100]
        for piece in pieces:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(30)
                client.connect(path)
                try:
                    client.sendall(piece)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # hung up on
            self.assertIn("r0 role:Secondary", host.setup("status", "r0"))
        # Many that connect and say nothing, up to the limit: those who talk are served again.
        silent = []
        for _ in range(80):
            client = socket.socket(socket.AF_UNIX)
            client.connect(path)
            silent.append(client)
        for client in silent:
            client.close()
        until(lambda: host.run("status", "r0").returncode == 0, "an answer")
        self.assertEqual(len(host.pids("lockstep-engine")), 1)

    def test_only_root_may_talk_to_an_engine(self):
        host = self.lone()
        os.chmod(self.directory, 0o755)
        os.chmod(host.directory, 0o755)
        for words in (("status",), ("primary", host.minor()), ("down", "r0")):
            done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                                   DRBDSETUP, *words], env=host.environment, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
                                  check=False)
            self.assertNotEqual(done.returncode, 0, f"{words}: {done.stdout}")
            self.assertIn("Run as root", done.stdout, words)
        # Nor by the socket itself, if the directories were open.
        run = f"{host.directory}/run"
        for path in (run, f"{run}/resources", f"{run}/resources/r0"):
            os.chmod(path, 0o755)
        os.chmod(f"{run}/resources/r0/control", 0o666)
        done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                               DRBDSETUP, "down", "r0"], env=host.environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
                              check=False)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        host.setup("status", "r0")


if __name__ == "__main__":
    main()
