"""The first session of an administrator of DRBD 8.3, as he typed it: his configuration, his disk of
20 970 496 KiB, his mistakes, in his order. Each scenario begins where the one before it ended.

    walkthrough_scenarios.py STAGE     prints TAP

Left out of his disk is only the wait: a full sync of 20 GiB is watched in its first seconds, then
the pair is made new with the bitmap cleared.
"""

import functools
import re
import subprocess
import sys

from nodes import Cluster, Failed, main, run_scenarios, until
from pair import ended, expect

DISK = 20970496 << 10
USABLE_KIB = 20969820
DEVICE_BLOCKS = 5242455
NAMES = ("xen-debian1", "xen-debian2")
ADDRESSES = ("192.168.152.91", "192.168.152.92")

GLOBAL_COMMON = """global {
	usage-count yes;
	# minor-count dialog-refresh disable-ip-verification
}

common {
	protocol C;

	handlers {
		# fence-peer "/usr/lib/drbd/crm-fence-peer.sh";
		# split-brain "/usr/lib/drbd/notify-split-brain.sh root";
	}

	startup {
		# wfc-timeout degr-wfc-timeout outdated-wfc-timeout wait-after-sb
	}

	disk {
		# on-io-error fencing use-bmbv no-disk-barrier no-disk-flushes
		# no-disk-drain no-md-flushes max-bio-bvecs
	}

	net {
		# sndbuf-size rcvbuf-size timeout connect-int ping-int ping-timeout max-buffers
	}

	syncer {
		# rate after al-extents use-rle cpu-mask verify-alg csums-alg
	}
}
"""

RESOURCE = f"""resource drbd0 {{
	protocol C;
	meta-disk internal;

	on {NAMES[1]} {{
		device /dev/drbd0;
		disk /dev/sdb1;
		address {ADDRESSES[1]}:7789;
	}}
	on {NAMES[0]} {{
		device /dev/drbd0;
		disk /dev/sdb1;
		address {ADDRESSES[0]}:7789;
 }}
	disk {{
		on-io-error pass_on;
	}}
%s}}
"""

# What drbdadm of 8.3.11 printed there, without its line about the survey.
DUMP_83 = """common {
    protocol               C;
}

# resource drbd0 on xen-debian1: not ignored, not stacked
resource drbd0 {
    protocol               C;
    on xen-debian2 {
        device           /dev/drbd0 minor 0;
        disk             /dev/sdb1;
        address          ipv4 192.168.152.92:7789;
        meta-disk        internal;
    }
    on xen-debian1 {
        device           /dev/drbd0 minor 0;
        disk             /dev/sdb1;
        address          ipv4 192.168.152.91:7789;
        meta-disk        internal;
    }
    disk {
        on-io-error      pass_on;
    }
    syncer {
        rate             50M;
    }
}
"""


class Session:
    """`primary` is xen-debian1, where he works; `secondary` is the other."""

    def __init__(self, cluster):
        self.broken = False
        self.primary, self.secondary = (cluster.node(name) for name in NAMES)
        for node, address in zip(self.both, ADDRESSES):
            node.add_disk("sdb1", DISK)
            node.start()
            node.run("ip", "addr", "add", f"{address}/24", "dev", "eth0")

    @property
    def both(self):
        return self.primary, self.secondary

    def configure(self, more=""):
        for node in self.both:
            node.write("/etc/drbd.d/global_common.conf", GLOBAL_COMMON)
            node.write("/etc/drbd.d/drbd0.res", RESOURCE % more)

    def wait_for(self, connection, disks):
        for node in self.both:
            node.wait_for(connection, disks, "drbd0")


def device_lines(node, minor=0):
    """The lines of /proc/drbd for one device: state, counters and, in a sync, two of progress."""
    lines = node.run("drbdsetup", "proc").splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith(f"{minor:2}: "))
    end = next((number for number in range(at + 1, len(lines)) if not lines[number][:2].isspace()
                and not lines[number].startswith("\t")), len(lines))
    return lines[at:end]


def counter(node, name):
    return int(re.search(rf"\b{name}:(\d+)", device_lines(node)[1]).group(1))


def matches(pattern, text):
    expect(re.fullmatch(pattern, text), f"{text!r} is not {pattern!r}")


# --- before anything is configured ---

def proc_without_a_resource_is_two_lines(session):
    for node in session.both:
        lines = node.run("drbdsetup", "proc").splitlines()
        expect(len(lines) == 2, f"{lines}")
        matches(r"version: 8\.\d+\.\d+ \(api:\d+/proto:86-101\)", lines[0])
        matches(r"srcversion: [0-9A-F]{24} ?", lines[1])


def dstate_without_a_resource_says_so(session):
    ended(session.primary.try_run("drbdadm", "dstate", NAMES[0]), 1, "no resources defined!")


def the_engine_starts_before_any_configuration_exists(session):
    node = session.primary
    node.run("drbdsetup", "new-resource", "trial")
    expect("trial" in node.run("drbdsetup", "status"), "the engine is not there")
    node.run("drbdsetup", "down", "trial")


def the_shipped_files_have_one_option_a_line(session):
    text = session.primary.run("grep", "protocol", "/etc/drbd.d/global_common.conf")
    matches(r"\s*#?\s*protocol\s+C;\n", text)
    session.primary.run("drbdadm", "-c", "/usr/share/doc/lockstep/examples/drbd.conf.example",
                        "-d", "dump")


# --- the configuration, and the first attempts without metadata ---

def his_configuration_is_read(session):
    session.configure()
    for node in session.both:
        dump = node.run("drbdadm", "dump")
        expect(len(re.findall(r"protocol +C;\n", dump)) == 2, f"protocol is not at both levels:\n{dump}")
        expect(dump.count("meta-disk        internal;") == 2, f"meta-disk:\n{dump}")
    comments = session.primary.run("grep", "-A", "3", "[ \t]*disk ",
                                   "/etc/drbd.d/global_common.conf")
    expect("on-io-error fencing use-bmbv" in comments, comments)


def starting_without_metadata_says_what_to_do(session):
    for node in session.both:
        done = node.try_run("drbdadm", "up", "drbd0")
        expect(done.returncode != 0, "it came up")
        for each in ("No valid meta data found", "drbdadm create-md"):
            expect(each in done.stdout, f"{each!r} is not in:\n{done.stdout}")
        done = node.try_run("drbdsetup", "0", "disk", "/dev/sdb1", "/dev/sdb1", "internal",
                            "--set-defaults", "--create-device", "--on-io-error=pass_on")
        ended(done, 10, "0: Failure: (119) No valid meta-data signature found.",
              "==> Use 'drbdadm create-md res' to initialize meta-data area. <==")
        expect(device_lines(node)[0] == " 0: cs:Unconfigured", str(device_lines(node)))
        done = node.try_run("drbdadm", "check-resize", "drbd0")
        expect("no suitable meta data found :(" in done.stdout, done.stdout)
        node.run("drbdadm", "down", "drbd0")


def the_init_script_shows_each_step_and_goes_on(session):
    # At once: each waits for the other.
    started = [subprocess.Popen(node.command("/etc/init.d/drbd", "start"), text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT) for node in session.both]
    for node, process in zip(session.both, started):
        said = process.communicate(timeout=60)[0]
        expect(process.returncode == 1, f"exit {process.returncode}\n{said}")
        matches(r"(?s)Starting DRBD resources:\[ .*d\(drbd0\).*n\(drbd0\) \]\n\.*", said)
        for each in ("(119) No valid meta-data signature found.", "[drbd0] cmd ",
                     "failed - continuing!"):
            expect(each in said, f"{each!r} is not in:\n{said}")
    for node in session.both:
        node.run("/etc/init.d/drbd", "stop")
        ended(node.try_run("/etc/init.d/drbd", "status"), 3, "drbd not loaded")


def create_md_says_what_it_does(session):
    for node in session.both:
        node.shell("dd if=/dev/zero bs=1M count=1 of=/dev/sdb1 conv=fsync status=none")
        done = node.run("drbdadm", "create-md", "drbd0")
        for each in ("Writing meta data...", "initializing activity log",
                     "New drbd meta data block successfully created."):
            expect(each in done, f"{each!r} is not in:\n{done}")
        size = int(node.run("drbdadm", "dump-md", "drbd0").split("la-size-sect")[1].split(";")[0])
        expect(size == 0, f"a device that was never attached has a size: {size}")


# --- by drbdsetup of 8.3, with a word and the ports forgotten ---

def a_forgotten_word_is_named(session):
    for node in session.both:
        done = node.try_run("drbdsetup", "/dev/drbd0", "disk", "/dev/sdb1", "internal", "-1")
        expect(done.returncode != 0, "it was accepted")
        for each in ("Can not open device 'internal': No such file or directory",
                     "the data device, the metadata device"):
            expect(each in done.stdout, f"{each!r} is not in:\n{done.stdout}")
        node.run("drbdsetup", "/dev/drbd0", "disk", "/dev/sdb1", "/dev/sdb1", "internal")


def without_ports_both_take_7788(session):
    for node, mine, other in ((session.secondary, 1, 0), (session.primary, 0, 1)):
        node.run("drbdsetup", "/dev/drbd0", "net", ADDRESSES[mine], ADDRESSES[other], "C")
        show = node.run("drbdsetup", "show", "drbd0")
        for address in ADDRESSES:
            expect(f"ipv4 {address}:7788" in show, f"{address}:7788 is not in:\n{show}")
    session.wait_for("Connected", "Inconsistent/Inconsistent")


def a_second_connection_of_the_same_addresses_is_refused(session):
    node = session.primary
    node.run("drbdsetup", "new-resource", "other")
    done = node.try_run("drbdsetup", "connect", "other", ADDRESSES[0], ADDRESSES[1])
    ended(done, 10, "(102) Local address(port) already in use.")
    node.run("drbdsetup", "down", "other")


def nodes_and_links_of_the_device_are_there(session):
    for node in session.both:
        kind = node.run("stat", "-c", "%F %t:%T", "/dev/drbd0").strip()
        expect(kind == "block special file 93:0", f"/dev/drbd0 is {kind}")
        links = sorted(node.run("find", "/dev/drbd", "/dev/drbd0", "-print").split())
        expect(links == ["/dev/drbd", "/dev/drbd/by-disk", "/dev/drbd/by-disk/sdb1",
                         "/dev/drbd/by-res", "/dev/drbd/by-res/drbd0", "/dev/drbd0"],
               f"found {links}")


def both_are_connected_and_inconsistent(session):
    for node in session.both:
        lines = device_lines(node)
        expect(lines[0] == " 0: cs:Connected ro:Secondary/Secondary ds:Inconsistent/Inconsistent "
               "C r-----", lines[0])
        matches(r"    ns:0 nr:0 dw:0 dr:0 al:\d+ bm:\d+ lo:0 pe:0 ua:0 ap:0 ep:1 wo:[fdb] "
                rf"oos:{USABLE_KIB}", lines[1])


# --- the first sync ---

def the_first_sync_is_shown_on_both_sides(session):
    session.primary.run("drbdadm", "--", "--overwrite-data-of-peer", "primary", "drbd0")
    progress = (r"\t\[[=>.]{21}\] sync'ed:\s+\d+\.\d% \(\d+/20476\)M",
                r"\tfinish: \d+:\d\d:\d\d speed: [\d,]+ \([\d,]+\)")
    until(lambda: counter(session.primary, "ns") > 4096, "some of the sync")
    lines = device_lines(session.primary)
    matches(" 0: cs:SyncSource ro:Primary/Secondary ds:UpToDate/Inconsistent C r---[-n]-", lines[0])
    matches(progress[0], lines[2])
    matches(progress[1] + " K/sec", lines[3])
    out_of_sync = int(re.search(r"oos:(\d+)", lines[1]).group(1))
    expect(0 < out_of_sync < USABLE_KIB, lines[1])
    lines = device_lines(session.secondary)
    matches(" 0: cs:SyncTarget ro:Secondary/Primary ds:Inconsistent/UpToDate C r---[-n]-", lines[0])
    matches(progress[0], lines[2])
    matches(progress[1] + r" want: [\d,]+ K/sec", lines[3])


def a_fixed_rate_is_what_the_target_wants(session):
    session.secondary.run("drbdsetup", "/dev/drbd0", "syncer", "--rate=250", "--c-plan-ahead=0")
    until(lambda: " want: 250 K/sec" in device_lines(session.secondary)[-1], "want: 250 K/sec")


def the_init_script_has_a_table_of_the_devices(session):
    lines = session.secondary.run("/etc/init.d/drbd", "status").splitlines()
    expect(lines[0] == "drbd driver loaded OK; device status:", f"{lines}")
    expect(lines[1].startswith("version: ") and lines[2].startswith("srcversion: "), f"{lines}")
    expect(lines[3].split() == "m:res cs ro ds p mounted fstype".split(), lines[3])
    matches(r"0:drbd0 +SyncTarget +Secondary/Primary +Inconsistent/UpToDate +C *", lines[4])
    matches(r"\.\.\. +sync'ed: +\d+\.\d% +\(\d+/20476\)M +finish: +\S+ +[\d,]+ +\([\d,]+\) +"
            r"want: +250 +K/sec", lines[5])
    columns = [lines[3].index(word) for word in ("cs", "ro", "ds")]
    expect([lines[4].index(word) for word in ("SyncTarget", "Secondary", "Inconsistent")]
           == columns, "\n".join(lines))


def the_rest_of_the_sync_is_left_out(session):
    for node in session.both:
        node.run("drbdsetup", "/dev/drbd0", "disconnect")
    session.primary.run("drbdsetup", "/dev/drbd0", "secondary")
    for node in session.both:
        node.run("drbdsetup", "/dev/drbd0", "down")
        ended(node.try_run("drbdadm", "create-md", "drbd0"), 1, "Operation cancelled.")
        node.run("drbdadm", "--", "--force", "create-md", "drbd0")
        node.run("drbdadm", "up", "drbd0")
    session.wait_for("Connected", "Inconsistent/Inconsistent")
    session.primary.run("drbdadm", "--", "--clear-bitmap", "new-current-uuid", "drbd0")
    session.wait_for("Connected", "UpToDate/UpToDate")


# --- a filesystem, and the two nodes exchange their roles ---

def the_filesystem_has_his_number_of_blocks(session):
    node = session.primary
    node.run("drbdadm", "primary", "drbd0")
    made = node.run("mke2fs", "-j", "-b", "4096", "/dev/drbd0", seconds=300)
    expect(f" {DEVICE_BLOCKS} blocks" in made or f"with {DEVICE_BLOCKS} 4k blocks" in made, made)
    node.shell("mkdir -p /media/drbd0; mount -t ext3 /dev/drbd0 /media/drbd0")
    node.run("touch", "/media/drbd0/test")
    done = node.try_run("drbdadm", "secondary", "drbd0")
    ended(done, 11, "State change failed: (-12) Device is held open by someone")
    refused = session.secondary.try_run("bash", "-c", "mkdir -p /media/drbd0; "
                                        "mount -t ext3 /dev/drbd0 /media/drbd0")
    expect(refused.returncode != 0, "a Secondary's device could be mounted")
    node.run("umount", "/media/drbd0")


def a_mistyped_resource_is_not_mistaken_for_success(session):
    ended(session.primary.try_run("drbdadm", "secondary", "dbdb0"), 1,
          "'dbdb0' not defined in your config")
    expect(session.primary.state("drbd0")[1] == "Primary/Secondary", "it was demoted")


def the_file_is_on_the_other_node(session):
    ended(session.secondary.try_run("drbdadm", "primary", "drbd0"), 11, "(-1)")
    session.primary.run("drbdadm", "secondary", "drbd0")
    session.primary, session.secondary = session.secondary, session.primary
    node = session.primary
    node.run("drbdadm", "primary", "drbd0")
    node.run("mount", "-t", "ext3", "/dev/drbd0", "/media/drbd0")
    expect(node.run("ls", "/media/drbd0").split() == ["lost+found", "test"],
           node.run("ls", "/media/drbd0"))


def the_backing_disk_can_be_read_and_small_writes_work(session):
    node = session.primary
    node.run("dd", "if=/dev/sdb1", "of=/dev/null", "bs=1M", "count=64", "status=none")
    node.shell("for n in `seq 1 20`; do dd if=/dev/zero bs=512 count=100 of=/media/drbd0/write "
               "status=none; done; sync -f /media/drbd0")


# --- the rate is changed, and everything looked at ---

def the_rate_is_taken_over_from_the_file(session):
    session.configure("\tsyncer {\n\t\trate 50M;\n\t}\n")
    for node in session.both:
        if node is session.secondary:
            node.run("/etc/init.d/drbd", "restart")
            session.wait_for("Connected", "UpToDate/UpToDate")
        expect("rate 50M;" in node.run("grep", "-A", "2", "syncer", "/etc/drbd.d/drbd0.res"), "")
        node.run("drbdadm", "adjust", "drbd0")
        expect("resync-rate" in node.run("drbdsetup", "show", "drbd0")
               and "51200k" in node.run("drbdsetup", "show", "drbd0"),
               node.run("drbdsetup", "show", "drbd0"))
        again = node.run("drbdadm", "adjust", "drbd0")
        expect(again == "", f"a second adjust does something:\n{again}")


def one_word_tells_the_state(session):
    expect(session.primary.run("drbdadm", "dstate", "drbd0") == "UpToDate/UpToDate\n", "dstate")
    expect(session.primary.run("drbdadm", "cstate", "drbd0") == "Connected\n", "cstate")
    for node, roles in ((session.primary, "Primary/Secondary"),
                        (session.secondary, "Secondary/Primary")):
        ended(node.try_run("drbdadm", "state", "drbd0"), 0, roles,
              "'drbdadm state' is deprecated, use 'drbdadm role' instead.")


def the_identifiers_differ_in_the_lowest_bit_only(session):
    values = []
    for node, flags in ((session.primary, "1:1:1:1:0:0:0"), (session.secondary, "1:1:0:1:0:0:0")):
        drawing = node.run("drbdadm", "show-gi", "drbd0")
        expect("       +--<  Current data generation UUID  >-\n" in drawing, drawing)
        found = re.search(r"^([0-9A-F]{16}):0{16}:([0-9A-F]{16}):([0-9A-F]{16}):(.*)$", drawing,
                          re.M)
        expect(found and found.group(4) == flags, drawing)
        role = "Primary" if node is session.primary else "Secondary"
        expect(f"flags: {role}, Connected, UpToDate\n" in drawing, drawing)
        values.append([int(found.group(number), 16) for number in (1, 2, 3)])
        expect(node.run("drbdadm", "get-gi", "drbd0").strip() == found.group(0), "get-gi")
    expect(values[0][0] == values[1][0] | 1 and values[1][0] & 1 == 0, f"{values}")
    # The older ones were current once: each node keeps what its role made of the lowest bit then.
    expect([each | 1 for each in values[0]] == [each | 1 for each in values[1]], f"{values}")


def dump_prints_his_configuration_in_his_layout(session):
    node = session.primary if session.primary.name == NAMES[0] else session.secondary
    node.run("ln", "-sf", "/usr/sbin/drbdadm", "/tmp/drbdadm-83")
    dump = node.run("/tmp/drbdadm-83", "dump")
    expect(dump.startswith("# /etc/drbd.conf\n"), dump)
    expect(dump[dump.index("common {"):].rstrip() == DUMP_83.rstrip(), dump)
    modern = node.run("drbdadm", "dump", "drbd0")
    expect("resync-rate" in modern and "50M" in modern, modern)


def a_write_is_counted_on_the_secondary(session):
    node = session.secondary
    before = counter(node, "nr"), counter(node, "dw")
    session.primary.run("dd", "if=/dev/zero", "of=/media/drbd0/test", "bs=512", "count=100000",
                        "conv=fsync", "status=none")
    received, written = (counter(node, each) - old for each, old in zip(("nr", "dw"), before))
    expect(received >= 50000, f"nr grew by {received} KiB")
    expect(written == received, f"nr grew by {received}, dw by {written}")
    expect(counter(node, "oos") == 0, str(device_lines(node)))
    lines = device_lines(node)
    expect(lines[0] == " 0: cs:Connected ro:Secondary/Primary ds:UpToDate/UpToDate C r-----",
           lines[0])
    session.primary.run("umount", "/media/drbd0")


def everything_stops(session):
    for node in session.both:
        node.run("drbdadm", "down", "all")
        expect(len(node.run("drbdsetup", "proc").splitlines()) == 2, node.run("drbdsetup", "proc"))
        node.run("drbdadm", "down", "all")


SCENARIOS = [
    proc_without_a_resource_is_two_lines, dstate_without_a_resource_says_so,
    the_engine_starts_before_any_configuration_exists, the_shipped_files_have_one_option_a_line,
    his_configuration_is_read, starting_without_metadata_says_what_to_do,
    the_init_script_shows_each_step_and_goes_on, create_md_says_what_it_does,
    a_forgotten_word_is_named, without_ports_both_take_7788,
    a_second_connection_of_the_same_addresses_is_refused,
    nodes_and_links_of_the_device_are_there, both_are_connected_and_inconsistent,
    the_first_sync_is_shown_on_both_sides, a_fixed_rate_is_what_the_target_wants,
    the_init_script_has_a_table_of_the_devices,
    the_rest_of_the_sync_is_left_out, the_filesystem_has_his_number_of_blocks,
    a_mistyped_resource_is_not_mistaken_for_success, the_file_is_on_the_other_node,
    the_backing_disk_can_be_read_and_small_writes_work, the_rate_is_taken_over_from_the_file,
    one_word_tells_the_state, the_identifiers_differ_in_the_lowest_bit_only,
    dump_prints_his_configuration_in_his_layout, a_write_is_counted_on_the_secondary,
    everything_stops,
]


def in_order(scenario):
    """The same, but only if everything before it went well."""
    @functools.wraps(scenario)
    def step(session):
        expect(not session.broken, "an earlier part of the session failed")
        session.broken = True
        scenario(session)
        session.broken = False
    return step


def walk():
    with Cluster("walkthrough", sys.argv[1]) as cluster:
        return 1 if run_scenarios([in_order(each) for each in SCENARIOS], Session(cluster)) else 0


if __name__ == "__main__":
    main(walk)
