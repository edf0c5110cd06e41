#!/usr/bin/env python3
"""Random configurations through our drbdadm and the originals of drbd-utils, side by side.

usage: differential.py DRBDADM [--seed N] [--count N] [--seconds N] [--each N]
                       [--group N] [--original-84 PATH] [--original-83 PATH] [--original-9 PATH]
                       [--keep DIRECTORY]

Compared: accepted or not (exit code), dump, dump-xml, the lines of dry runs, the values of sh-...
commands. Differences that are meant are in differences.tsv, each with its reason.
"""
import argparse
import difflib
import os
import random
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import grammar  # noqa: E402

FOR_ALL = ("up", "down", "attach", "detach", "connect", "disconnect", "primary", "secondary",
           "adjust", "create-md", "invalidate", "invalidate-remote", "verify", "resize",
           "wait-connect", "disk-options", "net-options", "resource-options", "outdate", "get-gi",
           "show-gi", "dstate", "cstate", "role", "state", "pause-sync", "resume-sync",
           "check-resize", "apply-al", "dump-md", "wipe-md", "new-resource", "new-minor",
           "suspend-io", "resume-io", "sh-b-pri", "status")
QUERIES = ("sh-dev", "sh-minor", "sh-ll-dev", "sh-md-dev", "sh-md-idx", "sh-ip", "sh-resource")
COMMANDS = [["dump"], ["-v", "dump"], ["dump-xml"], ["-d", "sh-status"], ["sh-resources"],
            ["sh-mod-parms"], ["sh-nop"], ["-d", "-n", "VAR", "up", "all"],
            ["-d", "--", "--overwrite-data-of-peer", "primary", "all"],
            ["-d", "--force", "primary", "all"], ["-d", "connect", "--discard-my-data", "all"],
            ["-d", "role", "nothere"], ["-d", "dstate", "minor-10"], ["-d", "fence-peer", "r1"],
            ["-d", "out-of-sync", "minor-10"], ["-d", "up", "r1/0"], ["-d", "down", "r1/0"],
            ["-S", "-d", "up", "all"], ["-S", "-d", "attach", "all"], ["-S", "-d", "down", "all"],
            ["-S", "-d", "wait-connect", "all"], ["-S", "sh-resources"], ["-S", "sh-dev", "all"],
            ["-S", "sh-lr-of", "up1"], ["-d", "up", "up1"], ["-d", "-P", "gamma", "up", "t1"],
            ["-d", "--peer", "beta", "connect", "t1"], ["-d", "connect", "t1"],
            ["-d", "connect", "f1"], ["-d", "proxy-up", "all"], ["-d", "proxy-down", "all"],
            ["sh-udev", "minor-10"], ["sh-udev", "r1/1"], ["-d", "-d", "up", "all"]]
COMMANDS += [["-d", name, "all"] for name in FOR_ALL] + [[name, "all"] for name in QUERIES]
COMMANDS_83 = [["dump"]] + [["-d", name, "all"] for name in (
    "up", "down", "attach", "detach", "connect", "disconnect", "syncer", "primary", "secondary",
    "create-md", "invalidate", "resize", "wait-connect", "verify", "dstate", "outdate",
    "check-resize", "role", "cstate", "show-gi", "pause-sync", "suspend-io")]
# What does not depend on the generation of the driver (sh-resources has a line each in 9).
VALUES = [["sh-nop"], ["sh-mod-parms"]] + [[name, "all"] for name in QUERIES]
PARSE_ONLY = [["dump"], ["sh-nop"]]


class Side:
    """One of the two programs."""

    def __init__(self, path, backends):
        self.path = path
        self.backends = backends

    def run(self, words, config):
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "__DRBD_NODE__": "alpha",
               "INIT_VERSION": "1", "DRBD_DONT_WARN_ON_VERSION_MISMATCH": "1",
               "DRBD_DRIVER_VERSION_OVERRIDE": "9.0.0"}
        done = subprocess.run([self.path, *self.backends, "-c", config, *words], env=env,
                              text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=20, check=False, errors="replace")
        return done.returncode, done.stdout, done.stderr


class Reviewed:
    """differences.tsv: kind, regular expression, reason. The kind says what is searched: `output`
    a differing line, `accepted` our messages where only they accept, `refused` their messages
    where only we accept, `code` the messages of both where both refuse."""

    def __init__(self, path):
        self.rows = []
        with open(path, encoding="utf-8") as file:
            for line in file:
                if line.strip() and not line.startswith("#"):
                    kind, pattern, _reason = line.rstrip("\n").split("\t")
                    self.rows.append((kind, re.compile(pattern, re.M)))

    def known(self, kind, text):
        return any(row_kind == kind and pattern.search(text) for row_kind, pattern in self.rows)


def places(text):
    return re.findall(r"^(\S+?:\d+): ", text, re.M)


class Comparison:
    def __init__(self, ours, theirs, reviewed):
        self.ours, self.theirs, self.reviewed = ours, theirs, reviewed
        self.sorts_options = False
        self.counts = {"runs": 0, "accepted by both": 0, "refused by both": 0,
                       "refused at the same place": 0, "reviewed differences": 0}

    def lines(self, text):
        """For adjust the order of the options in a line does not count: the original moves some."""
        if not self.sorts_options:
            return text.splitlines()
        return [" ".join(sorted(line.split(" "), key=lambda word: word if word[:2] == "--" else ""))
                for line in text.splitlines()]

    def use_backend(self, drbdsetup):
        self.sorts_options = True
        self.ours.backends = self.theirs.backends = ["-s", drbdsetup, "-m", "/bin/true"]

    def one(self, words, config):
        """None, or what differs."""
        self.counts["runs"] += 1
        ours, theirs = self.ours.run(words, config), self.theirs.run(words, config)
        if ours[0] < 0:
            return f"ours was killed by signal {-ours[0]}"
        if ours[0] != theirs[0]:
            return self.codes_differ(ours, theirs)
        if ours[0] != 0:
            self.counts["refused by both"] += 1
            here, there = places(ours[2]), places(theirs[2])
            self.counts["refused at the same place"] += bool(here and there and
                                                             here[0] == there[0])
            return None
        self.counts["accepted by both"] += 1
        lines = [line for line in difflib.unified_diff(self.lines(theirs[1]), self.lines(ours[1]),
                                                       "original", "ours", lineterm="", n=0)
                 if line[:1] in "+-" and not line.startswith(("+++", "---"))]
        unknown = [line for line in lines if not self.reviewed.known("output", line)]
        self.counts["reviewed differences"] += bool(lines) and not unknown
        return "\n".join(unknown) if unknown else None

    def codes_differ(self, ours, theirs):
        if theirs[0] == 0:
            kind, text = "accepted", ours[2]
        elif ours[0] == 0:
            kind, text = "refused", theirs[2]
        else:
            kind, text = "code", theirs[2] + ours[2]
        if self.reviewed.known(kind, text):
            self.counts["reviewed differences"] += 1
            return None
        return (f"exit code {theirs[0]} there, {ours[0]} here\nthere: {theirs[2].strip()}\n"
                f"here: {ours[2].strip()}")


def generate(group, rng):
    """The text of a configuration and, for adjust, what drbdsetup shows."""
    if group["generator"] is grammar.AdjustPair:
        return grammar.AdjustPair(rng).generate()
    text = group["generator"](rng).document()
    return grammar.mutate(rng, text) if group["mutated"] else text, None


def write_fake(directory, shown):
    with open(os.path.join(directory, "show"), "w", encoding="utf-8") as file:
        file.write(shown)
    path = os.path.join(directory, "drbdsetup")
    with open(path, "w", encoding="utf-8") as file:
        file.write('#!/bin/sh\ncat "$(dirname "$0")/show"\n')
    os.chmod(path, 0o700)


def compare_many(group, comparison, options, seconds):
    end = time.monotonic() + seconds
    failures = []
    done = 0
    while done < options.count and time.monotonic() < end and len(failures) < options.failures:
        seed = f"{options.seed}/{group['number']}/{done}"
        rng = random.Random(seed)
        text, shown = generate(group, rng)
        with tempfile.TemporaryDirectory() as directory:
            if shown is not None:
                write_fake(directory, shown)
                comparison.use_backend(os.path.join(directory, "drbdsetup"))
            config = os.path.join(directory, "drbd.conf")
            with open(config, "w", encoding="utf-8") as file:
                file.write(text)
            for words in rng.sample(group["commands"], min(options.each, len(group["commands"]))):
                what = comparison.one(words, config)
                if what:
                    failures.append((seed, words, what, text))
        done += 1
    return done, failures


def report(group, done, comparison, failures, options):
    counts = ", ".join(f"{value} {key}" for key, value in comparison.counts.items())
    print(f"# {done} configurations, {counts}")
    for seed, words, what, text in failures:
        print(f"# seed {seed}, {' '.join(words)}:")
        for line in what.splitlines():
            print(f"#   {line}")
        if options.keep:
            path = os.path.join(options.keep, seed.replace("/", "-") + ".conf")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
    good = not failures and done > 0
    print(f"{'' if good else 'not '}ok {group['number']} - {group['name']}")
    return good


def groups_of(options, link):
    backends = ["-s", "/bin/true", "-m", "/bin/true"]
    ours = Side(options.drbdadm, backends)
    theirs = Side(options.original_84, backends)

    def of_84(rng):
        return grammar.Generator(rng)

    def of_83(rng):
        return grammar.Generator(rng, old_syntax=True)

    def group(name, mutated, generator, commands, share, pair=(ours, theirs)):
        return {"name": name, "mutated": mutated, "generator": generator, "commands": commands,
                "share": share, "pair": pair}

    groups = [group("valid configurations mean the same to drbdadm 8.4", False, of_84, COMMANDS,
                    0.3),
              group("configurations changed by one token are refused alike", True, of_84,
                    PARSE_ONLY, 0.2),
              group("8.3's syntax means the same to drbdadm 8.4", False, of_83, COMMANDS, 0.15)]
    if os.access(options.original_83, os.X_OK):
        named = os.path.join(link, "drbdadm-83")
        os.symlink(os.path.abspath(options.drbdadm), named)
        groups.append(group("called as drbdadm-83 it dumps and calls as 8.3 does", False,
                            of_83, COMMANDS_83, 0.15,
                            (Side(named, backends), Side(options.original_83, backends))))
    if os.access(options.original_9, os.X_OK):
        groups.append(group("9's syntax gives the same values as drbdadm 9", False,
                            grammar.Generator9, VALUES, 0.15,
                            (ours, Side(options.original_9, backends))))
    groups.append(group("adjust makes the same calls as drbdadm 8.4", False, grammar.AdjustPair,
                        [["-d", "adjust", "r0"]], 0.15,
                        (Side(options.drbdadm, []), Side(options.original_84, []))))
    for number, one in enumerate(groups, 1):
        one["number"] = number
    return [one for one in groups if options.group in (None, one["number"])]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("drbdadm")
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(10**9)))
    parser.add_argument("--count", type=int, default=100000)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--each", type=int, default=6, help="commands a configuration")
    parser.add_argument("--original-84", default="/lib/drbd/drbdadm-84")
    parser.add_argument("--original-83", default="/lib/drbd/drbdadm-83")
    parser.add_argument("--original-9", default="/usr/sbin/drbdadm")
    parser.add_argument("--failures", type=int, default=5, help="stop a group after so many")
    parser.add_argument("--group", type=int, help="only this one")
    parser.add_argument("--keep", help="a directory for the configurations that differ")
    options = parser.parse_args()
    here = os.path.dirname(os.path.abspath(__file__))
    reviewed = Reviewed(os.path.join(here, "differences.tsv"))
    if not os.access(options.original_84, os.X_OK):
        print("1..0 # SKIP no drbdadm of DRBD 8.4 is installed")
        return 0
    with tempfile.TemporaryDirectory() as link:
        groups = groups_of(options, link)
        print(f"1..{len(groups)}")
        print(f"# seed {options.seed}")
        good = True
        for group in groups:
            comparison = Comparison(*group["pair"], reviewed)
            done, failures = compare_many(group, comparison, options,
                                          group["share"] * options.seconds)
            good = report(group, done, comparison, failures, options) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
