#!/usr/bin/env python3
"""Every option that drbdadm accepts: it is handed on, acts in drbdadm itself, or is said to have no
effect, with its place in the file.

usage: options_test.py DRBDADM [NAME...]
"""
import os
import pty
import re
import select
import subprocess
import sys
import time

from bench import equal, run_tests, within

# Accepted for the sake of old files: section, a value other than the default, the default.
WITHOUT_EFFECT = [
    ("disk", "max-bio-bvecs", "5", "0"),
    ("disk", "disk-barrier", "yes", "no"),
    ("disk", "disk-drain", "no", "yes"),
    ("disk", "no-disk-drain", "", None),
    ("disk", "discard-zeroes-if-aligned", "no", "yes"),
    ("disk", "disable-write-same", "yes", "no"),
    ("disk", "use-bmbv", "", None),
    ("net", "unplug-watermark", "64", "128"),
]

# DRBD 9: kept and dumped, said not to be handed on.
OF_9 = {
    "options": {"auto-promote": "no", "auto-promote-timeout": "30", "drbd8-compat-mode": "yes",
                "max-io-depth": "100", "on-no-quorum": "io-error",
                "on-suspended-primary-outdated": "force-secondary", "peer-ack-delay": "50",
                "peer-ack-window": "4096", "quorum": "majority",
                "quorum-minimum-redundancy": "2", "twopc-retry-timeout": "2",
                "twopc-timeout": "100"},
    "net": {"allow-remote-read": "no", "load-balance-paths": "yes",
            "rdma-ctrl-rcvbuf-size": "1M", "rdma-ctrl-sndbuf-size": "1M", "tls": "no",
            "tls-certificate": "5", "tls-keyring": "6", "tls-privkey": "7", "transport": "tcp"},
    "disk": {"bitmap": "no", "block-size": "4096", "discard-granularity": "65536",
             "max-bio-size": "4096", "resync-without-replication": "no",
             "tiebreaker": "no"},
}

SAYS_NOT_PASSED = re.compile(r"drbd\.conf:3: .* is not passed to the engine: \S+")


def options_without_effect_are_named_with_their_place_and_the_reason(bench):
    for section, name, value, default in WITHOUT_EFFECT:
        bench.configure(f"{section} {{ {name} {value}; }}")
        done = bench.run("sh-nop")
        equal(done.returncode, 0)
        shown = name.removeprefix("no-")
        assert re.search(rf"drbd\.conf:3: {shown} has no effect here: \S+", done.stderr), (
            f"nothing said of {name} {value}: {done.stderr!r}")
        if default is not None:
            bench.configure(f"{section} {{ {name} {default}; }}")
            assert "no effect" not in bench.run("sh-nop").stderr, f"{name} {default}"


def options_that_act_are_taken_without_a_word(bench):
    bench.configure("""disk { on-io-error pass_on; disk-timeout 30; al-extents 257; resync-after -1;
        read-balancing round-robin; rs-discard-granularity 65536; disk-flushes no; md-flushes no; }
      net { timeout 50; sndbuf-size 1M; on-congestion block; socket-check-timeout 5; tcp-cork no; }
      options { cpu-mask 1; on-no-data-accessible suspend-io; }""")
    done = bench.run("sh-nop")
    equal(done.returncode, 0)
    assert "drbd.conf" not in done.stderr and "effect" not in done.stderr, done.stderr


def options_of_9_are_said_not_to_be_passed_on_and_are_not(bench):
    for section, words in OF_9.items():
        for name, value in words.items():
            bench.configure(f"{section} {{ {name} {value}; }}")
            done = bench.run("up", "r0")
            equal(done.returncode, 0)
            assert SAYS_NOT_PASSED.search(done.stderr), f"{name}: {done.stderr!r}"
            within(f"drbd.conf:3: {name} is not passed", done.stderr)
            assert not any(name in call for call in bench.calls()), name
            within(name, bench.run("dump", "r0").stdout)
            os.remove(os.path.join(bench.path, "calls"))


def what_9_would_promise_is_refused(bench):
    for text, word in (("tls yes", "tls yes is not possible here"),
                       ("transport rdma", "transport rdma is not possible here")):
        bench.configure(f"net {{ {text}; }}")
        done = bench.run("up", "r0")
        equal(done.returncode, 10)
        within("drbd.conf:3: " + word, done.stderr)
        equal(bench.calls(), [])


def options_of_9_for_commands_are_refused_by_name(bench):
    for command, option in (("invalidate", "--reset-bitmap=no"),
                            ("invalidate", "--sync-from-peer-node-id=1"),
                            ("suspend-io", "--bdev-freeze=no")):
        done = bench.run(command, option, "r0")
        assert done.returncode != 0, option
        within(option.split("=")[0].lstrip("-"), done.stderr)
        equal(bench.calls(), [])


def unknown_options_are_refused_with_their_place(bench):
    for section in ("disk", "net", "options", "startup", "handlers"):
        bench.configure(f"{section} {{ no-such-option 5; }}")
        done = bench.run("up", "r0")
        equal(done.returncode, 10)
        within("drbd.conf:3: Parse error", done.stderr)
        within("no-such-option", done.stderr)
        equal(bench.calls(), [])


def values_out_of_range_are_refused_with_their_place(bench):
    for section, option in (("disk", "disk-timeout 6001"), ("net", "ping-timeout 0"),
                            ("net", "ko-count 201"), ("startup", "wfc-timeout 300001"),
                            ("startup", "degr-wfc-timeout 300001"),
                            ("startup", "outdated-wfc-timeout 300001"),
                            ("disk", "read-balancing sometimes")):
        bench.configure(f"{section} {{ {option}; }}")
        done = bench.run("up", "r0")
        equal(done.returncode, 10)
        within("drbd.conf:3: " + option.split()[0], done.stderr)


# --- global {} ---

def minor_count_is_what_the_module_parameters_say(bench):
    bench.configure(more_global="minor-count 77;")
    equal(bench.run("sh-mod-parms").stdout, "minor_count=77\n")
    for wrong in ("0", "256"):
        bench.configure(more_global=f"minor-count {wrong};")
        done = bench.run("sh-mod-parms")
        equal(done.returncode, 10)
        within("drbd.conf:1: ", done.stderr)


def disable_ip_verification_lets_a_foreign_address_pass(bench):
    equal(bench.run("up", "r0").returncode, 0)
    with open(bench.config, encoding="utf-8") as file:
        text = file.read()
    bench.write("drbd.conf", text.replace("disable-ip-verification;", ""))
    done = bench.run("up", "r0")
    equal(done.returncode, 10)
    within("IP 10.0.0.1 not found on this host.", done.stderr)


def usage_count_asks_nobody(bench):
    for word in ("yes", "no", "ask"):
        bench.configure(more_global=f"usage-count {word};")
        done = bench.run("create-md", "r0")
        equal(done.returncode, 0)
        assert "survey" not in done.stdout + done.stderr
        assert "usage-count" not in done.stderr
        said = bench.run("sh-nop").stderr
        equal("usage-count yes has no effect here" in said, word == "yes")
    bench.configure(more_global="usage-count maybe;")
    equal(bench.run("create-md", "r0").returncode, 10)


def udev_always_use_vnr_names_the_volume(bench):
    within("RESOURCE=r0\n", bench.run("sh-udev", "minor-0").stdout)
    bench.configure(more_global="udev-always-use-vnr;")
    within("RESOURCE=r0/0\n", bench.run("sh-udev", "minor-0").stdout)


def each_cmd_timeout_ends_its_own_kind_of_command(bench):
    # A command of each kind that hangs; only its own time ends it.
    kinds = {"short": ("resource-options", "resource-options"), "medium": ("attach", "attach"),
             "long": ("create-md", "meta-create-md")}
    for kind, (command, file) in kinds.items():
        for other in kinds:
            bench.configure(more_global=f"cmd-timeout-{other} 1;" +
                            ("" if other == "short" else "cmd-timeout-short 4;"))
            bench.write(f"sleep-{file}", "")
            # Those that are not to be ended are seen to go on for three times as long.
            running = subprocess.Popen(
                [bench.drbdadm, "-s", os.path.join(bench.path, "drbdsetup"), "-m",
                 os.path.join(bench.path, "drbdmeta"), "-c", bench.config, command, "r0"],
                env=bench.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, text=True)
            try:
                _, errors = running.communicate(timeout=3)
                assert kind == other, f"cmd-timeout-{other} ended {command}: {errors}"
                equal(running.returncode, 20)
                within("did not terminate within 1 seconds", errors)
            except subprocess.TimeoutExpired:
                running.kill()
                running.communicate()
                assert kind != other, f"cmd-timeout-{other} did not end {command}"
            os.remove(os.path.join(bench.path, f"sleep-{file}"))


def a_cmd_timeout_that_is_not_given_is_neither_changed_nor_dumped(bench):
    # drbd-utils' initialiser sets medium twice and leaves long at 0, and its dump shows both.
    text = bench.run("dump").stdout
    assert "cmd-timeout-medium" not in text and "cmd-timeout-long" not in text, text
    bench.configure(more_global="cmd-timeout-medium 7;")
    text = bench.run("dump").stdout
    assert re.search(r"cmd-timeout-medium\s+7;", text), text
    assert "cmd-timeout-long" not in text, text


def dialog_refresh_is_how_often_the_prompt_is_drawn_again(bench):
    bench.write("sleep-wait-connect", "")

    def prompts(refresh):
        bench.configure(more_global=f"dialog-refresh {refresh};")
        ours, theirs = pty.openpty()
        running = subprocess.Popen(
            [bench.drbdadm, "-s", os.path.join(bench.path, "drbdsetup"), "-c", bench.config,
             "wait-con-int"], env=bench.env, stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True)
        os.close(theirs)
        return running, ours

    def typed_and_seen(running, terminal):
        seen = b""
        end = time.monotonic() + 40
        while time.monotonic() < end and b"enter 'yes'" not in seen:
            if select.select([terminal], [], [], 1)[0]:
                seen += os.read(terminal, 4096)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            if select.select([terminal], [], [], 0.2)[0]:
                seen += os.read(terminal, 4096)
        os.write(terminal, b"yes\n")
        running.wait(timeout=30)
        os.close(terminal)
        return seen.count(b"enter 'yes'")

    often = prompts(1)
    # The file is written anew: only when the first has read its own, and asks the engines.
    end = time.monotonic() + 40
    while not os.path.exists(os.path.join(bench.path, "calls")):
        assert time.monotonic() < end, "no engine is asked"
        time.sleep(0.02)
    never = prompts(0)
    assert typed_and_seen(*often) >= 3
    equal(typed_and_seen(*never), 1)


# --- startup {} ---

def startup_times_reach_wait_connect(bench):
    bench.configure("startup { wfc-timeout 20; degr-wfc-timeout 5; outdated-wfc-timeout 3; "
                    "wait-after-sb; }")
    equal(bench.run("wait-connect", "r0").returncode, 0)
    equal(bench.calls(), ["drbdsetup wait-connect 0 --wfc-timeout=20 --degr-wfc-timeout=5 "
                          "--outdated-wfc-timeout=3 --wait-after-sb=yes"])


STACKED = """global { disable-ip-verification; }
resource low { device minor 0; disk /dev/sda0; meta-disk internal;
  on alpha { address 10.0.0.1:7789; } on beta { address 10.0.0.2:7789; } }
resource high { net { connect-int 7; } startup { %s }
  stacked-on-top-of low { device minor 10; address 10.0.9.1:7789; }
  on gamma { device minor 10; disk /dev/sdb; meta-disk internal; address 10.0.9.2:7789; } }
"""


def stacked_timeouts_decides_whose_times_a_stacked_resource_has(bench):
    for more, wanted in (("wfc-timeout 20;", "--wfc-timeout 14"),
                         ("wfc-timeout 20; stacked-timeouts;", "--wfc-timeout=20")):
        bench.config = bench.write("stacked.conf", STACKED % more)
        equal(bench.run("-S", "wait-connect", "high").returncode, 0)
        equal(bench.calls()[-1], f"drbdsetup wait-connect 10 {wanted}")


# --- resync-after ---

def a_cycle_of_resync_after_is_refused_with_its_place(bench):
    bench.configure("disk { resync-after r1/1; }")
    equal(bench.run("up", "r0").returncode, 0)
    within("--resync-after=11", "\n".join(bench.calls()))
    with open(bench.config, encoding="utf-8") as file:
        text = file.read()
    bench.write("drbd.conf", text.replace("resource r1 {", "resource r1 { disk { resync-after r0; }"))
    done = bench.run("up", "r0")
    equal(done.returncode, 10)
    within("resync-after: minor 0 would wait for itself (0 -> 11 -> 0)", done.stderr)
    within("drbd.conf:", done.stderr)


if __name__ == "__main__":
    sys.exit(run_tests(globals()))
