#!/usr/bin/env python3
"""That the bench runs and writes what it says, with sizes too small to mean anything. Prints TAP.

usage: smoke_test.py STAGE"""

import json
import os
import subprocess
import sys
import tempfile

import report

RUN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "run")
KEYS = ["name", "value", "unit", "against", "ratio", "goal", "holds"]
# The start of a row's name, and what it is compared with.
ROWS = {
    ("StandAlone, randwrite 4k depth 32", "qemu's plain NBD export"): ">= 1.8",
    ("protocol C, randwrite 4k depth 32", "qemu's quorum mirror"): ">= 10",
    ("protocol C, randwrite 4k depth 32", "our own StandAlone"): ">= 0.45",
    ("protocol C, latency of randwrite 4k depth 1", "our own StandAlone"): "<= 1.6",
    ("protocol C, latency of randwrite 4k depth 1", "qemu's quorum mirror"): "<= 1.0",
    ("protocol B, randwrite 4k depth 32", "our own StandAlone"): None,
    ("protocol A, randwrite 4k depth 32", "our own StandAlone"): None,
    ("first sync over loopback", "dd with O_DIRECT at 4 MiB"): ">= 0.7",
    ("memory under load, 1 TiB attached", "its bitmap plus 24 MiB"): "<= 1.0",
    ("memory, protocol A, peer stalled", "the same before"): "<= 1.05",
}
# Not left to the quiet hour: these do not depend on how busy the machine is.
HOLD = {"memory under load, 1 TiB attached", "memory, protocol A, peer stalled"}


def bench(*arguments):
    return subprocess.run([sys.executable, RUN, *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)


def every_group_runs(stage, directory, readme):
    done = bench("--stage", stage, "--directory", directory, "--json", f"{directory}/rows",
                 "--readme", readme, "--runs", "1", "--seconds", "0.05", "--size", "16",
                 "standalone", "pair", "resync", "memory", "scale")
    if done.returncode != 0:
        return f"exit {done.returncode}\n{done.stdout}"
    return ""


def rows_are_complete(directory):
    with open(f"{directory}/rows", encoding="ascii") as file:
        rows = json.load(file)
    for row in rows:
        if list(row) != KEYS or row["value"] <= 0 or row["ratio"] <= 0:
            return f"not a row: {row}"
        if (row["goal"] is None) != (row["holds"] is None):
            return f"a goal and what became of it belong together: {row}"
    seen = {(row["name"], row["against"]): row["goal"] for row in rows}
    missing = {each: goal for each, goal in ROWS.items() if seen.get(each, "-") != goal}
    failed = [row for row in rows if row["name"] in HOLD and not row["holds"]]
    return f"missing: {missing}" if missing else f"missed: {failed}" if failed else ""


def readme_has_the_table(readme):
    with open(readme, encoding="utf-8") as file:
        text = file.read()
    before, rest = text.split(report.BEGIN)
    table, after = rest.split(report.END)
    if (before, after) != ("# before\n\n", "\n\nbehind\n"):
        return f"what is around the table has changed:\n{text}"
    wanted = ("Measured on 20", "| what | value | ratio | of | goal | |",
              "| StandAlone, randwrite 4k depth 32 |", "| <= 1.6 |")
    missing = [each for each in wanted if each not in table]
    return f"not in the table: {missing}\n{text}" if missing or "last year" in table else ""


def a_readme_without_a_place_is_refused(directory):
    path = f"{directory}/other.md"
    with open(path, "w", encoding="utf-8") as file:
        file.write("nothing\n")
    done = bench("--directory", directory, "--readme", path, "memory")
    with open(path, encoding="utf-8") as file:
        kept = file.read() == "nothing\n"
    good = done.returncode == 1 and report.BEGIN in done.stdout and kept
    return "" if good else f"exit {done.returncode}\n{done.stdout}"


def nothing_is_left(directory):
    left = [each for each in os.listdir(directory) if each.startswith("lockstep-bench-")]
    return f"left behind: {left}" if left else ""


def main():
    stage = sys.argv[1]
    with tempfile.TemporaryDirectory(prefix="lockstep-bench-smoke-", dir="/var/tmp") as directory:
        readme = f"{directory}/README.md"
        with open(readme, "w", encoding="utf-8") as file:
            file.write(f"# before\n\n{report.BEGIN}\nlast year\n{report.END}\n\nbehind\n")
        tests = {
            "every group runs": lambda: every_group_runs(stage, directory, readme),
            "rows are complete, and memory keeps its limits": lambda: rows_are_complete(directory),
            "a README gets the table in its place": lambda: readme_has_the_table(readme),
            "a README without a place for it is refused":
                lambda: a_readme_without_a_place_is_refused(directory),
            "nothing is left behind": lambda: nothing_is_left(directory),
        }
        print(f"1..{len(tests)}", flush=True)
        failed = 0
        for index, (name, test) in enumerate(tests.items(), 1):
            problem = test()
            failed += bool(problem)
            print(f"{'not ok' if problem else 'ok'} {index} - {name}", flush=True)
            for line in problem.splitlines():
                print(f"  # {line}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
