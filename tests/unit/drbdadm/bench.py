"""Runs drbdadm over a drbdsetup and a drbdmeta that record how they are called.

A test is a function of one argument, a Bench of its own; `run_tests(globals())` runs those of a
program whose first argument is DRBDADM, and prints TAP. More arguments choose tests by name.
"""
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import traceback

RECORDER = """#!/bin/sh
# Appends its call to calls; answers by the files answer-COMMAND and code-COMMAND beside it.
here=$(dirname "$0")
echo "$(basename "$0") $*" >> "$here/calls"
case $(basename "$0") in drbdmeta) command=meta-$5 ;; *) command=$1 ;; esac
test -f "$here/sleep-$command" && exec sleep 1000
test -f "$here/answer-$command" && cat "$here/answer-$command"
test -f "$here/error-$command" && cat "$here/error-$command" >&2
test -f "$here/code-$command" && exit "$(cat "$here/code-$command")"
exit 0
"""

CONFIG = """global { disable-ip-verification; cmd-timeout-short 30; %(global)s }
%(common)s
resource r0 { %(sections)s
  device minor 0; disk /dev/sda0; meta-disk internal;
  on alpha { address 10.0.0.1:7789; }
  on beta { address 10.0.0.2:7789; }
}
resource r1 {
  on alpha { address 10.0.1.1:7789;
    volume 0 { device minor 10; disk /dev/sda1; meta-disk internal; }
    volume 1 { device minor 11; disk /dev/sda2; meta-disk /dev/m [1]; } }
  on beta { address 10.0.1.2:7789;
    volume 0 { device minor 10; disk /dev/sda1; meta-disk internal; }
    volume 1 { device minor 11; disk /dev/sda2; meta-disk internal; } }
}
"""

SHOW = """resource r0 {
    options { }
    net { %(net)s }
    _remote_host { address ipv4 %(peer)s; }
    _this_host { address ipv4 10.0.0.1:7789;
        volume 0 { device minor 0; disk "/dev/sda0"; meta-disk internal; disk { %(disk)s } } }
}
"""


class Bench:
    """A directory with the two recorders, a configuration and a place for links."""

    def __init__(self, drbdadm):
        self.path = os.path.realpath(tempfile.mkdtemp(prefix="drbdadm-test-"))
        self.drbdadm = drbdadm
        self.env = {"PATH": "/usr/bin:/bin", "__DRBD_NODE__": "alpha",
                    "LOCKSTEP_RUNTIME_DIRECTORY": os.path.join(self.path, "run")}
        for name in ("drbdsetup", "drbdmeta"):
            self.write(name, RECORDER)
            os.chmod(os.path.join(self.path, name), stat.S_IRWXU)
        self.configure()

    def write(self, name, text):
        with open(os.path.join(self.path, name), "w", encoding="utf-8") as file:
            file.write(text)
        return os.path.join(self.path, name)

    def configure(self, sections="", common="", more_global=""):
        self.config = self.write("drbd.conf", CONFIG % {
            "sections": sections, "common": common, "global": more_global})

    def answer(self, command, text="", code=0, error=""):
        self.write(f"answer-{command}", text)
        self.write(f"error-{command}", error)
        self.write(f"code-{command}", f"{code}\n")

    def run(self, *words, config=True, program=None):
        given = ["-c", self.config] if config else []
        backends = ["-s", os.path.join(self.path, "drbdsetup"),
                    "-m", os.path.join(self.path, "drbdmeta")]
        return subprocess.run([program or self.drbdadm, *backends, *given, *words], env=self.env,
                              text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=60, check=False)

    def calls(self):
        try:
            with open(os.path.join(self.path, "calls"), encoding="utf-8") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []

    def close(self):
        shutil.rmtree(self.path)


def equal(found, wanted):
    assert found == wanted, f"wanted {wanted!r}, got {found!r}"


def within(part, text):
    assert part in text, f"{part!r} is not in {text!r}"


def run_tests(names):
    drbdadm, wanted = os.path.abspath(sys.argv[1]), sys.argv[2:]
    tests = [value for name, value in names.items()
             if callable(value) and getattr(value, "__code__", None)
             and value.__code__.co_varnames[:1] == ("bench",) and (not wanted or name in wanted)]
    print(f"1..{len(tests)}")
    failed = 0
    for number, test in enumerate(tests, 1):
        bench = Bench(drbdadm)
        try:
            test(bench)
            print(f"ok {number} - {test.__name__}")
        except Exception:  # the next test has a bench of its own
            failed += 1
            print(f"not ok {number} - {test.__name__}")
            for line in traceback.format_exc().splitlines():
                print(f"# {line}")
        finally:
            bench.close()
        sys.stdout.flush()
    return 1 if failed else 0
