"""The rules of the house that a machine can check. Prints each break as FILE:LINE: what, and fails
if there is any."""

import os
import re
import subprocess
import sys

LINES_MAX = 700
COLUMNS_MAX = 100
CODE = (".cpp", ".hpp")
# Rooms that agent/ and daemon/ may look into: what the engine keeps to itself is not among them.
KERNEL_FOR_OTHERS = ("kernel/base", "kernel/format", "kernel/options", "kernel/state",
                     "kernel/control/protocol")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
# A path of somebody's machine, or where packages come from, has no place in the project.
FOREIGN = re.compile(r"(?<![\w.])/(home|work|farm)/[a-z]|https?://(deb|security|registry)\.")
# Parsers of foreign bytes, and the fuzz target that each must have.
FUZZERS = {
    "kernel/format/superblock.hpp": "tests/fuzz/format",
    "kernel/format/al_replay.hpp": "tests/fuzz/format",
    "kernel/wire/packet.hpp": "tests/fuzz/wire",
    "kernel/wire/run_length.hpp": "tests/fuzz/wire",
    "kernel/device/nbd_session.hpp": "tests/fuzz/device",
    "kernel/control/protocol/request.hpp": "tests/fuzz/control",
    "agent/config/parser.hpp": "tests/fuzz/config",
    "agent/drbdmeta/dump_parser.hpp": "tests/fuzz/format",
}
# Scripts are longer than code and may hold tables; generated texts are none of ours.
TEXT_ENDINGS = (".py", ".sh", ".txt", ".cmake", ".md", ".in") + CODE

breaks = []


def wrong(path, number, what):
    breaks.append(f"{path}:{number}: {what}")


def check_code(path, lines):
    if len(lines) > LINES_MAX:
        wrong(path, len(lines), f"more than {LINES_MAX} lines: two subjects in one file")
    if path.endswith(".hpp") and "#pragma once" not in "".join(lines[:60]):
        wrong(path, 1, "#pragma once is missing")
    room = os.path.dirname(path)
    for number, line in enumerate(lines, 1):
        if len(line.rstrip("\n")) > COLUMNS_MAX:
            wrong(path, number, f"more than {COLUMNS_MAX} columns")
        include = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not include:
            continue
        target = include.group(1)
        if ".." in target:
            wrong(path, number, f"include by a relative path: {target}")
        outside = room.split("/")[0] in ("agent", "daemon")
        if outside and target.startswith("kernel/") and not target.startswith(KERNEL_FOR_OTHERS):
            wrong(path, number, f"{room} must not look into {os.path.dirname(target)}")


def check_text(path, lines):
    for number, line in enumerate(lines, 1):
        if UNFINISHED.search(line) and path != "tests/tidy.py":
            wrong(path, number, "unfinished mark")
        if FOREIGN.search(line) and path != "tests/tidy.py":
            wrong(path, number, "a path or host that is not the project's")
        if line.rstrip("\n") != line.rstrip() and path.endswith(CODE):
            wrong(path, number, "blanks at the end of the line")


def check_changelog(path, lines):
    sections = {"Added", "Changed", "Fixed", "Security"}
    for number, line in enumerate(lines[2:], 3):
        text = line.rstrip("\n")
        known = (not text or text.startswith(("- ", "  ", "---")) or text in sections
                 or re.match(r"\d+\.\d+\.\d+ \(", text))
        if not known:
            wrong(path, number, f"not a line of a ChangeLog: {text}")


def check_modes(path):
    executable = os.access(path, os.X_OK)
    with open(path, "rb") as file:
        script = file.read(2) == b"#!"
    if script and not executable:
        wrong(path, 1, "a program that can't be executed")
    if executable and not script:
        wrong(path, 1, "executable, but no program")


def main():
    os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    files = subprocess.run(["git", "ls-files"], stdout=subprocess.PIPE, text=True,
                           check=True).stdout.splitlines()
    for path in files:
        if not os.path.isfile(path):
            continue
        check_modes(path)
        base = os.path.basename(path)
        if not path.endswith(TEXT_ENDINGS) and base not in ("check", "demo", "ChangeLog"):
            continue
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.readlines()
        check_text(path, lines)
        if path.endswith(CODE):
            check_code(path, lines)
        if base == "ChangeLog":
            check_changelog(path, lines)
    for parser, directory in FUZZERS.items():
        if parser in files and not any(each.startswith(directory + "/") for each in files):
            wrong(parser, 1, f"no fuzz target in {directory}")
    print("\n".join(breaks) if breaks else f"{len(files)} files keep the rules")
    return 1 if breaks else 0


if __name__ == "__main__":
    sys.exit(main())
