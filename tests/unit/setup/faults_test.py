"""Disk errors on purpose: what the engine's options ask for is what its clients and logs see."""

import errno

from engines import EngineTest, main, until

META_READ, RESYNC_READ, DATA_WRITE, DATA_READ = 2, 8, 16, 32


class Faults(EngineTest):
    def alone(self, kinds, rate):
        """A Primary without a peer, whose disk stays in use after errors."""
        host = self.host(options=[f"--enable-faults={kinds}", f"--fault-rate={rate}"])
        host.create()
        host.attach(host.new_disk(), "--on-io-error=pass_on")
        host.setup("primary", host.minor(), "--force")
        return host

    def simulated(self, host, what):
        until(lambda: f"***Simulating {what} failure" in host.log(), f"{what} in the log")

    def test_a_write_that_fails_is_an_error_for_the_client_and_reads_do_not_fail_before(self):
        host = self.alone(DATA_WRITE, 100)
        client = host.nbd()
        self.assertEqual(client.read(0, 4096), (0, bytes(4096)))
        self.assertEqual(host.state()[2], "UpToDate/DUnknown")
        self.assertEqual(client.write(0, b"x" * 4096), errno.EIO)
        self.simulated(host, "Data write")
        until(lambda: host.state()[2] == "Inconsistent/DUnknown", "the outcome of pass_on")

    def test_a_read_that_fails_is_an_error_for_the_client(self):
        host = self.alone(DATA_READ, 100)
        client = host.nbd()
        self.assertEqual(client.write(0, b"x" * 4096), 0)
        self.assertEqual(client.read(0, 4096)[0], errno.EIO)
        self.simulated(host, "Data read")

    def test_metadata_that_can_not_be_read_can_not_be_attached(self):
        host = self.host(options=[f"--enable-faults={META_READ}", "--fault-rate=100"])
        host.create()
        self.assertIn("(118) IO error(s) occurred during initial access to meta-data",
                      host.attach(host.new_disk(), code=10))
        self.simulated(host, "Meta-data read")

    def test_a_source_that_can_not_read_leaves_the_target_out_of_sync(self):
        alpha = self.host("alpha", [f"--enable-faults={RESYNC_READ}", "--fault-rate=100"])
        beta = self.host("beta")
        for host in (alpha, beta):
            host.create()
            host.attach(host.new_disk(), "--on-io-error=pass_on")
        for host, peer in ((alpha, beta), (beta, alpha)):
            host.connect(peer, "--protocol=C")
        alpha.wait_for("Connected")
        alpha.setup("primary", alpha.minor(), "--force")
        self.simulated(alpha, "Resync read")
        # What an application reads is of another kind.
        self.assertEqual(alpha.nbd().read(0, 4096), (0, bytes(4096)))
        self.assertGreater(beta.counters()["oos"], 0)

    def test_numbers_out_of_range_are_refused_by_name(self):
        for option in ("--enable-faults=64", "--fault-rate=101", "--fault-devs=x"):
            host = self.host(f"refused{len(self.hosts)}", [option])
            self.assertIn(f'"{option}" is not valid', host.setup("new-resource", "r0", code=10))


if __name__ == "__main__":
    main()
