"""The engine as a process: start, claims, signals, death. Needs root and loop devices."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

ENGINE, DRBDSETUP, DRBDMETA = sys.argv[1:4]
sys.argv[1:4] = []


def until(condition, what, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


class Engines(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="engine-test-", dir="/var/tmp")
        self.loops = []
        self.environment = dict(
            os.environ,
            LOCKSTEP_RUNTIME_DIRECTORY=self.directory + "/run",
            LOCKSTEP_ENGINE=ENGINE,
            LOCKSTEP_ENGINE_OPTIONS=f"--no-device-nodes --log={self.directory}/log "
                                    f"--helper=disabled",
        )

    def tearDown(self):
        for resource in self.resources():
            pid = self.pid(resource)
            if pid:
                os.kill(pid, signal.SIGKILL)
        until(lambda: not self.processes(), "the end of all processes")
        for loop in self.loops:
            subprocess.run(["losetup", "--detach", loop], check=True, timeout=60)
        shutil.rmtree(self.directory)

    def resources(self):
        try:
            return os.listdir(self.directory + "/run/resources")
        except FileNotFoundError:
            return []

    def processes(self):
        """Engines, keepers and log writers of this test: they have its directory in their
        environment."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    mine = self.directory.encode() in file.read()
                with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
                    name = file.read().strip()
            except OSError:
                continue
            if mine and name.startswith("lockstep-"):
                found.append((int(pid), name))
        return found

    def pid(self, resource):
        for pid, name in self.processes():
            if name != "lockstep-engine":
                continue
            with open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
                words = file.read().split("\0")  # empty in one that is just ending
            if len(words) > 1 and words[1] == resource:
                return pid
        return None

    def setup(self, *words, code=0):
        ended = subprocess.run([DRBDSETUP, *words], env=self.environment, text=True,
                               capture_output=True, timeout=60, check=False)
        self.assertEqual(ended.returncode, code, f"{words}: {ended.stdout}{ended.stderr}")
        return ended.stdout + ended.stderr

    def engine(self, *words):
        return subprocess.run([ENGINE, *words], env=self.environment, text=True,
                              capture_output=True, timeout=60, check=False)

    def log(self):
        try:
            with open(self.directory + "/log", encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def disk(self, name, minor):
        path = f"{self.directory}/{name}"
        with open(path, "wb") as file:
            file.truncate(64 << 20)
        path = subprocess.run(["losetup", "--find", "--show", path], check=True, text=True,
                              capture_output=True, timeout=60).stdout.strip()
        self.loops.append(path)
        subprocess.run([DRBDMETA, "--force", str(minor), "v08", path, "internal", "create-md"],
                       env=self.environment, check=True, capture_output=True, timeout=60)
        return path

    def up(self, resource, minor):
        self.setup("new-resource", resource)
        self.setup("new-minor", resource, str(minor), "0")
        path = self.disk(f"disk-{resource}", minor)
        self.setup("attach", str(minor), path, path, "internal")
        return path

    def nbd(self, resource):
        return f"nbd+unix:///{resource}/0?socket={self.directory}/run/resources/{resource}/nbd"

    # --- start ---

    def test_an_engine_starts_detached_and_is_found_by_its_socket(self):
        self.setup("new-resource", "r0")
        pid = self.pid("r0")
        self.assertIsNotNone(pid)
        self.assertEqual(os.getsid(pid), pid)
        self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), "/")
        for stream in range(3):
            self.assertEqual(os.readlink(f"/proc/{pid}/fd/{stream}"), "/dev/null")
        self.assertEqual(os.stat(f"{self.directory}/run/resources/r0/control").st_mode & 0o777,
                         0o600)
        until(lambda: "started" in self.log(), "the line in the log")

    def test_memory_is_locked_where_that_is_permitted(self):
        self.setup("new-resource", "r0")
        with open(f"/proc/{self.pid('r0')}/status", encoding="utf-8") as file:
            locked = int(re.search(r"VmLck:\s+(\d+)", file.read()).group(1))
        self.assertTrue(locked > 16 << 10 or "memory is not locked" in self.log())

    def test_a_second_engine_for_the_resource_is_refused(self):
        self.setup("new-resource", "r0")
        refused = self.engine("r0")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("has an engine already", refused.stdout)
        self.assertIn("161", refused.stdout)
        self.setup("status", "r0")

    def test_bad_options_are_refused_by_name(self):
        for word in ("--no-such-option=1", "--log=relative", "--helper", "--files=yes",
                     "--helper-limit=-1", "--on-no-data-accessible=perhaps", "surplus"):
            refused = self.engine("r0", word)
            self.assertEqual(refused.returncode, 1, word)
            self.assertIn(word.split("=")[0].lstrip("-"), refused.stdout)
        self.assertEqual(self.resources(), [])

    def test_a_name_that_leaves_the_directory_is_refused(self):
        self.assertEqual(self.engine("a/b").returncode, 1)
        self.assertEqual(self.engine("").returncode, 1)

    def cpus(self, resource):
        with open(f"/proc/{self.pid(resource)}/status", encoding="utf-8") as file:
            return re.search(r"Cpus_allowed_list:\s+(\S+)", file.read()).group(1)

    def test_the_cpu_mask_is_where_the_engine_runs(self):
        self.setup("new-resource", "r0", "--cpu-mask=1")
        self.assertEqual(self.cpus("r0"), "0")
        self.setup("new-resource", "r1")
        self.assertEqual(self.cpus("r1"), self.own_cpus())
        if os.cpu_count() > 1:
            self.setup("resource-options", "r0", "--cpu-mask=2")
            self.assertEqual(self.cpus("r0"), "1")

    @staticmethod
    def own_cpus():
        with open("/proc/self/status", encoding="utf-8") as file:
            return re.search(r"Cpus_allowed_list:\s+(\S+)", file.read()).group(1)

    # --- claims ---

    def test_a_minor_of_another_resource_is_refused(self):
        self.setup("new-resource", "r0")
        self.setup("new-minor", "r0", "7", "0")
        self.setup("new-resource", "r1")
        self.assertIn("161", self.setup("new-minor", "r1", "7", "0", code=10))

    def test_a_disk_of_another_resource_is_refused(self):
        path = self.up("r0", 0)
        self.setup("new-resource", "r1")
        self.setup("new-minor", "r1", "1", "0")
        self.assertIn("(114)", self.setup("attach", "1", path, path, "internal", code=10))

    def test_a_port_of_another_resource_is_refused(self):
        self.up("r0", 0)
        self.setup("connect", "r0", "ipv4:127.0.0.1:17790", "ipv4:127.0.0.2:17790")
        self.up("r1", 1)
        text = self.setup("connect", "r1", "ipv4:127.0.0.1:17790", "ipv4:127.0.0.3:17790", code=10)
        self.assertIn("(102)", text)

    def test_a_port_of_another_program_is_refused(self):
        self.up("r0", 0)
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            text = self.setup("connect", "r0", f"ipv4:127.0.0.1:{port}",
                              f"ipv4:127.0.0.2:{port}", code=10)
        self.assertIn("in use by another program", text)

    # --- a life ---

    def test_a_lone_primary_serves_its_volume_until_it_is_taken_down(self):
        self.up("r0", 0)
        self.setup("primary", "0", "--force")
        subprocess.run(["qemu-io", "-f", "raw", "-c", "write -P 7 1M 64k", "-c", "flush", "-c",
                        "read -P 7 1M 64k", self.nbd("r0")], check=True, timeout=60,
                       capture_output=True)
        self.setup("down", "r0")
        until(lambda: not self.processes(), "the end of engine and keeper")
        self.assertEqual(self.resources(), [])
        self.assertIn("engine stopped", self.log())
        self.assertNotIn("died", self.log())

    def test_down_and_sigterm_are_refused_while_a_client_uses_the_volume(self):
        self.up("r0", 0)
        self.setup("primary", "0", "--force")
        client = subprocess.Popen(["qemu-io", "-f", "raw", self.nbd("r0")],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            client.stdin.write("read 0 512\n")
            client.stdin.flush()
            until(lambda: "read 512" in (client.stdout.readline() or ""), "the client's read")
            self.assertIn("(-12)", self.setup("down", "r0", code=11))
            self.assertIn("(-12)", self.setup("secondary", "0", code=11))
            os.kill(self.pid("r0"), signal.SIGTERM)
            until(lambda: "not stopping" in self.log(), "the refusal in the log")
            client.stdin.write("read 0 512\n")
            client.stdin.flush()
            until(lambda: "read 512" in (client.stdout.readline() or ""), "another read")
        finally:
            client.stdin.close()
            client.wait(timeout=20)
            client.stdout.close()
        os.kill(self.pid("r0"), signal.SIGTERM)
        until(lambda: not self.processes(), "the end of engine and keeper")
        self.assertEqual(self.resources(), [])

    def test_sigquit_takes_the_volume_away_from_its_client(self):
        self.up("r0", 0)
        self.setup("primary", "0", "--force")
        client = subprocess.Popen(["qemu-io", "-f", "raw", self.nbd("r0")],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            client.stdin.write("read 0 512\n")
            client.stdin.flush()
            until(lambda: "read 512" in (client.stdout.readline() or ""), "the client's read")
            os.kill(self.pid("r0"), signal.SIGQUIT)
            until(lambda: not self.processes(), "the end of engine and keeper")
        finally:
            client.kill()
            client.stdin.close()
            client.stdout.close()
            client.wait()

    # --- death ---

    def test_a_kill_of_one_engine_leaves_the_other_alone_and_nothing_behind(self):
        self.up("r0", 0)
        self.up("r1", 1)
        self.setup("primary", "1", "--force")
        os.kill(self.pid("r0"), signal.SIGKILL)
        until(lambda: "r0" not in self.resources(), "the keeper's work")
        until(lambda: "the engine has died" in self.log(), "the keeper's word")
        self.assertFalse(os.path.lexists(self.directory + "/run/minors/0"))
        subprocess.run(["qemu-io", "-f", "raw", "-c", "read 0 4k", self.nbd("r1")], check=True,
                       timeout=60, capture_output=True)
        self.setup("new-resource", "r0")
        self.setup("new-minor", "r0", "0", "0")
        subprocess.run([DRBDMETA, "0", "v08", self.loops[0], "internal", "apply-al"], check=True,
                       env=self.environment, capture_output=True, timeout=60)
        self.setup("attach", "0", self.loops[0], self.loops[0], "internal")

    def test_a_successor_waits_for_the_keeper_of_the_dead(self):
        self.up("r0", 0)
        pid = self.pid("r0")
        os.kill(pid, signal.SIGKILL)
        until(lambda: not os.path.exists(f"/proc/{pid}"), "the engine's death")
        self.setup("new-resource", "r0")
        self.setup("new-minor", "r0", "0", "0")
        time.sleep(0.5)  # a keeper that came late would take this away again
        self.assertTrue(os.path.exists(self.directory + "/run/resources/r0/control"))
        self.setup("status", "r0")

    def test_an_engine_that_is_to_be_restarted_is(self):
        script = self.directory + "/drbdadm"
        with open(script, "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\necho "$@" >{self.directory}/restarted\n')
        os.chmod(script, 0o700)
        self.environment["LOCKSTEP_ENGINE_OPTIONS"] += f" --restart --helper={script}"
        self.setup("new-resource", "r0")
        os.kill(self.pid("r0"), signal.SIGKILL)
        until(lambda: os.path.exists(self.directory + "/restarted"), "the restart")
        def arguments():
            with open(self.directory + "/restarted", encoding="utf-8") as file:
                return file.read()
        until(lambda: arguments() == "up r0\n", "its arguments")

    def test_a_kill_of_a_primary_takes_its_node_and_loop_device_away(self):
        nodes = self.directory + "/dev"
        os.mkdir(nodes)
        self.environment["LOCKSTEP_ENGINE_OPTIONS"] = (
            f"--device-directory={nodes} --log={self.directory}/log --helper=disabled")
        self.up("r0", 0)
        resting = os.stat(nodes + "/drbd0").st_rdev
        self.assertEqual((os.major(resting), os.minor(resting)), (147, 0))
        self.assertTrue(os.path.islink(nodes + "/drbd/by-res/r0"))
        self.setup("primary", "0", "--force")
        shown = os.stat(nodes + "/drbd0").st_rdev
        self.assertEqual(os.major(shown), 7)
        loop = f"/sys/dev/block/7:{os.minor(shown)}/loop/backing_file"
        self.assertTrue(os.path.exists(loop))
        subprocess.run(["dd", "if=/dev/urandom", f"of={nodes}/drbd0", "bs=64k", "count=16",
                        "oflag=direct"], check=True, timeout=60, capture_output=True)
        os.kill(self.pid("r0"), signal.SIGKILL)
        until(lambda: not self.processes(), "the end of the keeper", 60)
        self.assertFalse(os.path.lexists(nodes + "/drbd0"))
        self.assertFalse(os.path.lexists(nodes + "/drbd/by-res/r0"))
        self.assertFalse(os.path.exists(loop))
        with open("/proc/self/mounts", encoding="utf-8") as mounts:
            self.assertNotIn(self.directory, mounts.read())

    def test_a_volume_comes_beside_one_that_is_in_use(self):
        nodes = self.directory + "/dev"
        os.mkdir(nodes)
        self.environment["LOCKSTEP_ENGINE_OPTIONS"] = (
            f"--device-directory={nodes} --log={self.directory}/log --helper=disabled")
        self.up("r0", 0)
        self.setup("primary", "0", "--force")
        shown = os.stat(nodes + "/drbd0").st_rdev
        with open(nodes + "/drbd0", "rb", buffering=0) as user:
            self.setup("new-minor", "r0", "1", "1")
            self.assertEqual(os.stat(nodes + "/drbd/by-res/r0/0").st_rdev, shown)
            self.assertEqual(os.readlink(nodes + "/drbd/by-res/r0/1"), "../../../drbd1")
            path = self.disk("disk-second", 1)
            self.setup("attach", "1", path, path, "internal")
            self.setup("primary", "1", "--force")
            self.assertEqual(os.major(os.stat(nodes + "/drbd1").st_rdev), 7)
            self.assertEqual(len(user.read(4096)), 4096)
        self.setup("down", "r0")
        until(lambda: not self.processes(), "the end of engine and keeper")
        self.assertEqual(os.listdir(nodes), [])

    def test_a_volume_whose_device_can_not_be_made_is_not_there(self):
        nodes = self.directory + "/dev"
        os.mkdir(nodes)
        with open(nodes + "/drbd1", "w", encoding="ascii"):
            pass
        self.environment["LOCKSTEP_ENGINE_OPTIONS"] = (
            f"--device-directory={nodes} --log={self.directory}/log --helper=disabled")
        self.up("r0", 0)
        self.setup("primary", "0", "--force")
        self.assertIn("drbd1", self.setup("new-minor", "r0", "1", "1", code=20))
        self.assertNotIn("volume:1", self.setup("status", "r0", "--verbose"))
        os.unlink(nodes + "/drbd1")
        self.setup("new-minor", "r0", "1", "1")
        self.assertIn("volume:1", self.setup("status", "r0", "--verbose"))

    def test_without_its_keeper_an_engine_is_not_promoted_and_can_be_taken_down(self):
        nodes = self.directory + "/dev"
        os.mkdir(nodes)
        self.environment["LOCKSTEP_ENGINE_OPTIONS"] = (
            f"--device-directory={nodes} --log={self.directory}/log --helper=disabled")
        path = self.up("r0", 0)
        os.kill(next(pid for pid, name in self.processes() if name == "lockstep-keeper"),
                signal.SIGKILL)
        until(lambda: "the keeper has died" in self.log(), "the news in the log")
        said = self.setup("primary", "0", "--force", code=20)
        self.assertIn("The device can not be made: the keeper process is gone", said)
        self.assertIn("hint: drbdadm down, then up", said)
        self.assertIn("Secondary/", self.setup("role", "0"))
        self.setup("down", "r0")
        until(lambda: not self.processes(), "the end of the engine")
        self.assertEqual(os.listdir(nodes), [])
        self.setup("new-resource", "r0")
        self.setup("new-minor", "r0", "0", "0")
        subprocess.run([DRBDMETA, "0", "v08", path, "internal", "apply-al"], env=self.environment,
                       check=True, capture_output=True, timeout=60)
        self.setup("attach", "0", path, path, "internal")
        self.setup("primary", "0")
        os.kill(next(pid for pid, name in self.processes() if name == "lockstep-keeper"),
                signal.SIGKILL)
        said = self.setup("secondary", "0", code=11)
        self.assertIn("in use: the keeper process is gone", said)
        self.assertIn("secondary --force takes it", said)
        self.setup("secondary", "0", "--force")
        self.setup("down", "r0")

    # --- the bounds of commands ---

    def test_a_frozen_keeper_delays_no_command_that_does_not_need_it(self):
        self.up("r0", 0)
        keeper = [pid for pid, name in self.processes() if name == "lockstep-keeper"]
        for pid in keeper:
            os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            self.setup("status", "r0")
            self.setup("disk-options", "0", "--resync-rate=1M")
            self.assertLess(time.monotonic() - began, 10)
        finally:
            for pid in keeper:
                os.kill(pid, signal.SIGCONT)

    def test_a_frozen_log_delays_no_command(self):
        self.setup("new-resource", "r0")
        writers = [pid for pid, name in self.processes() if name == "lockstep-log"]
        self.assertEqual(len(writers), 1)
        os.kill(writers[0], signal.SIGSTOP)
        try:
            began = time.monotonic()
            for minor in range(3):
                self.setup("new-minor", "r0", str(minor), str(minor))
            self.setup("status", "r0")
            self.assertLess(time.monotonic() - began, 15)
        finally:
            os.kill(writers[0], signal.SIGCONT)


if __name__ == "__main__":
    unittest.main(verbosity=2)
