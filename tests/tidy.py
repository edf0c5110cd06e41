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
# Parsers of bytes that others wrote, and the fuzz target that each must have.
FUZZERS = {
    "agent/config/reader.hpp": "config/fuzz_config.cpp",
    "agent/drbdmeta/dump_parser.hpp": "format/dump_text_fuzz.cpp",
    "agent/drbdmeta/last_known.hpp": "format/last_known_fuzz.cpp",
    "daemon/arbiter/codec.hpp": "arbiter/codec_fuzz.cpp",
    "daemon/control/request.hpp": "control/lockstepd_request_fuzz.cpp",
    "daemon/engines/event_lines.hpp": "engines/event_lines_fuzz.cpp",
    "kernel/control/protocol/reply.hpp": "control/message_fuzz.cpp",
    "kernel/control/protocol/request.hpp": "control/message_fuzz.cpp",
    "kernel/control/server.hpp": "control/session_fuzz.cpp",
    "kernel/device/fuse_session.hpp": "device/fuse_session_fuzz.cpp",
    "kernel/device/nbd_session.hpp": "device/nbd_session_fuzz.cpp",
    "kernel/format/activity_log.hpp": "format/activity_log_fuzz.cpp",
    "kernel/format/al_replay.hpp": "format/al83_fuzz.cpp",
    "kernel/format/bitmap.hpp": "format/superblock_fuzz.cpp",
    "kernel/format/superblock.hpp": "format/superblock_fuzz.cpp",
    "kernel/host/keeper_message.hpp": "host/keeper_message_fuzz.cpp",
    "kernel/host/socket_address.hpp": "host/socket_address_fuzz.cpp",
    "kernel/state/peer_state.hpp": "state/peer_fuzz.cpp",
    "kernel/state/size_agreement.hpp": "state/peer_fuzz.cpp",
    "kernel/wire/payloads.hpp": "wire/payload_fuzz.cpp",
    "kernel/wire/run_length.hpp": "wire/run_length_fuzz.cpp",
    "kernel/wire/stream.hpp": "wire/stream_fuzz.cpp",
}
# What the one who starts a program types, and names of files of our own.
NOT_FOREIGN = ("agent/drbdadm/command_line.hpp", "agent/drbdsetup/arguments.hpp",
               "kernel/engine_settings.hpp", "kernel/control/protocol/runtime_directory.hpp")
# A parser that is not in the table gives itself away by the name of a function.
PARSER = re.compile(r"^(?:\[\[nodiscard\]\] )?(?:[\w:<>,&* ]+ )?(?:parse|decode)\w*\(", re.M)
PARSERS_WITHIN = {
    "agent/config/parser.hpp": "agent/config/reader.hpp",
    "agent/drbdsetup/engine_client.hpp": "kernel/control/protocol/reply.hpp",
    "kernel/control/protocol/json_fields.hpp": "kernel/control/protocol/request.hpp",
    "kernel/options/table.hpp": "agent/config/reader.hpp",
    "kernel/control/protocol/snapshot.hpp": "kernel/control/protocol/reply.hpp",
    "kernel/wire/bitmap_transfer.hpp": "kernel/wire/stream.hpp",
    "kernel/wire/handshake_payloads.hpp": "kernel/wire/payloads.hpp",
    "kernel/wire/header.hpp": "kernel/wire/stream.hpp",
    "kernel/wire/io_payloads.hpp": "kernel/wire/payloads.hpp",
    "kernel/wire/payload.hpp": "kernel/wire/payloads.hpp",
    "kernel/wire/state_payloads.hpp": "kernel/wire/payloads.hpp",
}
THREADS = re.compile(r"std::(j?thread|async|mutex)\b|pthread_create")
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


def check_fuzzers(files):
    for parser, name in FUZZERS.items():
        target = f"tests/fuzz/{name}"
        registered = ""
        if target in files:
            with open(f"{os.path.dirname(target)}/CMakeLists.txt", encoding="utf-8") as file:
                registered = file.read()
        stem = os.path.basename(name).removesuffix("_fuzz.cpp").removesuffix(".cpp")
        if parser not in files or target not in files or stem not in registered:
            wrong(parser, 1, f"a parser without its fuzz target {target}")
    for path in files:
        if not path.endswith(".hpp") or not path.startswith(("kernel/", "agent/", "daemon/")):
            continue
        with open(path, encoding="utf-8") as file:
            parses = PARSER.search(file.read())
        if parses and path not in FUZZERS and path not in NOT_FOREIGN and PARSERS_WITHIN.get(path) not in FUZZERS:
            wrong(path, 1, f"a parser that no fuzz target is named for: {parses.group(0)}")


def check_threads(path, lines):
    """The product has no threads: neither locks nor a thread sanitizer are needed for it."""
    for number, line in enumerate(lines, 1):
        if THREADS.search(line):
            wrong(path, number, "a thread in the product")


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
            if not path.startswith("tests/"):
                check_threads(path, lines)
        if base == "ChangeLog":
            check_changelog(path, lines)
    check_fuzzers(files)
    print("\n".join(breaks) if breaks else f"{len(files)} files keep the rules")
    return 1 if breaks else 0


if __name__ == "__main__":
    sys.exit(main())
