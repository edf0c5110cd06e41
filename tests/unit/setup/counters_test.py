"""The numbers that `proc`, status and events2 show, taken from engines at work."""

import re

from engines import DISK, MIB, EngineTest, main, until

METADATA = 40 << 10  # bitmap, activity log and superblock of a disk of this size


class Counters(EngineTest):
    def settled(self, *hosts):
        """Nothing is under way on any of them."""
        def quiet():
            return all(host.counters()[key] == 0 for host in hosts
                       for key in ("lo", "pe", "ua", "ap"))
        until(quiet, "the last request to end")

    def in_flight(self, host):
        """Sectors of the application, and of resyncs, that the peer has not answered yet."""
        connection = host.status()["connections"][0]
        return connection["ap-in-flight"], connection["rs-in-flight"]

    def grown(self, host, before):
        now = host.counters()
        return {key: now[key] - before[key] for key in ("ns", "nr", "dw", "dr", "al", "bm")}

    def test_writes_count_as_sent_and_written_here_and_received_and_written_there(self):
        pair = self.pair_in_sync()
        pair.alpha.setup("primary", pair.alpha.minor())
        client = pair.alpha.nbd()
        self.assertEqual(client.size, DISK - METADATA)
        here, there = pair.alpha.counters(), pair.beta.counters()
        for block in range(64):
            self.assertEqual(client.write(block * 4096, b"w" * 4096), 0)
        self.assertEqual(client.flush(), 0)
        self.assertEqual(client.read(0, 128 << 10), (0, b"w" * (128 << 10)))
        self.settled(pair.alpha, pair.beta)
        ours, theirs = self.grown(pair.alpha, here), self.grown(pair.beta, there)
        self.assertEqual((ours["ns"], ours["nr"], ours["dw"], ours["dr"]), (256, 0, 256, 128))
        self.assertEqual((theirs["ns"], theirs["nr"], theirs["dw"], theirs["dr"]),
                         (0, 256, 256, 0))
        # All blocks are in one extent of the activity log, which took one transaction.
        self.assertEqual((ours["al"], theirs["al"]), (1, 0))
        for host in (pair.alpha, pair.beta):
            now = host.counters()
            self.assertEqual((now["wo"], now["oos"], now["ep"]), ("f", 0, 1))

    def test_what_the_peer_missed_counts_as_out_of_sync_until_it_is_resynced(self):
        pair = self.pair_in_sync()
        alpha, beta = pair.alpha, pair.beta
        alpha.setup("primary", alpha.minor())
        client = alpha.nbd()
        beta.setup("disconnect", beta.address, alpha.address)
        alpha.wait_for("WFConnection")
        before = alpha.counters()
        for block in range(10):
            self.assertEqual(client.write(block * 8192, b"m" * 4096), 0)
        self.assertEqual(client.flush(), 0)
        self.assertEqual(self.grown(alpha, before)["ns"], 0)
        self.assertEqual(alpha.counters()["oos"], 40)
        self.assertEqual(beta.counters()["oos"], 0)
        here, there = alpha.counters(), beta.counters()
        beta.connect(alpha, "--protocol=C")
        pair.in_sync()
        ours, theirs = self.grown(alpha, here), self.grown(beta, there)
        self.assertEqual((ours["ns"], ours["dr"]), (40, 40))
        self.assertEqual((theirs["nr"], theirs["dw"]), (40, 40))
        self.assertGreater(theirs["bm"], 0)
        self.assertEqual((alpha.counters()["oos"], beta.counters()["oos"]), (0, 0))

    def test_requests_under_way_are_counted_where_they_wait(self):
        alpha, beta = self.host("alpha"), self.host("beta")
        disks = []
        for host in (alpha, beta):
            host.create()
            disks.append(host.frozen_disk())
            host.attach(disks[-1].path)
        for host, peer in ((alpha, beta), (beta, alpha)):
            host.connect(peer, "--protocol=C")
        alpha.wait_for("Connected")
        alpha.setup("new-current-uuid", alpha.minor(), "--clear-bitmap")
        alpha.wait_for("Connected", "UpToDate/UpToDate")
        alpha.setup("primary", alpha.minor())
        client = alpha.nbd()
        self.assertEqual(client.write(0, b"x" * 4096), 0)  # its extent is in the log now
        self.settled(alpha, beta)
        disks[1].freeze()
        client.begin(client.WRITE, 0, 4096, b"y" * 4096)
        until(lambda: beta.counters()["lo"] == 1 and beta.counters()["ua"] == 1,
              "the write to wait for beta's disk")
        until(lambda: alpha.counters()["lo"] == 0, "alpha's disk")
        waiting = alpha.counters()
        self.assertEqual((waiting["ap"], waiting["pe"]), (1, 1))
        self.assertEqual(self.in_flight(alpha), (8, 0))
        disks[0].freeze()
        client.begin(client.WRITE, 8192, 4096, b"z" * 4096)
        until(lambda: alpha.counters()["lo"] == 1 and alpha.counters()["ap"] == 2,
              "the other write to wait for alpha's disk")
        for disk in disks:
            disk.thaw()
        self.assertEqual((client.end()[0], client.end()[0]), (0, 0))
        self.settled(alpha, beta)
        self.assertEqual(self.in_flight(alpha), (0, 0))

    def test_what_a_target_has_asked_for_is_in_flight_until_it_comes(self):
        alpha, beta = self.host("alpha"), self.host("beta")
        for host in (alpha, beta):
            host.create()
        slow = alpha.frozen_disk()
        alpha.attach(slow.path, *self.SLOW)
        beta.attach(beta.new_disk(), *self.SLOW)
        for host, peer in ((alpha, beta), (beta, alpha)):
            host.connect(peer, "--protocol=C")
        alpha.wait_for("Connected")
        alpha.setup("primary", alpha.minor(), "--force")
        beta.wait_for("SyncTarget")
        slow.freeze()
        # All that beta asked before has come, or never will; so what is asked now stays.
        until(lambda: self.in_flight(beta)[1] > 0 and alpha.counters()["lo"] > 0,
              "beta to wait for alpha's disk")
        self.assertEqual(self.in_flight(beta)[0], 0)
        self.assertEqual(self.in_flight(alpha), (0, 0))
        slow.thaw()
        for host in (alpha, beta):
            host.setup("disk-options", host.minor(), *self.FAST)
        beta.wait_for("Connected", "UpToDate/UpToDate")
        self.assertEqual(self.in_flight(beta), (0, 0))

    SLOW = ("--c-plan-ahead=0", "--resync-rate=1M", "--c-min-rate=0")
    FAST = ("--c-plan-ahead=0", "--resync-rate=400M", "--c-min-rate=0")

    def test_a_sync_shows_how_far_it_is_how_fast_and_how_long_it_will_take(self):
        pair = self.pair(disk=self.SLOW)
        alpha, beta = pair.alpha, pair.beta
        alpha.setup("primary", alpha.minor(), "--force")
        beta.wait_for("SyncTarget")
        total = (DISK - METADATA) // 1024
        line = re.compile(r"\n\t\[(=*)>(\.+)\] sync'ed: ?[ \d]{2}\d\.\d% \((\d+)/" + str(total)
                          + r"\)K\n\tfinish: \d+:\d\d:\d\d speed: [\d,]+ \([\d,]+\)"
                          r"( want: ([\d,]+))? K/sec\n")
        def progress(host):
            found = line.search(host.proc())
            self.assertIsNotNone(found, host.proc())
            return found
        first = progress(beta)
        # Twenty cells; none of them is done yet, or the last one is the arrow.
        self.assertIn(len(first.group(1)) + len(first.group(2)), (19, 20))
        self.assertEqual(first.group(5), "1,024")
        source = progress(alpha)
        self.assertIsNone(source.group(4))
        until(lambda: int(progress(beta).group(3)) < int(first.group(3)), "progress")
        until(lambda: int(progress(alpha).group(3)) < int(source.group(3)), "the source to see it")
        # The same in status and events2.
        self.assertRegex(beta.setup("status"),
                         r"replication:SyncTarget peer-disk:UpToDate done:\d+\.\d\d\n")
        peer = alpha.status()["connections"][0]["peer_devices"][0]
        self.assertTrue(peer["has-sync-details"])
        self.assertEqual(peer["rs-total"], total * 2)
        self.assertLess(peer["percent-resync-done"], 100)
        self.assertGreater(peer["estimated-seconds-to-finish"], 0)
        told = beta.setup("events2", "--now", "--statistics")
        self.assertRegex(told, r"replication:SyncTarget .* done:\d+\.\d\d .* dbdt1:\d+\.\d\d "
                               r"eta:\d+\n")
        # Paused by hand: both say so.
        beta.setup("pause-sync", beta.minor())
        until(lambda: " C r--u--\n" in beta.proc(), "the flag of the user")
        until(lambda: " C r-p---\n" in alpha.proc(), "the flag of the peer")
        self.assertEqual((alpha.state()[0], beta.state()[0]), ("PausedSyncS", "PausedSyncT"))
        self.assertNotIn("sync'ed:", beta.proc())
        beta.setup("resume-sync", beta.minor())
        beta.setup("disk-options", beta.minor(), *self.FAST)
        pair.in_sync()
        self.assertEqual(beta.counters()["oos"], 0)
        self.assertEqual(beta.counters()["nr"], total)
        self.assertNotIn("sync'ed:", beta.proc() + alpha.proc())

    def test_a_verify_shows_how_far_it_is_and_how_long_it_will_take(self):
        pair = self.pair_in_sync("--verify-alg=crc32c", disk=self.SLOW)
        alpha, beta = pair.alpha, pair.beta
        alpha.setup("verify", alpha.minor())
        alpha.wait_for("VerifyS")
        total = (DISK - METADATA) // 1024
        self.assertRegex(alpha.proc(), r"\n\t\[=*>\.+\] verified: ?[ \d]{2}\d\.\d% \(\d+/"
                         + str(total) + r"\)K\n\tfinish: \d+:\d\d:\d\d speed: [\d,]+ \([\d,]+\) "
                         r"want: 1,024 K/sec\n")
        self.assertIn("cs:VerifyT", beta.proc())
        peer = alpha.status()["connections"][0]["peer_devices"][0]
        self.assertTrue(peer["has-online-verify-details"])
        alpha.setup("disk-options", alpha.minor(), *self.FAST)
        pair.in_sync()
        self.assertEqual(alpha.counters()["oos"], 0)

    def test_a_new_pair_shows_everything_out_of_sync(self):
        pair = self.pair()
        total = (DISK - METADATA) // 1024
        for host in (pair.alpha, pair.beta):
            self.assertRegex(
                host.proc(),
                f"\n{host.minor()}: cs:Connected ro:Secondary/Secondary "
                r"ds:Inconsistent/Inconsistent C r-----\n"
                rf"    ns:0 nr:0 dw:0 dr:0 al:\d bm:\d lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:{total}\n")

    def test_an_idle_log_is_shown_as_suspended_while_everything_is_out_of_sync(self):
        host = self.lone()
        self.assertIn("cs:StandAlone ro:Secondary/Unknown ds:Inconsistent/DUnknown   r----s\n",
                      host.proc())

    def test_a_device_without_disk_and_peer_is_unconfigured(self):
        host = self.host()
        host.create()
        self.assertTrue(host.proc().endswith(f"\n\n{host.minor()}: cs:Unconfigured\n"))

    def test_a_large_write_is_one_line_of_statistics(self):
        host = self.lone()
        host.setup("primary", host.minor(), "--force")
        client = host.nbd()
        self.assertEqual(client.write(0, b"s" * MIB), 0)
        text = host.setup("status", "r0", "--verbose", "--statistics")
        self.assertRegex(text, r"size:\d+ read:\d+ written:1024 al-writes:\d+ bm-writes:\d+ "
                               r"upper-pending:0\n\s+lower-pending:0")
        self.assertRegex(text, r"volume:0 minor:\d+ disk:UpToDate")
        self.assertIn("blocked:no", text)


if __name__ == "__main__":
    main()
