"""Every refusal that a resource can meet, provoked by a command: DRBD's number, text and exit code,
and what to do next."""

import os
import signal
import subprocess

from engines import DISK, DRBDMETA, DRBDSETUP, EngineTest, FrozenDisk, MIB, main, until

# The numbers that no command can provoke, and why.
UNREACHABLE = {
    106: "not used by DRBD 8.4", 109: "not used by DRBD 8.4", 110: "not used by DRBD 8.4",
    113: "not used by DRBD 8.4: a missing disk is 138", 117: "not used by DRBD 8.4",
    122: "needs a machine without memory", 126: "drbdsetup and engine are of one version",
    128: "not used by DRBD 8.4: state changes have numbers of their own",
    129: "an engine is not interrupted by signals", 136: "not used by DRBD 8.4",
    137: "drbdsetup sends nothing that the engine does not know",
    140: "needs a machine without memory", 142: "what is known is a digest, but for 121",
    145: "what is known is a digest, but for 121", 147: "what is known is a digest, but for 121",
    132: "the range of the option ends where minor numbers do",
    156: "a resync has to wait for another one just then (simulation_resync_order)",
    153: "needs a peer of protocol 92 or older", 163: "needs a peer of protocol 99 or older",
    166: "the layout of the activity log does not change online",
    167: "the layout of the activity log does not change online",
    168: "the layout of the activity log does not change online",
    169: "of resize, with tests of its own (state_size_agreement_test)",
    170: "of resize, with tests of its own (state_size_agreement_test)",
    171: "of DRBD 9", 172: "of DRBD 9", 173: "of DRBD 9", 174: "of DRBD 9", 175: "of DRBD 9",
    176: "of DRBD 9",
    -3: "no refusal has this number",
    -4: "the missing disk is 138 for whoever asks for a resync",
    -6: "a connected disk is not Outdated: nothing is to do",
    -9: "disconnect counts as done when there is no connection",
    -11: "detach counts as done when there is no disk",
    -13: "drbdsetup finds out first that there is no connection: 162",
    -17: "needs a peer of protocol 87 or older",
    -18: "a command waits for the end of a transient state",
    -19: "the one that asked later is asked again by itself",
    -20: "all volumes of a resource have one role",
    -21: "disconnect goes on without outdating the peer",
    -22: "of DRBD 9", -23: "of DRBD 9", -24: "of DRBD 9", -25: "of DRBD 9", -26: "of DRBD 9",
    -27: "of DRBD 9", -28: "of DRBD 9",
}

TEXTS = {
    102: "Local address(port) already in use.", 103: "Remote address(port) already in use.",
    104: "Can not open backing device.", 105: "Can not open meta device.",
    107: "Lower device is not a block device.", 108: "Meta device is not a block device.",
    111: "Low.dev. smaller than requested DRBD-dev. size.", 112: "Meta device too small.",
    114: "Lower device is already claimed. This usually means it is mounted.",
    115: "Meta device is already claimed. This usually means it is mounted.",
    116: "Lower device / meta device / index combination invalid.",
    118: "IO error(s) occurred during initial access to meta-data.",
    119: "No valid meta-data signature found.",
    120: "The 'cram-hmac-alg' you specified is not known in the kernel.",
    121: "The 'cram-hmac-alg' you specified is not a digest.",
    123: "--discard-my-data not allowed when primary.",
    124: "Device is attached to a disk (use detach first)",
    125: "Device has a net-config (use disconnect first)", 127: "Device minor not allocated",
    130: "Resize not allowed during resync.", 131: "Need one Primary node to resize.",
    133: "This would cause a resync-after dependency cycle",
    134: "Sync-pause flag is already set", 135: "Sync-pause flag is already cleared",
    138: "Device does not have a disk-config", 139: "Protocol C required",
    141: "The 'data-integrity-alg' you specified is not known in the kernel.",
    143: "Invalid cpu-mask.", 144: "CSUMSAlgNotAvail", 146: "VERIFYAlgNotAvail",
    148: "Can not change csums-alg while resync is in progress",
    149: "Can not change verify-alg while online verify runs",
    150: "Can only attach to the data we lost last (see kernel log).",
    151: "Need to be StandAlone", 152: "Permission denied. CAP_SYS_ADMIN necessary",
    154: "Fencing policy resource-and-stonith only with prot B or C allowed",
    155: "on-congestion policy pull-ahead only with prot A allowed",
    157: "Sync-pause flag is already cleared.\nNote: Resync pause caused by the peer node.",
    158: "Unknown resource", 159: "Resource still in use (delete all minors first)",
    160: "Minor still configured (down it first)",
    161: "Minor or volume exists already (delete it first)",
    162: "Invalid configuration request",
    164: "Can not clear allow_two_primaries as long as\nthere a primaries on both sides",
    165: "Unclean meta-data found.\nYou need to 'drbdadm apply-al res'\n",
    -1: "Multiple primaries not allowed by config", -2: "Need access to UpToDate data",
    -5: "Can not resync without remote disk",
    -7: "Refusing to be Primary while peer is not outdated",
    -8: "Can not start OV/resync since it is already active",
    -10: "State change was refused by peer node",
    -12: "Device is held open by someone",
    -14: "Need a verify algorithm to start online verify",
    -15: "Need a connection to start verify or resync",
    -16: "Disk state is lower than outdated",
}
EXIT_CODES = {-2: 17, -16: 5}


class Refusals(EngineTest):
    seen = set()

    def refused(self, host, code, *words, object_name=None, **options):
        done = host.run(*words, **options)
        kind = "Failure" if code > 0 else "State change failed"
        expected = 10 if code > 0 else EXIT_CODES.get(code, 11)
        head = f"{object_name or ''}: {kind}: ({code}) {TEXTS[code]}"
        self.assertIn(head, done.stdout, words)
        self.assertEqual(done.returncode, expected, f"{words}: {done.stdout}")
        self.assertRegex(done.stdout, r"\nhint: \S+", words)
        self.seen.add(code)

    def flexible(self, host, name, volume=0):
        """A data disk and a metadata disk."""
        paths = []
        for what, size in (("data", DISK), ("meta", MIB)):
            paths.append(f"{host.directory}/{name}-{what}")
            with open(paths[-1], "wb") as file:
                file.truncate(size)
        done = host.run("--force", host.minor(volume), "v08", paths[1], "flex-external", "create-md",
                        program=DRBDMETA)
        self.assertEqual(done.returncode, 0, done.stdout)
        return paths

    def test_what_does_not_exist_is_refused(self):
        host = self.host()
        self.refused(host, 127, "primary", host.minor(), object_name=host.minor())
        self.refused(host, 158, "del-resource", "r0", object_name="r0")
        self.refused(host, 162, "net-options", "127.0.0.1:1", "127.0.0.2:1", "--ping-int=1")

    def test_what_exists_already_is_refused(self):
        host = self.lone()
        minor, path = host.minor(), f"{host.directory}/disk0"
        host.setup("new-resource", "r1")
        self.refused(host, 161, "new-minor", "r1", minor, "0")
        host.setup("new-minor", "r1", host.minor(1), "0")
        self.refused(host, 124, "attach", minor, path, path, "internal", object_name=minor)
        self.refused(host, 114, "attach", host.minor(1), path, path, "internal")
        beta = self.host("beta")
        host.connect(beta, "--protocol=C")
        self.refused(host, 102, "connect", "r1", host.address, "127.0.0.9:1")
        self.refused(host, 103, "connect", "r1", "127.0.0.8:17999", beta.address)
        self.refused(host, 125, "connect", "r0", "127.0.0.8:17999", "127.0.0.9:1")
        self.refused(host, 151, "new-current-uuid", minor)
        self.refused(host, -15, "verify", minor)
        self.refused(host, 160, "del-minor", minor)
        host.setup("disconnect", host.address, beta.address)
        self.refused(host, 159, "del-resource", "r0")

    def test_a_refused_removal_leaves_the_device(self):
        host = self.pair_in_sync().alpha
        minor = host.minor()
        host.setup("primary", minor)
        host.setup("detach", minor)
        for _ in range(2):
            self.refused(host, 160, "del-minor", minor, object_name=minor)
            host.setup("dstate", minor)

    def test_devices_that_can_not_be_used_are_refused(self):
        host = self.host()
        host.create()
        minor = host.minor()
        data, meta = self.flexible(host, "good")
        self.refused(host, 116, "attach", minor, data, data, "flexible")
        self.refused(host, 116, "attach", minor, data, meta, "internal")
        self.refused(host, 119, "attach", minor, data, data, "internal")
        mount = f"{self.directory}/read-only"
        os.mkdir(mount)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", mount], check=True)
        self.addCleanup(subprocess.run, ["umount", "--lazy", mount], check=True)
        frozen = f"{mount}/disk"
        with open(frozen, "wb") as file:
            file.truncate(MIB)
        subprocess.run(["mount", "-o", "remount,ro", mount], check=True)
        self.refused(host, 104, "attach", minor, frozen, frozen, "internal")
        self.refused(host, 105, "attach", minor, data, frozen, "flexible")
        # What was agreed upon with a larger disk does not fit any more.
        host.setup("attach", minor, data, meta, "flexible")
        host.setup("new-resource", "r1")
        host.setup("new-minor", "r1", host.minor(1), "0")
        other, _ = self.flexible(host, "other", volume=1)
        self.refused(host, 115, "attach", host.minor(1), other, meta, "flexible")
        host.setup("primary", minor, "--force")
        os.truncate(data, DISK // 2)
        host.setup("secondary", minor)
        host.setup("detach", minor)
        host.apply_al(meta, "flex-external")
        self.refused(host, 111, "attach", minor, data, meta, "flexible")
        os.truncate(data, DISK)
        os.truncate(meta, 16 << 10)
        self.refused(host, 112, "attach", minor, data, meta, "flexible")

    def test_files_are_no_block_devices(self):
        host = self.host()
        host.environment["LOCKSTEP_ENGINE_OPTIONS"] = (
            host.environment["LOCKSTEP_ENGINE_OPTIONS"].replace("--files", ""))
        host.create()
        path = host.new_disk()
        self.refused(host, 107, "attach", host.minor(), path, path, "internal")
        loop = self.loop_device(path)
        self.refused(host, 108, "attach", host.minor(), loop, path, "flexible")

    def test_metadata_that_can_not_be_read_is_refused(self):
        host = self.host()
        host.create()
        disk = FailingDisk(self.directory, "failing")
        host.disks.append(disk)
        host.create_md(disk.path)
        disk.fail()
        self.refused(host, 118, "attach", host.minor(), disk.path, disk.path, "internal")

    def test_a_disk_of_a_crashed_primary_needs_its_activity_log_applied(self):
        host = self.lone()
        host.setup("primary", host.minor(), "--force")
        os.kill(host.pids("lockstep-engine")[0], signal.SIGKILL)
        until(lambda: not host.processes(), "the end of the keeper")
        host.create()
        path = f"{host.directory}/disk0"
        self.refused(host, 165, "attach", host.minor(), path, path, "internal")

    def test_options_that_do_not_go_together_are_refused(self):
        host = self.host()
        host.create()
        beta = self.host("beta")
        connect = ("connect", "r0", host.address, beta.address)
        self.refused(host, 120, *connect, "--cram-hmac-alg=rot13")
        self.refused(host, 121, *connect, "--cram-hmac-alg=crc32c")
        self.refused(host, 141, *connect, "--data-integrity-alg=rot13")
        self.refused(host, 144, *connect, "--csums-alg=rot13")
        self.refused(host, 146, *connect, "--verify-alg=rot13")
        self.refused(host, 139, *connect, "--protocol=B", "--allow-two-primaries")
        self.refused(host, 155, *connect, "--protocol=C", "--on-congestion=pull-ahead")
        self.refused(host, 143, "resource-options", "r0", "--cpu-mask=xyz")
        host.attach(host.new_disk(), "--fencing=resource-and-stonith")
        self.refused(host, 154, *connect, "--protocol=A")
        self.refused(host, 133, "disk-options", host.minor(), f"--resync-after={host.minor()}")

    def test_a_lone_node_refuses_what_needs_data_or_a_peer(self):
        host = self.lone()
        minor = host.minor()
        self.refused(host, -2, "primary", minor, object_name=minor)
        self.refused(host, -16, "outdate", minor, object_name=minor)
        self.refused(host, 135, "resume-sync", minor)
        host.setup("pause-sync", minor)
        self.refused(host, 134, "pause-sync", minor)
        host.setup("primary", minor, "--force")
        self.refused(host, 123, "connect", "r0", host.address, self.host("beta").address,
                     "--discard-my-data")
        client = host.nbd()
        self.assertEqual(client.write(0, b"x" * 4096), 0)
        self.refused(host, -12, "secondary", minor)
        self.refused(host, -12, "down", "r0")
        client.close()
        until(lambda: host.run("secondary", minor).returncode == 0, "the client to be gone")
        host.setup("detach", minor)
        self.refused(host, 138, "resize", minor)
        self.refused(host, 138, "new-current-uuid", minor)
        self.refused(host, -16, "outdate", minor)

    def test_a_pair_refuses_what_its_states_do_not_allow(self):
        pair = self.pair_in_sync()
        alpha, beta = pair.alpha, pair.beta
        minor = alpha.minor()
        self.refused(alpha, 131, "resize", minor)
        self.refused(alpha, -14, "verify", minor)
        beta.setup("primary", beta.minor())
        self.refused(alpha, -1, "primary", minor)
        beta.setup("secondary", beta.minor())
        beta.setup("detach", beta.minor())
        alpha.wait_for("Connected", "UpToDate/Diskless")
        self.refused(alpha, -5, "invalidate-remote", minor)
        self.refused(beta, 138, "invalidate", beta.minor())

    def test_a_running_sync_keeps_what_it_uses(self):
        pair = self.pair(disk=("--c-plan-ahead=0", "--resync-rate=250k", "--c-min-rate=0"))
        alpha, beta = pair.alpha, pair.beta
        alpha.setup("primary", alpha.minor(), "--force")
        beta.wait_for("SyncTarget")
        options = ("net-options", alpha.address, beta.address)
        self.refused(alpha, 130, "resize", alpha.minor())
        self.refused(alpha, 148, *options, "--csums-alg=sha1")
        alpha.setup(*options, "--verify-alg=sha1")
        self.refused(alpha, -8, "verify", alpha.minor())
        beta.setup("pause-sync", beta.minor())
        until(lambda: alpha.state()[0] == "PausedSyncS", "the pause to arrive")
        self.refused(alpha, 157, "resume-sync", alpha.minor())

    def test_a_running_verify_keeps_its_algorithm(self):
        pair = self.pair_in_sync("--verify-alg=sha1",
                                 disk=("--c-plan-ahead=0", "--resync-rate=250k"))
        alpha = pair.alpha
        alpha.setup("verify", alpha.minor())
        self.refused(alpha, 149, "net-options", alpha.address, pair.beta.address,
                     "--verify-alg=crc32c")

    def test_two_primaries_stay_allowed_while_there_are_two(self):
        pair = self.pair_in_sync("--allow-two-primaries")
        for host in (pair.alpha, pair.beta):
            host.setup("primary", host.minor())
        self.refused(pair.alpha, 164, "net-options", pair.alpha.address, pair.beta.address,
                     "--allow-two-primaries=no")

    def test_a_primary_takes_back_only_the_data_that_it_lost(self):
        pair = self.pair_in_sync()
        alpha, beta = pair.alpha, pair.beta
        alpha.setup("primary", alpha.minor())
        alpha.setup("detach", alpha.minor())
        os.kill(beta.pids("lockstep-engine")[0], signal.SIGKILL)
        alpha.wait_for("WFConnection")
        os.unlink(f"{alpha.directory}/disk0")
        path = alpha.new_disk()
        self.refused(alpha, 150, "attach", alpha.minor(), path, path, "internal")

    def test_a_peer_that_is_not_outdated_stands_against_a_promotion(self):
        script = f"{self.directory}/drbdadm"
        with open(script, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\nexit 1\n")
        os.chmod(script, 0o700)
        host = self.host(options=(f"--helper={script}",))
        host.create()
        host.attach(host.new_disk())
        host.setup("primary", host.minor(), "--force")
        host.setup("secondary", host.minor())
        host.setup("disk-options", host.minor(), "--fencing=resource-only")
        host.connect(self.host("beta"), "--protocol=C")
        self.refused(host, -7, "primary", host.minor())

    def test_the_peer_has_a_say(self):
        pair = self.pair_in_sync()
        alpha, beta = pair.alpha, pair.beta
        for host in (alpha, beta):
            host.setup("disk-options", host.minor(), "--fencing=resource-only")
        beta.setup("primary", beta.minor())
        beta.setup("detach", beta.minor())
        alpha.wait_for("Connected", "UpToDate/Diskless")
        done = alpha.run("detach", alpha.minor())
        self.assertIn(done.returncode, (11, 17), done.stdout)
        if "(-10)" in done.stdout:
            self.seen.add(-10)
        self.assertIn("hint: ", done.stdout)

    def test_who_is_not_root_is_refused(self):
        host = self.lone()
        for path in (self.directory, host.directory):
            os.chmod(path, 0o755)
        words = ["--reuid=65534", "--regid=65534", "--clear-groups", DRBDSETUP, "primary",
                 host.minor()]
        self.refused(host, 152, *words, program="setpriv")

    def test_zz_every_number_is_provoked_or_said_to_be_out_of_reach(self):
        numbers = set(range(102, 177)) | set(range(-28, 0))
        self.assertEqual(numbers - self.seen - set(UNREACHABLE), set())
        self.assertEqual(self.seen & set(UNREACHABLE), set())


class FailingDisk(FrozenDisk):
    """A disk whose reads fail after fail()."""

    filters = ("--filter=error",)

    def __init__(self, directory, name):
        self.mark = f"{directory}/{name}.fails"
        super().__init__(directory, name,
                         more=("error=EIO", "error-pread-rate=100%",
                               f"error-pread-file={self.mark}"))

    def fail(self):
        with open(self.mark, "wb"):
            pass


if __name__ == "__main__":
    main()
