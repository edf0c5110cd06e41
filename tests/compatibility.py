"""Holds tests/compatibility.tsv, a line for every feature that a compatible suite has to answer
for, against the tests of a run.

    compatibility.py verify LOG...    every named test exists, ran and passed (LOG: ctest's
                                      Testing/Temporary/LastTest.log)
    compatibility.py totals           the table of totals by section, as the README shows it
    compatibility.py readme FILE      fails unless FILE shows just that table
    compatibility.py readme --write FILE
"""

import collections
import os
import re
import sys

TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "compatibility.tsv")
BEGIN = "<!-- totals of tests/compatibility.tsv -->"
END = "<!-- end of totals -->"
SECTIONS = {
    "S": "A first session, as its author typed it", "C": "Configuration language",
    "O": "Options", "A": "drbdadm", "D": "drbdsetup", "P": "/proc/drbd", "G": "Identifiers and scenarios",
    "T": "status", "V": "events2", "X": "Other formats", "N": "Vocabulary and error codes",
    "B": "drbdmeta and the disk", "H": "Handlers", "Q": "Policies", "R": "Replication engine",
    "K": "OCF agents", "E": "Fence handlers", "U": "Helper scripts", "I": "Init, systemd, udev",
    "M": "Monitors", "Y": "Reactor", "L": "drbdlinks", "Z": "cman and rgmanager",
    "W": "Cluster daemon",
}


def rows():
    with open(TABLE, encoding="utf-8") as table:
        for number, line in enumerate(table, 1):
            if line.startswith("#"):
                continue
            cells = line.rstrip("\n").split("\t")
            if len(cells) != 4:
                sys.exit(f"{TABLE}:{number}: 4 columns expected, {len(cells)} found")
            yield cells


def passed_and_failed(logs):
    """Names "ctest: test" by how they ended."""
    passed, failed = set(), set()
    for log in logs:
        program = ""
        with open(log, encoding="utf-8", errors="replace") as text:
            for line in text:
                begin = re.match(r"\d+/\d+ Testing: (\S+)", line)
                if begin:
                    program = begin.group(1)
                result = re.match(r"(not )?ok \d+ (?:- )?(.*?)\s*$", line)
                if result:
                    name = f"{program}: {result.group(2)}"
                    skipped = "# SKIP" in result.group(2).upper()
                    (failed if result.group(1) or skipped else passed).add(name)
    return passed - failed, failed


def verify(logs):
    passed, failed = passed_and_failed(logs)
    wrong = 0
    for identifier, _, _, tests in rows():
        for test in tests.split("; ") if tests != "-" else []:
            if test in passed:
                continue
            wrong += 1
            print(f"{identifier}: '{test}' " + ("failed" if test in failed else "did not run"))
    proven = sum(1 for row in rows() if row[3] != "-")
    print(f"compatibility: {proven} features of {sum(1 for _ in rows())} are proven by tests of "
          f"this run" if wrong == 0 else f"compatibility: {wrong} named tests are missing")
    return 1 if wrong else 0


def totals():
    count = collections.OrderedDict()
    for identifier, priority, _, tests in rows():
        section = count.setdefault(identifier[0], collections.Counter())
        section["all"] += 1
        section["proven"] += tests != "-"
        section["must"] += priority == "M"
        section["must proven"] += priority == "M" and tests != "-"
    lines = ["| section | rows | proven | of these musts | proven |", "|---|---:|---:|---:|---:|"]
    total = collections.Counter()
    for letter, section in count.items():
        total.update(section)
        lines.append(f"| {letter} {SECTIONS[letter]} | {section['all']} | {section['proven']} | "
                     f"{section['must']} | {section['must proven']} |")
    lines.append(f"| all | {total['all']} | {total['proven']} | {total['must']} | "
                 f"{total['must proven']} |")
    return "\n".join(lines)


def readme(path, write):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if BEGIN not in text or END not in text:
        print(f"{path}: no place for the totals ({BEGIN} ... {END})")
        return 1
    head, rest = text.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    wanted = f"{head}{BEGIN}\n{totals()}\n{END}{tail}"
    if text == wanted:
        return 0
    if not write:
        print(f"{path}: the totals are not those of the table; tests/compatibility.py readme "
              f"--write {path}")
        return 1
    with open(path, "w", encoding="utf-8") as file:
        file.write(wanted)
    return 0


def main(words):
    if words[:1] == ["verify"] and len(words) > 1:
        return verify(words[1:])
    if words == ["totals"]:
        print(totals())
        return 0
    if words[:1] == ["readme"] and len(words) in (2, 3):
        return readme(words[-1], "--write" in words)
    sys.exit(__doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
