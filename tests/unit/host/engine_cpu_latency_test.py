"""What an engine asks of idle processors, as the kernel says when it is asked for the limit in force.
Needs root, loop devices and fio; no other engine may be at work meanwhile.

usage: engine_cpu_latency_test.py ENGINE DRBDSETUP DRBDMETA
"""
import struct
import subprocess
import sys
import time
import unittest

from engine_test import Engines, until

LIMIT = "/dev/cpu_dma_latency"
DRIVER = "/sys/devices/system/cpu/cpuidle/current_driver"
NO_LIMIT = 2_000_000_000


def limit_in_force():
    with open(LIMIT, "rb", buffering=0) as file:
        return struct.unpack("i", file.read(4))[0]


class Tests(Engines):
    """Without those that it inherits: see load_tests()."""

    def setUp(self):
        super().setUp()
        until(lambda: limit_in_force() == NO_LIMIT, "nobody's limit in force")

    def start(self, option):
        self.environment["LOCKSTEP_ENGINE_OPTIONS"] += option
        self.up("r0", 0)
        self.setup("primary", "0", "--force")

    def write(self, *more):
        return subprocess.Popen(
            ["fio", "--name=x", "--ioengine=nbd", f"--uri={self.nbd('r0')}", "--rw=randwrite",
             "--bs=4k", "--iodepth=1", "--size=32m", "--time_based", *more],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def limits_during(self, load):
        """All that were in force until the load ended."""
        seen = set()
        while load.poll() is None:
            seen.add(limit_in_force())
            time.sleep(0.005)
        self.assertEqual(load.returncode, 0)
        return seen

    def test_a_limit_is_in_force_while_there_is_much_to_do(self):
        self.start(" --cpu-latency=7")
        self.assertEqual(limit_in_force(), NO_LIMIT)
        load = self.write("--runtime=60s")
        try:
            until(lambda: limit_in_force() == 7, "the limit in force")
        finally:
            load.terminate()
            load.wait()
        until(lambda: limit_in_force() == NO_LIMIT, "the limit taken back")

    def test_a_killed_engine_leaves_no_limit(self):
        self.start(" --cpu-latency=7")
        load = self.write("--runtime=60s")
        try:
            until(lambda: limit_in_force() == 7, "the limit in force")
            subprocess.run(["kill", "-9", str(self.pid("r0"))], check=True)
            until(lambda: limit_in_force() == NO_LIMIT, "the limit gone")
        finally:
            load.terminate()
            load.wait()

    def test_a_write_now_and_then_asks_for_nothing(self):
        self.start(" --cpu-latency=7")
        self.assertEqual(self.limits_during(self.write("--runtime=2s", "--rate_iops=100")),
                         {NO_LIMIT})

    def test_off_asks_for_nothing(self):
        self.start(" --cpu-latency=off")
        self.assertEqual(self.limits_during(self.write("--runtime=2s")), {NO_LIMIT})

    def test_by_itself_it_asks_in_virtual_machines_only(self):
        self.start("")
        with open(DRIVER, encoding="ascii") as file:
            guest = file.read().strip() == "haltpoll"
        self.assertEqual(0 in self.limits_during(self.write("--runtime=2s")), guest)

    def test_a_limit_that_is_none_is_refused(self):
        said = self.engine("r0", "--cpu-latency=10001")
        self.assertEqual(said.returncode, 1)
        self.assertIn("--cpu-latency=10001", said.stdout + said.stderr)


def load_tests(_loader, _tests, _pattern):
    return unittest.TestSuite(Tests(name) for name in vars(Tests) if name.startswith("test_"))


if __name__ == "__main__":
    sys.exit(not unittest.main(verbosity=2, exit=False).result.wasSuccessful())
