"""Options that only a real engine can show: what the kernel says of its process, what drbdsetup
tells whoever sets one, and how engines of one node wait for each other.

usage: engine_options_test.py ENGINE DRBDSETUP DRBDMETA [NAME...]
"""
import json
import os
import re
import socket
import subprocess
import sys
import traceback
import unittest

import engine_test
from engine_test import Engines, until

WITHOUT_EFFECT = {"disk": [("max-bio-bvecs", "5"), ("disk-barrier", "yes"), ("disk-drain", "no"),
                           ("discard-zeroes-if-aligned", "no"), ("disable-write-same", "yes")],
                  "net": [("unplug-watermark", "64")]}


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Tests(Engines):
    """Without those that it inherits; main() calls them by name."""

    def volumes(self, resource):
        found = json.loads(self.setup("status", resource, "--json"))
        return found[0]["devices"], found[0]["connections"]

    def drbdmeta(self, *words, check=True):
        return subprocess.run([engine_test.DRBDMETA, "--force", *words], env=self.environment,
                              check=check, capture_output=True, text=True, timeout=60)

    def apply_log(self, path):
        self.drbdmeta("0", "v08", path, "internal", "apply-al")

    def state(self, command, minor):
        return self.setup(command, str(minor)).strip()

    def cpu_mask_is_where_the_engine_runs(self):
        self.setup("new-resource", "r0", "--cpu-mask=1")
        self.assertEqual(self.cpus("r0"), "0")
        self.setup("new-resource", "r1")
        self.assertEqual(self.cpus("r1"), self.own_cpus())
        self.setup("resource-options", "r0", "--cpu-mask=")
        self.assertEqual(self.cpus("r0"), self.own_cpus())
        said = self.setup("new-resource", "r2", "--cpu-mask=xyz", code=10)
        self.assertIn("cpu-mask", said)

    def _sleeps_in_writes(self, resource, count):
        """How often the engine went to sleep of its own accord while a client wrote."""
        def sleeps():
            with open(f"/proc/{self.pid(resource)}/status", encoding="utf-8") as file:
                return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", file.read(),
                                     re.M).group(1))
        before = sleeps()
        subprocess.run(["fio", "--name=x", "--ioengine=nbd", f"--uri={self.nbd(resource)}",
                        "--rw=write", "--bs=4k", "--iodepth=1", f"--size={count * 4}k"],
                       check=True, capture_output=True, timeout=60)
        return sleeps() - before

    def busy_wait_spares_the_engine_its_sleep(self):
        plain = self.environment["LOCKSTEP_ENGINE_OPTIONS"]
        slept = []
        for number, option in enumerate(("", " --busy-wait=100000")):
            self.environment["LOCKSTEP_ENGINE_OPTIONS"] = plain + option
            self.up(f"r{number}", number)
            self.setup("primary", str(number), "--force")
            slept.append(self._sleeps_in_writes(f"r{number}", 400))
        self.assertGreater(slept[0], 400)
        self.assertLess(slept[1], 100)
        self.assertIn("busy-wait", self.engine("r2", "--busy-wait=100001").stdout)

    def options_without_effect_are_said_to_have_none(self):
        self.setup("new-resource", "r0")
        self.setup("new-minor", "r0", "0", "0")
        path = self.disk("disk", 0)
        for name, value in WITHOUT_EFFECT["disk"]:
            self.apply_log(path)
            said = self.setup("attach", "0", path, path, "internal", f"--{name}={value}")
            self.assertRegex(said, rf"0: {name} has no effect here: \S+")
            self.assertIn(name, self.setup("show", "r0"))
            self.setup("detach", "0")
        self.apply_log(path)
        self.assertEqual(self.setup("attach", "0", path, path, "internal", "--disk-barrier=no"), "")
        addresses = [f"ipv4:127.0.0.1:{free_port()}", f"ipv4:127.0.0.1:{free_port()}"]
        for name, value in WITHOUT_EFFECT["net"]:
            said = self.setup("connect", "r0", *addresses, f"--{name}={value}")
            self.assertRegex(said, rf"r0: {name} has no effect here: \S+")
            said = self.setup("net-options", *addresses, f"--{name}={int(value) + 1}")
            self.assertIn(f"{name} has no effect here", said)

    def options_of_drbd_9_are_refused_by_name(self):
        self.setup("new-resource", "r0")
        for option in ("quorum=majority", "on-no-quorum=io-error", "auto-promote=no",
                       "twopc-timeout=100", "peer-ack-window=4096", "max-io-depth=100"):
            said = self.setup("resource-options", "r0", f"--{option}", code=20)
            self.assertIn(option.split("=")[0], said)
        addresses = [f"ipv4:127.0.0.1:{free_port()}", f"ipv4:127.0.0.1:{free_port()}"]
        for option in ("transport=rdma", "tls=yes", "allow-remote-read=no",
                       "load-balance-paths=yes"):
            said = self.setup("connect", "r0", *addresses, f"--{option}", code=20)
            self.assertIn(option.split("=")[0], said)

    def al_stripes_and_al_stripe_size_lay_out_the_activity_log(self):
        path = self.directory + "/striped"
        where = ["0", "v08", path, "internal"]
        for stripes, size_kib in ((4, 64), (1, 32)):
            with open(path, "wb") as file:
                file.truncate(64 << 20)
            self.drbdmeta("--al-stripes", str(stripes), "--al-stripe-size-kB", str(size_kib),
                          *where, "create-md")
            text = self.drbdmeta(*where, "dump-md").stdout
            self.assertRegex(text, rf"al-stripes {stripes};")
            self.assertRegex(text, rf"al-stripe-size-4k {size_kib // 4};")
        for wrong in ("--al-stripes=0", "--al-stripes=1025", "--al-stripe-size-kB=3",
                      "--al-stripe-size-kB=16777217"):
            ended = self.drbdmeta(wrong, *where, "create-md", check=False)
            self.assertNotEqual(ended.returncode, 0, wrong)
            self.assertIn("al-stripe", ended.stderr)

    def a_resync_waits_for_that_of_another_resource(self):
        far = Tests()
        far.setUp()
        try:
            self.wait_for_each_other(far)
        finally:
            far.tearDown()

    def wait_for_each_other(self, far):
        for number, name in enumerate(("first", "second")):
            ports = [free_port(), free_port()]
            for node, own, other in ((self, *ports), (far, *reversed(ports))):
                node.setup("new-resource", name)
                node.setup("new-minor", name, str(40 + number), "0")
                path = node.disk(f"disk-{name}", 40 + number)
                after = "40" if number else "-1"
                node.setup("attach", str(40 + number), path, path, "internal",
                           f"--resync-after={after}", "--c-max-rate=4M")
                node.setup("connect", name, f"ipv4:127.0.0.1:{own}", f"ipv4:127.0.0.1:{other}",
                           "--ping-timeout=1", "--connect-int=1")
            until(lambda minor=40 + number: self.state("cstate", minor) == "Connected", "connected")
        self.setup("primary", "40", "--force")
        until(lambda: far.state("cstate", 40) == "SyncTarget", "the first one syncs")
        self.setup("primary", "41", "--force")
        until(lambda: far.state("cstate", 41) == "PausedSyncT", "the second one waits")
        self.assertEqual(self.state("cstate", 41), "PausedSyncS")
        line = next(one for one in far.setup("proc").splitlines() if one.startswith("41:"))
        self.assertRegex(line, r" C r-?.*a")
        def left(resource):
            return far.volumes(resource)[1][0]["peer_devices"][0]["out-of-sync"]
        before = left("first"), left("second")
        until(lambda: left("first") < before[0] - 1024, "the first one goes on")
        self.assertEqual(far.state("cstate", 41), "PausedSyncT")
        self.assertEqual(left("second"), before[1])
        # The engine of the first dies: nobody has to wait for it.
        for node in (self, far):
            os.kill(node.pid("first"), 9)
        until(lambda: far.state("cstate", 41) in ("SyncTarget", "Connected"),
              "the second goes on")
        until(lambda: far.state("dstate", 41) == "UpToDate/UpToDate",
              "and is done", seconds=60)


def main():
    wanted = sys.argv[1:]  # engine_test has taken the programs
    tests = [name for name, value in vars(Tests).items()
             if callable(value) and re.match(r"[a-z]\w+_\w+_\w+", name)
             and name != "wait_for_each_other" and (not wanted or name in wanted)]
    print(f"1..{len(tests)}")
    failed = 0
    for number, name in enumerate(tests, 1):
        test = Tests()
        try:
            test.setUp()
            try:
                getattr(test, name)()
            finally:
                test.tearDown()
            print(f"ok {number} - {name}")
        except (Exception, unittest.SkipTest):  # the next test has engines of its own
            failed += 1
            print(f"not ok {number} - {name}")
            for line in traceback.format_exc().splitlines():
                print(f"# {line}")
        sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
