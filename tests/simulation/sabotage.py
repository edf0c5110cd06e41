#!/usr/bin/env python3
"""Shows that the simulation bites: undoes one rule of kernel/replica at a time in a private copy of
one source file, links a simulator with it, and expects it to find a broken promise.

usage: sabotage.py BUILD_DIR [RULE...]

Prints TAP. The build directory has to hold a finished `simulate`. Only the one file is compiled, in
a hurry (no optimisation, no debugging); all rules are tried at once, as many as there are
processors. Each rule names the seed at which its absence shows, so that it is found at once; where
the code has moved on since, the seeds from there on are tried, and the one that shows it is said."""

import concurrent.futures
import os
import shlex
import subprocess
import sys
import tempfile

SEEDS = 1500
SECONDS = 60

# (rule, file, seed, where it shows, what is there, what is put in its place): the old text must be
# there exactly once. "Where it shows": the histories that are long on what the rule is for.
RULES = [
    ("the activity log is on disk before the data is written",
     "kernel/replica/write_admission.cpp", 35, [],
     "        target.waiting_log.push_back(write);\n        target.disk->pump_log();\n",
     "        target.disk->pump_log();\n        go(write);\n"),
    ("a bit is set before a write is acknowledged that the peer lacks",
     "kernel/replica/write_path.cpp", 4, [],
     "    write.disk_was_lost = !target.has_disk();\n"
     "    if (target.disk != nullptr && target.state.disk > disk::failed) {\n",
     "    if (false) {\n"),
    ("the disk is flushed before an epoch is acknowledged",
     "kernel/replica/peer_epochs.cpp", 31, [],
     "if (!oldest->flushed && oldest->writes > 0 && flush()) {",
     "if (false && flush()) {"),
    ("the disk is flushed before the activity log forgets",
     "kernel/replica/local_disk.cpp", 4, ["--wide", "--story", "forget"],
     "    log_phase_ = log_phase::flushing;\n",
     "    log_phase_ = log_phase::flushing;\n    if (true) {\n        log_data_flushed(0);\n"
     "        return;\n    }\n"),
    ("the bitmap is stored before the activity log forgets",
     "kernel/replica/local_disk.cpp", 4, ["--wide", "--story", "alone"],
     "if (page >= bits.pages() || bits.page_stored(page)) {",
     "if (true) {"),
    ("the disk is flushed before cleared bits are stored",
     "kernel/replica/local_disk.cpp", 483, ["--story", "resync"],
     "return owner_.options.md_flushes && bits.page_cleared_at(page) > flushed_clears_;",
     "return owner_.options.md_flushes && page == bitmap::none;"),
    ("the bitmap is stored before the metadata stops saying Primary",
     "kernel/replica/local_disk.cpp", 73, ["--story", "demote"],
     "    if (!log_ends || bits.dirty_pages() + bits.writing_pages() == 0) {",
     "    if (log_ends || !log_ends) {"),
    ("a superblock says what was so when the flush before it began",
     "kernel/replica/local_disk.cpp", 4, ["--story", "demote"],
     "    if (!owner_.options.md_flushes) {\n        superblock_flushed(0);",
     "    if (true) {\n        superblock_flushed(0);"),
    ("overlapping writes are done one after the other",
     "kernel/replica/write_admission.cpp", 1, [],
     "    if (!target.waiting_overlap.empty() ||\n"
     "        target.in_flight.overlaps(write.sector, write.sectors())) {",
     "    if (false) {"),
    ("a sync target whose source fails is not current",
     "kernel/state/sanitize.cpp", 370, [],
     "    remember_unfinished_sync(at, context);\n", ""),
    ("a generation that was not stored is not what the users have seen",
     "kernel/replica/state_changes.cpp", 439, [],
     "            target.effective_generation = target.unstored.before.current;\n", ""),
    ("of two Primaries the one that does not decide waits for the answer to its own write",
     "kernel/replica/write_conflicts.cpp", 107, [],
     "        return true; // until the peer has said what becomes of ours\n",
     "        return false;\n"),
    ("what was frozen is marked before a peer that restarted becomes a sync target",
     "kernel/replica/handshake_decide.cpp", 3660, [],
     "    if (next == connection::wf_bitmap_s && state::restarted_while_frozen(target.state, view)) {"
     "\n", "    if (false) {\n"),
    ("a peer whose engine was restarted is known, whatever its disk",
     "kernel/replica/handshake_decide.cpp", 16467, [],
     "    facts.peer_restarted = target.peer_incarnation != 0 && ",
     "    facts.peer_restarted = false && "),
    ("a generation is stored after the writes of the peer that it stands for",
     "kernel/replica/local_disk.cpp", 700, ["--story", "detach"],
     "    if (peer_waits_ > 0) {\n", "    if (false) {\n"),
    ("a polite detach waits for the peer's disk",
     "kernel/replica/disks.cpp", 1835, ["--story", "detach"],
     "    if (!counted || !all_.link.up || !sends_data(target.state)) {\n",
     "    if (true) {\n"),
    ("nothing comes between a resize and the sync of the new part",
     "kernel/replica/command_queue.cpp", 1183, [],
     "    return target.resizing || target.size_asked;\n",
     "    return false && target.size_asked;\n"),
]


def commands(build, target):
    listed = subprocess.run(["ninja", "-C", build, "-t", "commands", target], check=True,
                            capture_output=True, text=True)
    return [line for line in listed.stdout.splitlines() if line.strip()]


def compile_command(lines, source):
    for line in lines:
        words = shlex.split(line)
        if "-c" in words and words[words.index("-c") + 1].endswith(source):
            return words
    raise SystemExit(f"no command compiles {source}")


def with_output(words, source, output):
    changed = list(words)
    changed[changed.index("-o") + 1] = output
    changed[changed.index("-c") + 1] = source
    for flag, count in (("-MD", 1), ("-MT", 2), ("-MF", 2)):
        if flag in changed:
            at = changed.index(flag)
            del changed[at:at + count]
    return changed


def link_command(lines, patched, output):
    # ": && c++ ... objects -o simulate libraries && :"
    words = [word for word in shlex.split(lines[-1]) if word not in (":", "&&")]
    at = words.index("-o")
    words[at + 1] = output
    # In front of the libraries, so that their member of the same name is not taken.
    words.insert(at, patched)
    return words


def undone(root, build, lines, rule):
    """The line of TAP, and what was found."""
    name, path, seed, where, old, new = rule
    with tempfile.TemporaryDirectory(prefix="sabotage-") as work:
        problem, found = try_out(root, build, lines, (path, seed, where, old, new), work)
    return name, problem, found


def try_out(root, build, lines, sabotage, work):
    path, seed, where, old, new = sabotage
    with open(os.path.join(root, path), encoding="utf-8") as file:
        text = file.read()
    if text.count(old) != 1:
        return f"the text to be changed is there {text.count(old)} times in {path}", ""
    source = os.path.join(work, os.path.basename(path))
    with open(source, "w", encoding="utf-8") as file:
        file.write(text.replace(old, new))
    patched = os.path.join(work, "patched.o")
    program = os.path.join(work, "simulate")
    hurry = ["-Wno-error", "-O0", "-g0"]
    for words in (with_output(compile_command(lines, path), source, patched) + hurry,
                  link_command(lines, patched, program)):
        built = subprocess.run(words, cwd=build, capture_output=True, text=True)
        if built.returncode != 0:
            return f"does not build: {built.stderr[-2000:]}", ""
    run = subprocess.run([program, "--seed", str(seed), "--count", str(SEEDS), "--seconds",
                          str(SECONDS), *where], capture_output=True, text=True, errors="replace")
    if run.returncode == 0:
        return "the simulation found nothing: " + run.stdout.strip().replace("\n", " "), ""
    found = [line for line in run.stdout.splitlines() if line.startswith("# seed")]
    return "", found[0] if found else f"# ended with {run.returncode}"


def main():
    build = os.path.abspath(sys.argv[1])
    wanted = sys.argv[2:]
    root = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 2))
    rules = [rule for rule in RULES if not wanted or any(part in rule[0] for part in wanted)]
    lines = commands(build, "tests/simulation/simulate")
    print(f"1..{len(rules)}", flush=True)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        tried = pool.map(lambda rule: undone(root, build, lines, rule), rules)
        for number, (name, problem, found) in enumerate(tried, 1):
            failed += bool(problem)
            print(f"{'not ok' if problem else 'ok'} {number} - undone, it is found out: {name}")
            print("  " + (f"# {problem}" if problem else found), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
