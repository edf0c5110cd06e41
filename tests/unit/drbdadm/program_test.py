#!/usr/bin/env python3
"""drbdadm as a program, over a drbdsetup and a drbdmeta that record how they are called.

usage: program_test.py DRBDADM [NAME...]
"""
import os
import subprocess
import sys
import time

from bench import RECORDER, SHOW, equal, run_tests, within

# The tests: each gets a bench of its own.

def up_makes_objects_then_disks_then_the_connection(bench):
    equal(bench.run("up", "all").returncode, 0)
    equal(bench.calls(), [
        "drbdsetup new-resource r0", "drbdsetup new-minor r0 0 0",
        "drbdsetup new-resource r1", "drbdsetup new-minor r1 10 0", "drbdsetup new-minor r1 11 1",
        "drbdmeta 0 v08 /dev/sda0 internal apply-al",
        "drbdsetup attach 0 /dev/sda0 /dev/sda0 internal",
        "drbdmeta 10 v08 /dev/sda1 internal apply-al",
        "drbdsetup attach 10 /dev/sda1 /dev/sda1 internal",
        "drbdmeta 11 v08 /dev/m 1 apply-al",
        "drbdsetup attach 11 /dev/sda2 /dev/m 1",
        "drbdsetup connect r0 ipv4:10.0.0.1:7789 ipv4:10.0.0.2:7789",
        "drbdsetup connect r1 ipv4:10.0.1.1:7789 ipv4:10.0.1.2:7789"])


def a_dry_run_runs_nothing(bench):
    done = bench.run("-d", "up", "r0")
    equal(done.returncode, 0)
    equal(len(done.stdout.splitlines()), 5)
    equal(bench.calls(), [])


def verbose_prints_each_line_and_runs_it(bench):
    done = bench.run("-v", "primary", "r0")
    within("drbdsetup primary 0\n", done.stdout)
    equal(bench.calls(), ["drbdsetup primary 0"])


def all_goes_on_after_a_failure_and_the_worst_code_wins(bench):
    bench.write("drbdsetup", RECORDER.replace("exit 0\n", 'test "$2" = 0 && exit 17\nexit 0\n'))
    done = bench.run("secondary", "all")
    equal(done.returncode, 17)
    equal(bench.calls(), ["drbdsetup secondary 0", "drbdsetup secondary 10",
                          "drbdsetup secondary 11"])


def a_failure_is_echoed_with_the_command(bench):
    bench.answer("primary", code=11, error="0: State change failed: (-1)\n")
    done = bench.run("primary", "r0")
    equal(done.returncode, 11)
    within("State change failed: (-1)", done.stderr)
    within("drbdsetup primary 0' terminated with exit code 11\n", done.stderr)


def a_backend_that_hangs_is_given_up_in_time(bench):
    bench.configure(more_global="cmd-timeout-short 2;")
    bench.write("sleep-role", "")
    start = time.monotonic()
    done = bench.run("role", "r0")
    assert time.monotonic() - start < 60
    equal(done.returncode, 20)
    within("did not terminate within 2 seconds", done.stderr)


def a_mistyped_resource_is_not_success(bench):
    done = bench.run("secondary", "dbdb0")
    equal(done.returncode, 1)
    within("'dbdb0' not defined in your config (for this host).\n", done.stderr)
    equal(bench.calls(), [])


def a_name_that_is_not_found_tells_what_is_there(bench):
    within("  -> did you mean r1?", bench.run("up", "rr1").stderr)
    within(f"  -> {bench.config} has r0, r1", bench.run("up", "ro").stderr)
    within(f"  -> {bench.config} has r0, r1", bench.run("up", "database").stderr)
    bench.env["__DRBD_NODE__"] = "alpha.example.org"
    within("  -> this host is alpha.example.org (uname -n), r0 has sections for alpha, beta",
           bench.run("up", "r0").stderr)


def a_command_that_is_not_found_names_the_nearest(bench):
    done = bench.run("creat-md", "r0")
    equal(done.returncode, 1)
    within("Unknown command 'creat-md'\n  -> did you mean 'create-md'?", done.stderr)
    within("Unknown command 'frobnicate'\n  -> try '", bench.run("frobnicate", "r0").stderr)


def no_resources_are_said_to_be_none(bench):
    bench.config = bench.write("empty.conf", "global { usage-count no; }\n")
    done = bench.run("dstate", "alpha")
    equal(done.returncode, 1)
    within("no resources defined!\n", done.stderr)
    equal(bench.run("dump").returncode, 0)


def an_invalid_configuration_is_code_10(bench):
    bench.config = bench.write("bad.conf", "resource r {\n  bogus;\n}\n")
    done = bench.run("up", "all")
    equal(done.returncode, 10)
    within("bad.conf:2: Parse error: '", done.stderr)
    within("but got 'bogus'", done.stderr)


def a_missing_configuration_is_code_20(bench):
    bench.config = os.path.join(bench.path, "none.conf")
    done = bench.run("up", "all")
    equal(done.returncode, 20)
    within("none.conf", done.stderr)


def an_address_that_this_host_lacks_is_refused(bench):
    with open(bench.config, encoding="utf-8") as file:
        text = file.read().replace("disable-ip-verification;", "")
    bench.write("drbd.conf", text)
    done = bench.run("dump", "r0")
    equal(done.returncode, 10)
    within("IP 10.0.0.1 not found on this host.", done.stderr)
    equal(bench.run("sh-ip", "r0").returncode, 0)


def dstate_asks_drbdmeta_when_the_device_is_down(bench):
    bench.answer("dstate", code=10, error="not configured\n")
    bench.answer("meta-dstate", text="Inconsistent/DUnknown\n")
    done = bench.run("dstate", "r0")
    equal((done.returncode, done.stdout), (0, "Inconsistent/DUnknown\n"))
    assert "not configured" not in done.stderr


def dstate_of_a_running_device_needs_no_drbdmeta(bench):
    bench.answer("dstate", text="UpToDate/UpToDate\n")
    equal(bench.run("dstate", "r0").stdout, "UpToDate/UpToDate\n")
    equal(bench.calls(), ["drbdsetup dstate 0"])


def a_refused_invalidate_is_not_tried_offline(bench):
    bench.answer("invalidate", code=11, error="State change failed: (-8)\n")
    done = bench.run("invalidate", "r0")
    equal(done.returncode, 11)
    within("State change failed: (-8)", done.stderr)
    equal(bench.calls(), ["drbdsetup invalidate 0"])


def outdate_keeps_the_codes_that_handlers_rely_on(bench):
    bench.answer("outdate", code=17, error="it is Primary\n")
    equal(bench.run("outdate", "r0").returncode, 17)
    within("it is Primary", bench.run("outdate", "r0").stderr)
    bench.answer("outdate", code=5, error="the disk is Inconsistent\n")
    bench.answer("meta-outdate", code=1)
    done = bench.run("outdate", "r0")
    equal(done.returncode, 5)
    within("the disk is Inconsistent", done.stderr)
    bench.answer("outdate", code=10)
    bench.answer("meta-outdate", code=0)
    equal(bench.run("outdate", "r0").returncode, 0)


def check_resize_is_silent_and_falls_back_to_drbdmeta(bench):
    bench.answer("resize", code=10, error="not attached\n")
    done = bench.run("check-resize", "r0")
    equal((done.returncode, done.stdout), (0, ""))
    assert "not attached" not in done.stderr
    equal(bench.calls(), ["drbdsetup resize 0", "drbdmeta 0 v08 /dev/sda0 internal check-resize"])


def adjust_of_what_runs_as_configured_does_nothing(bench):
    bench.configure("net { timeout 80; }")
    bench.answer("show", SHOW % {"net": "timeout 80;", "peer": "10.0.0.2:7789", "disk": ""})
    done = bench.run("adjust", "r0")
    equal((done.returncode, done.stdout), (0, ""))
    equal(bench.calls(), ["drbdsetup show r0"])


def adjust_changes_only_what_differs(bench):
    bench.configure("net { timeout 80; } disk { c-max-rate 1M; size 1G; }")
    bench.answer("show", SHOW % {"net": "", "peer": "10.0.0.2:7789", "disk": "size 1048576s;"})
    equal(bench.run("adjust", "r0").returncode, 0)
    equal(bench.calls()[1:], [
        "drbdsetup disk-options 0 --set-defaults --c-max-rate=1M",
        "drbdsetup resize 0 --size=1G", "drbdsetup check-resize 0",
        "drbdsetup net-options ipv4:10.0.0.1:7789 ipv4:10.0.0.2:7789 --set-defaults --timeout=80"])


def adjust_resets_an_option_that_was_removed(bench):
    bench.answer("show", SHOW % {"net": "timeout 80;", "peer": "10.0.0.2:7789", "disk": ""})
    equal(bench.run("adjust", "r0").returncode, 0)
    equal(bench.calls()[1:], [
        "drbdsetup net-options ipv4:10.0.0.1:7789 ipv4:10.0.0.2:7789 --set-defaults"])


def adjust_disconnects_with_the_addresses_in_use(bench):
    bench.answer("show", SHOW % {"net": "", "peer": "10.0.0.9:7789", "disk": ""})
    equal(bench.run("adjust", "r0").returncode, 0)
    equal(bench.calls()[1:], [
        "drbdsetup disconnect ipv4:10.0.0.1:7789 ipv4:10.0.0.9:7789",
        "drbdsetup connect r0 ipv4:10.0.0.1:7789 ipv4:10.0.0.2:7789"])


def adjust_skips_what_it_is_told_to(bench):
    bench.configure("net { timeout 80; } disk { c-max-rate 1M; }")
    bench.answer("show", SHOW % {"net": "", "peer": "10.0.0.2:7789", "disk": ""})
    bench.run("adjust", "--skip-net", "r0")
    bench.run("adjust", "--skip-disk", "r0")
    equal([call.split()[1] for call in bench.calls()],
          ["show", "disk-options", "show", "net-options"])


def adjust_leaves_everything_alone_when_the_engine_does_not_answer(bench):
    bench.configure(more_global="cmd-timeout-short 2;")
    bench.write("sleep-show", "")
    done = bench.run("adjust", "r0")
    equal(done.returncode, 20)
    within("nothing is changed", done.stderr)
    equal(bench.calls(), ["drbdsetup show r0"])


def adjust_reads_a_pretended_state(bench):
    bench.env["FAKE_DRBDSETUP_SHOW"] = bench.write(
        "show.txt", SHOW % {"net": "", "peer": "10.0.0.2:7789", "disk": ""})
    done = bench.run("-d", "adjust", "r0")
    equal((done.returncode, done.stdout), (0, ""))


def a_failed_prerequisite_stops_that_resource_only(bench):
    bench.write("drbdsetup", RECORDER.replace(
        "exit 0\n", 'test "$1 $2" = "new-resource r0" && exit 10\nexit 0\n'))
    done = bench.run("up", "all")
    equal(done.returncode, 10)
    within("new-minor r0: skipped due to earlier error", done.stderr)
    within("drbdsetup connect r1 ipv4:10.0.1.1:7789 ipv4:10.0.1.2:7789", "\n".join(bench.calls()))
    assert not any(" r0 " in call for call in bench.calls()[1:])


def no_handler_is_success(bench):
    equal(bench.run("fence-peer", "r0").returncode, 0)
    equal(bench.run("before-resync-target", "minor-0").returncode, 0)


def a_handler_gets_its_environment(bench):
    bench.configure('handlers { split-brain "env | grep ^DRBD_ > $OUT"; }')
    bench.env["OUT"] = os.path.join(bench.path, "environment")
    bench.env["DRBD_PEER_AF"] = "ipv4"
    equal(bench.run("split-brain", "minor-0").returncode, 0)
    with open(bench.env["OUT"], encoding="utf-8") as file:
        found = dict(line.rstrip("\n").split("=", 1) for line in file)
    wanted = {"DRBD_RESOURCE": "r0", "DRBD_MINOR": "0", "DRBD_VOLUME": "0",
              "DRBD_LL_DISK": "/dev/sda0", "DRBD_CONF": bench.config, "DRBD_PEER": "beta",
              "DRBD_PEERS": "beta", "DRBD_PEER_AF": "ipv4", "DRBD_PEER_ADDRESS": "10.0.0.2"}
    equal({name: found.get(name) for name in wanted}, wanted)


def a_handler_of_a_resource_gets_all_minors(bench):
    bench.configure(common='common { handlers { fence-peer "echo $DRBD_MINOR; exit 4"; } }')
    done = bench.run("fence-peer", "r1")
    equal((done.returncode, done.stdout), (4, "10 11\n"))


def a_handlers_exit_code_is_passed_on(bench):
    for code in (0, 1, 3, 5, 6, 7, 20):
        bench.configure(f'handlers {{ fence-peer "exit {code}"; }}')
        equal(bench.run("fence-peer", "r0").returncode, code)


def a_handler_whose_program_is_missing_is_named(bench):
    bench.configure('handlers { fence-peer "/nonexistent/fence.sh --now"; }')
    done = bench.run("fence-peer", "r0")
    equal(done.returncode, 127)
    within("handler fence-peer of resource r0 can not be run: '/nonexistent/fence.sh'", done.stderr)
    within("drbd.conf:3:", done.stderr)
    within("'/nonexistent/fence.sh', does not exist", bench.run("sh-nop").stderr)


def a_disk_is_asked_about_only_if_the_handler_knows_reasons(bench):
    bench.env["DRBD_FENCE_REASON"] = "own-disk"
    equal(bench.run("fence-disk", "r0").returncode, 3)
    bench.configure('handlers { fence-peer "touch $OUT; exit 7"; }')
    bench.env["OUT"] = os.path.join(bench.path, "shot")
    equal(bench.run("fence-disk", "r0").returncode, 3)
    assert not os.path.exists(bench.env["OUT"])
    bench.configure('handlers { fence-peer "echo $DRBD_FENCE_REASON; exit 4"; }')
    done = bench.run("fence-disk", "r0")
    equal((done.returncode, done.stdout), (4, "own-disk\n"))
    # Or its program does.
    for text, code in (("exit 5", 3), ('test "$DRBD_FENCE_REASON" = own-disk && exit 5', 5)):
        program = bench.write("fence.sh", f"#!/bin/sh\n{text}\n")
        os.chmod(program, 0o700)
        bench.configure(f'handlers {{ fence-peer "{program} --now"; }}')
        equal(bench.run("fence-disk", "r0").returncode, code)
        equal(bench.run("fence-peer", "r0").returncode, 5)


def a_handler_of_9_gets_node_ids(bench):
    bench.write("nodes.conf", """global { disable-ip-verification; }
resource r2 { device minor 2; disk /dev/sda3; meta-disk internal;
  handlers { fence-peer "env | grep -e NODE > $OUT"; }
  on alpha { address 10.0.0.1:7790; node-id 1; }
  on beta { address 10.0.0.2:7790; node-id 4; } }
""")
    bench.config = os.path.join(bench.path, "nodes.conf")
    bench.env["OUT"] = os.path.join(bench.path, "environment")
    for who, mask in (("me peer", "0x12"), ("me ", "0x2"), ("peer", "0x10"), ("", "0x0")):
        bench.env["LOCKSTEP_UP_TO_DATE"] = who
        equal(bench.run("fence-peer", "r2").returncode, 0)
        with open(bench.env["OUT"], encoding="utf-8") as file:
            found = dict(line.rstrip("\n").split("=", 1) for line in file)
        wanted = {"DRBD_MY_NODE_ID": "1", "DRBD_PEER_NODE_ID": "4", "DRBD_NODE_ID_1": "alpha",
                  "DRBD_NODE_ID_4": "beta", "UP_TO_DATE_NODES": mask}
        equal({name: found.get(name) for name in wanted}, wanted)


def the_engine_limits_the_time_of_its_handlers_itself(bench):
    bench.configure('handlers { fence-peer "sleep 2; ps -o pgid= -p $$; exit 7"; }',
                    more_global="cmd-timeout-long 1;")
    bench.env["LOCKSTEP_HANDLER_LIMIT"] = "engine"
    done = bench.run("fence-peer", "r0")
    equal(done.returncode, 7)
    equal(int(done.stdout), os.getpgid(0))  # what ends the caller's group ends the handler, too


def a_handler_that_hangs_is_ended(bench):
    bench.configure('handlers { fence-peer "sleep 1000; exit 7"; }',
                    more_global="cmd-timeout-long 1;")
    start = time.monotonic()
    done = bench.run("fence-peer", "r0")
    assert time.monotonic() - start < 60
    equal(done.returncode, 20)
    within("did not terminate within 1 seconds", done.stderr)


def a_handler_finds_the_file_that_configured_its_minor(bench):
    bench.configure('handlers { split-brain "echo from $DRBD_CONF"; }')
    equal(bench.run("up", "r0").returncode, 0)
    done = bench.run("split-brain", "minor-0", config=False)
    equal((done.returncode, done.stdout), (0, f"from {bench.config}\n"))


def dry_runs_leave_no_links_behind(bench):
    bench.run("-d", "up", "all")
    assert not os.path.exists(os.path.join(bench.path, "run"))


def state_is_role_with_a_notice_in_the_name_of_the_program(bench):
    bench.answer("role", text="Primary/Secondary\n")
    done = bench.run("state", "r0")
    equal((done.returncode, done.stdout), (0, "Primary/Secondary\n"))
    name = os.path.basename(bench.drbdadm)
    within(f"'{name} state' is deprecated, use '{name} role' instead.\n", done.stderr)
    renamed = os.path.join(bench.path, "drbd-tool")
    os.symlink(os.path.abspath(bench.drbdadm), renamed)
    within("'drbd-tool state' is deprecated, use 'drbd-tool role' instead.\n",
           bench.run("state", "r0", program=renamed).stderr)


def new_metadata_get_a_name_and_keep_it(bench):
    equal(bench.run("create-md", "r0").returncode, 0)
    calls = bench.calls()
    equal(calls[:2], ["drbdmeta 0 v08 /dev/sda0 internal read-dev-uuid",
                      "drbdmeta 0 v08 /dev/sda0 internal create-md"])
    within("drbdmeta 0 v08 /dev/sda0 internal write-dev-uuid ", calls[2])
    equal(len(calls[2].split()[-1]), 16)
    bench.answer("meta-read-dev-uuid", text="00000000DEADBEEF\n")
    equal(bench.run("create-md", "r0").returncode, 0)
    equal(bench.calls()[-1].split()[-1], "00000000DEADBEEF")
    bench.answer("meta-create-md", code=40)
    equal(bench.run("create-md", "r0").returncode, 40)
    equal(bench.calls()[-1], "drbdmeta 0 v08 /dev/sda0 internal create-md")


def overwriting_the_peers_data_is_passed_on(bench):
    equal(bench.run("--", "--overwrite-data-of-peer", "primary", "r0").returncode, 0)
    equal(bench.run("primary", "--force", "r0").returncode, 0)
    equal(bench.calls(), ["drbdsetup primary 0 --overwrite-data-of-peer",
                          "drbdsetup primary 0 --force"])


def the_syncer_verb_of_8_3_reloads_all_three_sections(bench):
    bench.configure("syncer { rate 1M; verify-alg sha1; cpu-mask 3; }")
    equal(bench.run("syncer", "r0").returncode, 0)
    equal(bench.calls(), [
        "drbdsetup resource-options r0 --set-defaults --cpu-mask=3",
        "drbdsetup disk-options 0 --set-defaults --resync-rate=1M",
        "drbdsetup net-options ipv4:10.0.0.1:7789 ipv4:10.0.0.2:7789 --set-defaults "
        "--verify-alg=sha1"])


def called_as_drbdadm_83_it_calls_as_8_3_did(bench):
    bench.configure("protocol C; disk { on-io-error pass_on; } syncer { rate 50M; }")
    named = os.path.join(bench.path, "drbdadm-83")
    os.symlink(os.path.abspath(bench.drbdadm), named)
    equal(bench.run("up", "r0", program=named).returncode, 0)
    equal(bench.calls(), [
        "drbdsetup 0 disk /dev/sda0 /dev/sda0 internal --set-defaults --create-device "
        "--on-io-error=pass_on",
        "drbdsetup 0 syncer --set-defaults --create-device --rate=50M",
        "drbdsetup 0 net ipv4:10.0.0.1:7789 ipv4:10.0.0.2:7789 C --set-defaults --create-device"])


def queries_print_one_value_a_line(bench):
    equal(bench.run("sh-resources").stdout, "r0 r1\n")
    equal(bench.run("sh-minor", "r1").stdout, "10\n11\n")
    equal(bench.run("sh-minor", "r1/1").stdout, "11\n")
    equal(bench.run("sh-dev", "r1/1").stdout, "/dev/drbd11\n")
    equal(bench.run("sh-ll-dev", "minor-0").stdout, "/dev/sda0\n")
    equal(bench.run("sh-md-dev", "r1").stdout, "/dev/sda1\n/dev/m\n")
    equal(bench.run("sh-md-idx", "r1").stdout, "internal\n1\n")
    equal(bench.run("sh-ip", "r0").stdout, "10.0.0.1\n")
    equal(bench.run("sh-mod-parms").stdout, "minor_count=32\n")
    equal(bench.run("sh-udev", "minor-11").stdout,
          "RESOURCE=r1/1\nDEVICE=drbd11\nDISK=sda2\nSYMLINK=drbd/by-res/r1/1\n"
          "SYMLINK_BY_RES=drbd/by-res/r1/1\nSYMLINK_BY_DISK=drbd/by-disk/sda2\n")
    equal(bench.run("sh-list-config-file").stdout, bench.config + "\n")


def commands_for_a_volume_bear_all_resources(bench):
    done = bench.run("sh-udev", "all")
    equal(done.returncode, 1)
    within("volume not specified", done.stderr)
    equal(bench.run("split-brain", "all").returncode, 0)
    equal(bench.run("new-current-uuid", "all").returncode, 0)
    equal(len(bench.calls()), 3)


def a_diskless_node_has_no_disk(bench):
    bench.config = bench.write("client.conf", """global { disable-ip-verification; }
resource r { on alpha { device minor 1; disk none; address 10.0.0.1:1; }
  on beta { device minor 1; disk /dev/s; meta-disk internal; address 10.0.0.2:1; } }
""")
    equal(bench.run("sh-ll-dev", "r").stdout, "none\n")
    equal(bench.run("up", "r").returncode, 0)
    equal([call.split()[1] for call in bench.calls()], ["new-resource", "new-minor", "connect"])
    within("diskless on this node", bench.run("create-md", "r").stderr)


def shell_status_can_be_evaluated(bench):
    bench.answer("sh-status", text="_minor=0\n_sh_status_process\n\n")
    done = bench.run("sh-status")
    equal(done.returncode, 0)
    script = "_sh_status_process() { echo $_conf_res_name/$_conf_volume; }; eval \"$1\""
    evaluated = subprocess.run(["/bin/sh", "-c", script, "sh", done.stdout], text=True,
                               stdout=subprocess.PIPE, check=True)
    equal(evaluated.stdout, "r0/0\nr1/0\nr1/1\n")


def the_version_can_be_evaluated(bench):
    done = bench.run("-V")
    equal(done.returncode, 0)
    evaluated = subprocess.run(
        ["/bin/sh", "-c", 'eval "$1"; echo $(($DRBD_KERNEL_VERSION_CODE)) $DRBDADM_VERSION', "sh",
         done.stdout], text=True, stdout=subprocess.PIPE, check=True)
    equal(evaluated.stdout, f"{0x08040b} 8.4.11\n")


def a_candidate_file_is_checked_against_the_rest(bench):
    good = bench.write("good.res", "resource r2 { on alpha { device minor 20; disk /dev/x; "
                       "meta-disk internal; address 10.0.2.1:1; } }")
    clash = bench.write("clash.res", "resource r2 { on alpha { device minor 0; disk /dev/x; "
                        "meta-disk internal; address 10.0.2.1:1; } }")
    equal(bench.run("-t", good, "sh-nop").returncode, 0)
    done = bench.run("-t", clash, "sh-nop")
    equal(done.returncode, 10)
    within("conflicting use of device-minor 'device-minor:alpha:0'", done.stderr)


def the_configuration_may_come_from_standard_input(bench):
    with open(bench.config, encoding="utf-8") as file:
        done = subprocess.run([bench.drbdadm, "-c", "-", "dump"], stdin=file, text=True,
                              env=bench.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              check=False)
    equal(done.returncode, 0)
    within("# STDIN\n", done.stdout)


def wait_connect_passes_the_start_up_times(bench):
    bench.configure("startup { wfc-timeout 20; degr-wfc-timeout 5; }")
    equal(bench.run("wait-connect", "r0").returncode, 0)
    equal(bench.calls(), ["drbdsetup wait-connect 0 --wfc-timeout=20 --degr-wfc-timeout=5"])


def wait_sync_waits_for_each_volume(bench):
    equal(bench.run("wait-sync", "r1").returncode, 0)
    equal(bench.calls(), ["drbdsetup wait-sync 10", "drbdsetup wait-sync 11"])


def wait_con_int_waits_for_every_minor(bench):
    done = bench.run("wait-con-int")
    equal(done.returncode, 0)
    equal(sorted(bench.calls()), ["drbdsetup wait-connect 0", "drbdsetup wait-connect 10",
                                  "drbdsetup wait-connect 11"])


def stdout_carries_no_notices(bench):
    bench.configure("options { quorum majority; } syncer { hold-off-threshold 3; }")
    equal(bench.run("sh-dev", "r0").stdout, "/dev/drbd0\n")


def adjust_with_progress_prints_stages(bench):
    done = bench.run("adjust-with-progress", "r0")
    equal(done.returncode, 0)
    equal(done.stdout, "[\n     create res: r0\n   prepare disk: r0\n    adjust disk: r0\n"
                       "     adjust net: r0\n]\n")


if __name__ == "__main__":
    sys.exit(run_tests(globals()))
