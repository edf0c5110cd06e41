#!/usr/bin/env python3
"""Compares our option table with `drbdsetup xml-help` of the installed DRBD 8.4 tools.

usage: option_table.py OPTIONS_XML_HELP [ORIGINAL_DRBDSETUP]
"""
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

# Words of the original's commands that are arguments of one call, not options that are kept.
ONE_CALL = {"tentative", "discard-my-data", "set-defaults",
            "alternate-address", "alternate-peer-address"}
COMMANDS = ("attach", "disk-options", "connect", "net-options", "new-resource", "resource-options")


def options(text):
    found = {}
    for option in ElementTree.fromstring("<all>" + text + "</all>").iter("option"):
        facts = [option.get("type")]
        facts += [(child.tag, child.text) for child in option]
        found[option.get("name")] = facts
    return found


def run(*words):
    env = dict(os.environ, LC_ALL="C")
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          stdin=subprocess.DEVNULL, env=env, text=True, check=False).stdout


def main():
    ours_program = sys.argv[1]
    original = sys.argv[2] if len(sys.argv) > 2 else "/lib/drbd/drbdsetup-84"
    if not os.access(original, os.X_OK):
        print("1..0 # SKIP no drbdsetup of DRBD 8.4 is installed")
        return 0
    print(f"1..{len(COMMANDS)}")
    failed = 0
    for number, command in enumerate(COMMANDS, 1):
        theirs = {name: facts for name, facts in options(run(original, "xml-help", command)).items()
                  if name not in ONE_CALL}
        ours = options(run(ours_program, command))
        wrong = sorted(name for name in set(theirs) | set(ours)
                       if theirs.get(name) != ours.get(name))
        for name in wrong:
            print(f"# {command} {name}: theirs {theirs.get(name)}, ours {ours.get(name)}")
        if not theirs or wrong:
            failed += 1
        print(f"{'not ' if wrong or not theirs else ''}ok {number} - "
              f"{command}: the same options, defaults and ranges as the original")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
