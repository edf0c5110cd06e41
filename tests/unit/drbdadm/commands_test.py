#!/usr/bin/env python3
"""What each command, option and variable of drbdadm does, over a recording drbdsetup and drbdmeta.

usage: commands_test.py DRBDADM [NAME...]
"""
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

from bench import RECORDER, SHOW, equal, run_tests, within

RESOURCE = """resource %(name)s {
  on alpha { address 10.0.%(number)d.1:1; device minor %(number)d; disk /dev/x%(number)d;
    meta-disk internal; }
  on beta { address 10.0.%(number)d.2:1; device minor %(number)d; disk /dev/x%(number)d;
    meta-disk internal; }
}
"""


PROXIED = """global { disable-ip-verification; }
resource r { device minor 1; disk /dev/s; meta-disk internal;
  proxy { memlimit 5M; plugin { zlib level 9; } }
  on alpha { address 10.0.0.1:1;
    proxy on alpha { inside 127.0.0.1:7790; outside 10.2.0.1:7791; } }
  on beta { address 10.0.0.2:1;
    proxy on pb { inside 127.0.0.2:7792; outside 10.2.0.2:7793; } }
}
"""


def resource(name, number):
    return RESOURCE % {"name": name, "number": number}


# --- options ---

def a_file_may_be_named_added_and_left_out(bench):
    bench.config = bench.write("other.conf", 'global { disable-ip-verification; }\n'
                               'include "a.res";\ninclude "b.res";\n')
    a = bench.write("a.res", resource("a", 1))
    bench.write("b.res", resource("b", 2))
    equal(bench.run("sh-resources").stdout, "a b\n")
    changed = bench.write("changed.res", resource("a", 1) + resource("c", 3))
    second = bench.write("second.res", resource("d", 4))
    done = bench.run("-t", changed, "-t", second, "sh-nop")
    equal(done.returncode, 10)
    within("conflicting use of resource section 'a'", done.stderr)
    equal(bench.run("-E", a, "-t", changed, "-t", second, "sh-nop").returncode, 0)
    dumped = bench.run("--config-to-exclude", a, "--config-to-test", changed, "dump", "c")
    equal((dumped.returncode, "resource c {" in dumped.stdout), (0, True))
    equal(bench.run("-E", a, "sh-resources").stdout, "b\n")
    equal(bench.run("-t", changed, "up", "a").returncode, 1)


def backends_may_be_named(bench):
    for name in ("setup-x", "meta-x"):
        os.symlink("/bin/true", os.path.join(bench.path, name))
    setup, meta = (os.path.join(bench.path, name) for name in ("setup-x", "meta-x"))
    lines = bench.run("-d", "-s", setup, "-m", meta, "up", "r0").stdout.splitlines()
    equal([line.split()[0] for line in lines], [setup, setup, meta, setup, setup])
    proxy = os.path.join(bench.path, "proxy-x")
    os.symlink("/bin/true", proxy)
    bench.config = bench.write("proxied.conf", PROXIED)
    equal(bench.run("-d", "-p", proxy, "proxy-down", "r").stdout,
          f"{proxy} -c del\\ connection\\ r-pb-alpha\n")
    done = bench.run("-s", "/nonexistent/drbdsetup", "up", "r0")
    equal(done.returncode, 20)
    within("Can not find command '/nonexistent/drbdsetup'", done.stderr)


def each_line_can_be_preceded_by_a_variable(bench):
    done = bench.run("-d", "-n", "RES", "secondary", "all")
    script = 'drbdsetup() { echo "$RES $*"; }; eval "$1"'
    lines = done.stdout.replace(os.path.join(bench.path, "drbdsetup"), "drbdsetup")
    evaluated = subprocess.run(["/bin/sh", "-c", script, "sh", lines], text=True,
                               stdout=subprocess.PIPE, check=True)
    equal(evaluated.stdout, "r0 secondary 0\nr1 secondary 10\nr1 secondary 11\n")
    refused = bench.run("-d", "-n", "a;b", "secondary", "r0")
    within("suspect characters", refused.stderr)
    equal(refused.stdout.count("\n"), 1)


def an_option_for_the_backend_can_be_handed_on(bench):
    bench.run("-W", "--force", "primary", "r0")
    bench.run("--setup-option=--statistics", "status", "r0")
    equal(bench.calls(), ["drbdsetup primary 0 --force", "drbdsetup status r0 --statistics"])


def a_stacked_resource_is_for_stacked_mode(bench):
    bench.config = bench.write("stacked.conf", "global { disable-ip-verification; }\n"
                               + resource("low", 1) + """resource up {
  stacked-on-top-of low { device minor 10; address 10.9.0.1:1; }
  on far { device minor 10; disk /dev/f; meta-disk internal; address 10.9.0.2:1; } }
""")
    equal(bench.run("-S", "attach", "up").returncode, 0)
    equal(bench.calls()[-1], "drbdsetup attach 10 /dev/drbd1 /dev/drbd1 internal")
    equal(bench.run("-S", "sh-lr-of", "up").stdout, "low\n")
    equal(bench.run("-S", "sh-resources").stdout, "up\n")
    equal(bench.run("sh-resources").stdout, "low\n")
    done = bench.run("attach", "up")
    equal(done.returncode, 1)
    within("'up' is a stacked resource, and not available in normal mode", done.stderr)


def one_of_several_peers_is_chosen(bench):
    hosts = "".join(f"on {name} {{ address 10.0.0.{number}:1; }}\n"
                    for number, name in enumerate(("alpha", "beta", "gamma"), 1))
    bench.config = bench.write("three.conf", "global { disable-ip-verification; }\nresource r {"
                               " device minor 1; disk /dev/s; meta-disk internal;\n" + hosts + "}")
    done = bench.run("connect", "r")
    equal(done.returncode, 20)
    within("Use the --peer option", done.stderr)
    equal(bench.run("--peer=gamma", "connect", "r").returncode, 0)
    equal(bench.calls(), ["drbdsetup connect r ipv4:10.0.0.1:1 ipv4:10.0.0.3:1"])


# --- variables ---

def another_host_can_be_pretended(bench):
    bench.env["__DRBD_NODE__"] = "beta"
    done = bench.run("sh-ip", "r0")
    equal((done.returncode, done.stdout), (0, "10.0.0.2\n"))
    within("found __DRBD_NODE__ in environment\n   PRETENDING that I am >>beta<<", done.stderr)


def a_driver_version_can_be_pretended(bench):
    bench.env["DRBD_DRIVER_VERSION_OVERRIDE"] = "9.1.7"
    version = bench.run("-V").stdout
    within("DRBD_KERNEL_VERSION_CODE=0x090107\nDRBD_KERNEL_VERSION=9.1.7\n", version)
    within("DRBDADM_VERSION_CODE=0x08040b\nDRBDADM_VERSION=8.4.11\n", version)
    asking = bench.write("asking.conf", "require-drbd-module-version-ge 9.0.0;\n"
                         + resource("a", 1))
    bench.config = asking
    equal(bench.run("sh-nop").returncode, 0)
    del bench.env["DRBD_DRIVER_VERSION_OVERRIDE"]
    done = bench.run("sh-nop")
    equal(done.returncode, 10)
    within("asking.conf:1: this configuration requires a driver version ge 9.0.0, and this one is "
           "8.4.11", done.stderr)
    bench.env["DRBD_DRIVER_VERSION_OVERRIDE"] = "new"
    done = bench.run("sh-nop")
    equal(done.returncode, 1)
    within("'new' is no version", done.stderr)


def adjust_can_be_shown_a_state(bench):
    bench.env["FAKE_DRBDSETUP_SHOW"] = bench.write(
        "show.txt", SHOW % {"net": "timeout 80;", "peer": "10.0.0.2:7789", "disk": ""})
    equal(bench.run("adjust", "r0").returncode, 0)
    equal(bench.calls(), ["drbdsetup net-options ipv4:10.0.0.1:7789 ipv4:10.0.0.2:7789 "
                          "--set-defaults"])
    bench.env["FAKE_DRBDSETUP_SHOW"] = "/nonexistent"
    done = bench.run("adjust", "r0")
    equal(done.returncode, 20)
    within("FAKE_DRBDSETUP_SHOW: can not read '/nonexistent'", done.stderr)


def a_driver_of_8_3_is_called_as_8_3_was(bench):
    bench.env["DRBD_DRIVER_VERSION_OVERRIDE"] = "8.3.11"
    bench.configure("protocol C;")
    equal(bench.run("up", "r0").returncode, 0)
    equal([call.split()[1:3] for call in bench.calls()],
          [["0", "disk"], ["0", "syncer"], ["0", "net"]])


def a_driver_of_8_4_takes_what_it_is_called_with(bench):
    """The in-kernel driver's own drbdsetup reads each line, and misses the driver only."""
    original = "/lib/drbd/drbdsetup-84"
    if not os.access(original, os.X_OK):
        raise AssertionError("drbd-utils is not installed")
    bench.configure("net { timeout 80; verify-alg crc32c; } disk { c-max-rate 1M; }")
    for words in (("up", "r0"), ("adjust", "r0"), ("primary", "--force", "r0"), ("down", "r0")):
        lines = bench.run("-d", "-s", original, *words).stdout.splitlines()
        calls = [line for line in lines if line.startswith(original + " ")]
        assert calls, f"{words}: {lines}"
        for line in calls:
            done = subprocess.run(line, shell=True, text=True, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=20, check=False)
            assert done.returncode == 20 and "drbd" in done.stdout and "USAGE" not in done.stdout, \
                f"{line}: exit {done.returncode}\n{done.stdout}"


def the_callers_language_reaches_no_child(bench):
    bench.env["LC_ALL"] = "ja_JP.UTF-8"
    bench.env["LANG"] = "ja_JP.UTF-8"
    bench.write("drbdsetup", '#!/bin/sh\necho "$LC_ALL"\n')
    equal(bench.run("role", "r0").stdout, "C\n")
    bench.env["LC_ALL"] = "C"
    plain = bench.run("dump").stdout
    bench.env["LC_ALL"] = "ja_JP.UTF-8"
    equal(bench.run("dump").stdout, plain)


# --- exit codes ---

def exit_codes_are_those_of_the_original(bench):
    def code(*words):
        return bench.run(*words).returncode
    equal(code("secondary", "r0"), 0)
    for words in (("bogus",), ("up", "nothere"), ("up",), ("--bogus", "up", "r0"),
                  ("-t", bench.config, "up", "r0"), ("up", "")):
        equal((words, code(*words)), (words, 1))
    for given in (5, 10, 11, 16, 17, 20):
        bench.answer("outdate", code=given)
        bench.answer("meta-outdate", code=1)
        bench.answer("primary", code=given)
        equal(code("primary", "r0"), given)
    bench.answer("outdate", code=5)
    equal(code("outdate", "r0"), 5)
    bench.answer("outdate", code=17)
    equal(code("outdate", "r0"), 17)
    bench.write("drbdsetup", "#!/nonexistent\n")
    equal(code("primary", "r0"), 20)
    bench.config = bench.write("bad.conf", "resource r { on }")
    equal(code("primary", "r0"), 10)
    bench.config = os.path.join(bench.path, "none.conf")
    equal(code("primary", "r0"), 20)


# --- commands ---

def a_proxy_is_told_of_the_connection(bench):
    bench.config = bench.write("proxied.conf", PROXIED)
    bench.write("drbd-proxy-ctl", RECORDER)
    proxy = os.path.join(bench.path, "drbd-proxy-ctl")
    os.chmod(proxy, 0o700)
    equal(bench.run("-p", proxy, "proxy-up", "r").returncode, 0)
    equal(bench.run("-p", proxy, "proxy-down", "all").returncode, 0)
    equal(bench.calls(), [
        "drbd-proxy-ctl -c add connection r-pb-alpha 127.0.0.1:7790 10.2.0.2:7793 10.2.0.1:7791 "
        "10.0.0.1:1",
        "drbd-proxy-ctl -c set memlimit r-pb-alpha 5M -c set plugin r-pb-alpha 0 zlib level 9 "
        "-c set plugin r-pb-alpha 1 END",
        "drbd-proxy-ctl -c del connection r-pb-alpha"])
    bench.run("connect", "r")
    equal(bench.calls()[-1], "drbdsetup connect r ipv4:10.0.0.1:1 ipv4:127.0.0.1:7790")
    done = bench.run("-p", "/nonexistent/ctl", "proxy-up", "r")
    equal(done.returncode, 20)
    within("Can not find command '/nonexistent/ctl'", done.stderr)
    bench.config = bench.write("plain.conf", resource("a", 1))
    equal(bench.run("-p", proxy, "proxy-up", "a").returncode, 1)


def down_stops_everything_and_may_be_repeated(bench):
    for _ in range(2):
        equal(bench.run("down", "all").returncode, 0)
    equal(bench.calls(), ["drbdsetup down r0", "drbdsetup down r1"] * 2)


def down_stops_what_is_in_no_file_any_more(bench):
    bench.write("drbdsetup", RECORDER.replace(
        "exit 0\n", 'test "$1 $2" = "show gone" && echo "resource gone { }"\n'
        'test "$1 $2" = "show never" && exit 10\nexit 0\n'))
    equal(bench.run("down", "gone").returncode, 0)
    equal(bench.calls(), ["drbdsetup show gone", "drbdsetup down gone"])
    done = bench.run("down", "never")
    equal(done.returncode, 1)
    within("'never' not defined in your config", done.stderr)
    equal(bench.run("secondary", "gone").returncode, 1)
    bench.config = bench.write("empty.conf", "")
    equal(bench.run("down", "gone").returncode, 0)
    equal(bench.calls()[-1], "drbdsetup down gone")


def attach_and_detach_have_their_options(bench):
    bench.run("attach", "--on-io-error=detach", "r0")
    bench.run("detach", "r1/1")
    bench.run("detach", "--force", "r0")
    equal(bench.calls(), ["drbdmeta 0 v08 /dev/sda0 internal apply-al",
                          "drbdsetup attach 0 /dev/sda0 /dev/sda0 internal --on-io-error=detach",
                          "drbdsetup detach 11", "drbdsetup detach 0 --force"])
    bench.answer("meta-apply-al", code=1)
    equal(bench.run("attach", "r0").returncode, 1)
    assert "attach" not in bench.calls()[-1]


def connect_and_disconnect_have_their_options(bench):
    pair = "ipv4:10.0.0.1:7789 ipv4:10.0.0.2:7789"
    bench.run("connect", "--discard-my-data", "r0")
    bench.run("connect", "--tentative", "r0")
    bench.run("disconnect", "--force", "r0")
    equal(bench.calls(), [f"drbdsetup connect r0 {pair} --discard-my-data",
                          f"drbdsetup connect r0 {pair} --tentative",
                          f"drbdsetup disconnect {pair} --force"])
    equal(bench.run("connect", "--force", "r0").returncode, 1)


def roles_have_their_options(bench):
    bench.run("primary", "--force", "r0")
    bench.run("secondary", "--force", "r0")
    equal(bench.calls(), ["drbdsetup primary 0 --force", "drbdsetup secondary 0 --force"])


def options_of_one_section_are_set_by_its_command(bench):
    pair = "ipv4:10.0.0.1:7789 ipv4:10.0.0.2:7789"
    bench.run("disk-options", "--c-max-rate=2M", "r0")
    bench.run("net-options", "--timeout=70", "r0")
    bench.run("resource-options", "--cpu-mask=1", "r0")
    equal(bench.calls(), ["drbdsetup disk-options 0 --c-max-rate=2M",
                          f"drbdsetup net-options {pair} --timeout=70",
                          "drbdsetup resource-options r0 --cpu-mask=1"])
    done = bench.run("disk-options", "--timeout=70", "r0")
    equal(done.returncode, 1)
    within("unrecognized option '--timeout'", done.stderr)


def invalidate_goes_to_the_metadata_if_the_device_is_down(bench):
    bench.answer("invalidate", code=10, error="unknown minor\n")
    equal(bench.run("invalidate", "r0").returncode, 0)
    equal(bench.calls(), ["drbdsetup invalidate 0", "drbdmeta 0 v08 /dev/sda0 internal invalidate"])
    equal(bench.run("invalidate-remote", "r0").returncode, 0)
    equal(bench.calls()[-1], "drbdsetup invalidate-remote 0")


def resize_has_its_options_and_remembers_the_size(bench):
    for option in ("--size=1G", "--assume-peer-has-space", "--assume-clean", "--al-stripes=2"):
        bench.run("resize", option, "r0")
        equal(bench.calls()[-2:], [f"drbdsetup resize 0 {option}", "drbdsetup check-resize 0"])


def syncs_can_be_paused(bench):
    bench.run("pause-sync", "r0")
    bench.run("resume-sync", "r0")
    equal(bench.calls(), ["drbdsetup pause-sync 0", "drbdsetup resume-sync 0"])


def io_can_be_suspended(bench):
    bench.run("suspend-io", "r0")
    bench.run("resume-io", "r0")
    equal(bench.calls(), ["drbdsetup suspend-io 0", "drbdsetup resume-io 0"])


def metadata_commands_go_to_drbdmeta(bench):
    for command in ("dump-md", "wipe-md", "apply-al"):
        bench.run(command, "r0")
        equal(bench.calls()[-1], f"drbdmeta 0 v08 /dev/sda0 internal {command}")
    bench.run("--", "0:0:0:0:1", "set-gi", "r0/0")
    equal(bench.calls()[-1], "drbdmeta 0 v08 /dev/sda0 internal set-gi 0:0:0:0:1")
    bench.run("--", "--clear-bitmap", "new-current-uuid", "r0/0")
    equal(bench.calls()[-1], "drbdsetup new-current-uuid 0 --clear-bitmap")
    for command in ("get-gi", "show-gi"):
        bench.answer(command, text="of the engine\n")
        equal(bench.run(command, "r0").stdout, "of the engine\n")
        bench.answer(command, code=1, error="Device is unconfigured\n")
        bench.answer(f"meta-{command}", text="of the metadata\n")
        equal(bench.run(command, "r0").stdout, "of the metadata\n")


def metadata_have_room_for_one_peer(bench):
    equal(bench.run("create-md", "--max-peers", "1", "r0").returncode, 0)
    within("drbdmeta 0 v08 /dev/sda0 internal create-md\n", "\n".join(bench.calls()) + "\n")
    made = len(bench.calls())
    done = bench.run("create-md", "--max-peers=3", "r0")
    equal(done.returncode, 1)
    within("metadata of version v08 have room for one peer", done.stderr)
    equal(len(bench.calls()), made)
    equal(bench.run("--", "--force", "create-md", "r0").returncode, 0)
    within("drbdmeta 0 v08 /dev/sda0 internal create-md --force\n", "\n".join(bench.calls()) + "\n")


def a_resource_can_be_made_step_by_step(bench):
    pair = "ipv4:10.0.1.1:7789 ipv4:10.0.1.2:7789"
    for step in ("new-resource", "new-minor", "connect", "del-peer", "del-minor"):
        equal((step, bench.run(step, "r1").returncode), (step, 0))
    equal(bench.run("sh-new-minor", "r1/1").returncode, 0)
    equal(bench.calls(), [
        "drbdsetup new-resource r1", "drbdsetup new-minor r1 10 0", "drbdsetup new-minor r1 11 1",
        f"drbdsetup connect r1 {pair}", f"drbdsetup disconnect {pair}",
        "drbdsetup del-minor 10", "drbdsetup del-minor 11", "drbdsetup new-minor r1 11 1"])
    bench.answer("role", text="Secondary/Primary\n")
    equal(bench.run("peer-role", "r0").stdout, "Primary\n")
    for step in ("new-peer", "new-path", "del-path"):
        done = bench.run(step, "r1")
        equal(done.returncode, 1)
        within("connect r1'", done.stderr)


def status_is_that_of_the_engines(bench):
    bench.answer("status", text="r0 role:Primary\n")
    equal(bench.run("status", "r0").stdout, "r0 role:Primary\n")
    equal(bench.run("status").returncode, 0)
    equal(bench.calls(), ["drbdsetup status r0", "drbdsetup status r0", "drbdsetup status r1"])


def called_as_drbdadm_83_status_is_xml(bench):
    named = os.path.join(bench.path, "drbdadm-83")
    os.symlink(os.path.abspath(bench.drbdadm), named)
    bench.write("drbdsetup", """#!/bin/sh
test "$1" = 0 && printf '_minor=0\\n_cstate=SyncTarget\\n_role=Secondary\\n_peer=Primary\\n'
test "$1" = 0 && printf '_disk=Inconsistent\\n_pdsk=UpToDate\\n_flags_user_isp=1\\n'
test "$1" = 0 && printf '_flags_susp=\\n_resynced_percent=5.1\\n'
test "$1" = 0 || printf '_minor=10\\n_cstate=Unconfigured\\n'
""")
    done = bench.run("status", program=named)
    equal(done.returncode, 0)
    tree = ElementTree.fromstring(done.stdout)
    equal((tree.tag, tree.get("api")), ("drbd-status", "88"))
    equal(tree.find("resources").get("config_file"), bench.config)
    rows = [dict(each.attrib) for each in tree.iter("resource")]
    equal(rows[0], {"minor": "0", "name": "r0", "cs": "SyncTarget", "ro1": "Secondary",
                    "ro2": "Primary", "ds1": "Inconsistent", "ds2": "UpToDate", "user_isp": "1",
                    "resynced_percent": "5.1", "resynced_precent": "5.1"})
    equal(rows[1:], [{"minor": minor, "name": "r1", "cs": "Unconfigured"} for minor in ("10", "11")])


def dumps_name_what_they_are_of(bench):
    whole = bench.run("dump")
    equal((whole.returncode, whole.stdout.count("\nresource ")), (0, 2))
    for minor in ("minor-0", "minor-11"):
        equal(bench.run("dump", minor).stdout.count("\nresource "), 1)
    within("resource r1 {", bench.run("dump", "minor-11").stdout)
    tree = ElementTree.fromstring(bench.run("dump-xml").stdout)
    equal(tree.tag, "config")
    equal([one.get("name") for one in tree.iter("resource")], ["r0", "r1"])
    equal(tree.find("resource").get("conf-file-line"), f"{bench.config}:3")
    equal({each.tag for each in tree.find("resource/host")}, {"volume", "address"})
    equal([each.get("vnr") for each in tree.findall("resource[2]/host[1]/volume")], ["0", "1"])
    bench.configure("net { timeout 9999; }")
    for command in ("dump", "dump-xml"):
        equal(bench.run(command).returncode, 10)


def dump_says_how_8_3_is_written_today(bench):
    bench.configure("protocol C; syncer { rate 50M; }")
    for command in ("dump", "sh-nop"):
        done = bench.run(command)
        equal(done.returncode, 0)
        within("drbd.conf:3: 'syncer { rate ... }' is written 'disk { resync-rate 50M; }'",
               done.stderr)
    within("resync-rate      50M;", bench.run("dump").stdout)
    equal(bench.run("up", "r0").stderr.count("is written"), 0)


def what_adjust_would_touch_is_named(bench):
    bench.configure("net { timeout 80; }")
    bench.write("drbdsetup", RECORDER.replace(
        "exit 0\n", 'test "$1 $2" = "show r0" && cat "$here/shown"\nexit 0\n'))
    bench.write("shown", SHOW % {"net": "timeout 80;", "peer": "10.0.0.2:7789", "disk": ""})
    equal(bench.run("sh-list-adjustable").stdout, "r1\n")
    equal(bench.run("sh-list-adjustable", "r0").stdout, "")
    bench.write("shown", SHOW % {"net": "", "peer": "10.0.0.2:7789", "disk": ""})
    equal(bench.run("sh-list-adjustable", "all").stdout, "r0\nr1\n")
    assert all(call.startswith("drbdsetup show ") for call in bench.calls())


def doing_nothing_checks_the_configuration(bench):
    done = bench.run("sh-nop")
    equal((done.returncode, done.stdout, bench.calls()), (0, "", []))
    bench.config = bench.write("bad.conf", "resource r0 {")
    equal(bench.run("sh-nop").returncode, 10)


def module_parameters_are_printed(bench):
    equal(bench.run("sh-mod-parms").stdout, "minor_count=32\n")
    bench.configure(more_global="minor-count 77;")
    equal(bench.run("sh-mod-parms").stdout, "minor_count=77\n")


def start_up_promotes_where_the_file_says(bench):
    for names, calls in (("alpha", 1), ("beta", 0), ("alpha beta", 1)):
        bench.configure(f"startup {{ become-primary-on {names}; }}")
        before = len(bench.calls())
        equal(bench.run("sh-b-pri", "r0").returncode, 0)
        equal(bench.calls()[before:], ["drbdsetup primary 0"] * calls)
    bench.configure("startup { become-primary-on both; } net { allow-two-primaries; }")
    equal(bench.run("sh-b-pri", "r0").returncode, 0)
    equal(bench.calls()[-1], "drbdsetup primary 0")


def udev_finds_the_names_of_a_device(bench):
    done = bench.run("sh-udev", "minor-10")
    equal(done.returncode, 0)
    found = dict(line.split("=", 1) for line in done.stdout.splitlines())
    equal(found, {"RESOURCE": "r1/0", "DEVICE": "drbd10", "DISK": "sda1",
                  "SYMLINK": "drbd/by-res/r1/0", "SYMLINK_BY_RES": "drbd/by-res/r1/0",
                  "SYMLINK_BY_DISK": "drbd/by-disk/sda1"})
    bench.configure(more_global="udev-always-use-vnr;")
    within("SYMLINK=drbd/by-res/r0/0\n", bench.run("sh-udev", "minor-0").stdout)


def hidden_commands_are_of_three_groups(bench):
    done = bench.run("hidden-commands")
    equal(done.returncode, 0)
    scripts, engine, experts = (part.split() for part in done.stdout.split(":\n\n")[1:])
    for group, some in ((scripts, ("sh-nop", "sh-resources", "sh-status", "sh-dev")),
                        (engine, ("fence-peer", "split-brain", "local-io-error")),
                        (experts, ("suspend-io", "set-gi", "new-current-uuid"))):
        for name in some:
            equal((name, name in group), (name, True))


def old_names_warn_on_stderr_only(bench):
    bench.answer("role", text="Primary/Secondary\n")
    done = bench.run("state", "r0")
    equal(done.stdout, "Primary/Secondary\n")
    within("is deprecated", done.stderr)
    bench.configure('handlers { outdate-peer "exit 4"; }')
    done = bench.run("outdate-peer", "r0")
    equal((done.returncode, done.stdout), (4, ""))
    within("is deprecated", done.stderr)


def usage_count_asks_nobody(bench):
    for value in ("yes", "ask", "no"):
        bench.configure(more_global=f"usage-count {value};")
        done = bench.run("create-md", "r0")
        equal((done.returncode, done.stdout), (0, ""))


def completion_offers_commands_then_resources(bench):
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                          "../../../conf/completion/drbdadm")
    other = bench.write("other-file", "")

    def offered(*words):
        ask = ('drbdadm() { "$DRBDADM" -c "$CONFIG" "$@"; }; . "$SCRIPT"; COMP_WORDS=(drbdadm "$@"); '
               'COMP_CWORD=$#; _drbdadm; printf "%s\\n" "${COMPREPLY[@]}"')
        done = subprocess.run(["bash", "-c", ask, "bash", *words], text=True, check=True,
                              env={**bench.env, "DRBDADM": bench.drbdadm, "SCRIPT": script,
                                   "CONFIG": bench.config}, stdout=subprocess.PIPE)
        return done.stdout.split()
    equal(offered("secon"), ["secondary"])
    equal(offered("sh-lr"), ["sh-lr-of"])
    equal(offered("up", ""), ["all", "r0", "r1"])
    equal(offered("-v", "up", "r"), ["r0", "r1"])
    equal(offered("-c", other[:-1]), [other])
    equal(offered("--dry"), ["--dry-run"])


# --- bad input ---

def what_is_wrong_is_named_with_place_and_way_out(bench):
    def said(text, name="bad.conf"):
        bench.config = bench.write(name, text)
        done = bench.run("up", "all")
        equal(bench.calls(), [])
        assert done.returncode != 0, done.stderr
        return done
    equal(said("").returncode, 1)
    within("no resources defined!", said("").stderr)
    done = said("include \"secret.res\";\n" + resource("a", 1))
    equal(done.returncode, 10)
    within("bad.conf:1: Failed to open include file 'secret.res'", done.stderr)
    within("bad.conf:2: Parse error: ", said("\n\0\1\2\3").stderr)
    done = said(resource("a", 1).replace("meta-disk", "meta-dsik"))
    within("bad.conf:3: Parse error: 'disk | device | address | meta-disk", done.stderr)
    within("but got 'meta-dsik'", done.stderr)
    with open(os.path.join(bench.path, "huge.conf"), "wb") as file:
        file.truncate(1 << 30)
    bench.config = os.path.join(bench.path, "huge.conf")
    done = bench.run("up", "all")
    equal(done.returncode, 20)
    within("larger than 16 MiB", done.stderr)
    bench.config = bench.path
    done = bench.run("up", "all")
    equal(done.returncode, 20)
    within(f"Can not read '{bench.path}': Is a directory", done.stderr)


if __name__ == "__main__":
    sys.exit(run_tests(globals()))
