"""The rows of a run: shown as they come, and written as JSON or into a README."""

import datetime
import json
import os
import re
import subprocess
import sys

BEGIN = "<!-- results of tests/bench/run -->"
END = "<!-- end of results -->"


def first_line(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    return done.stdout.splitlines()[0].strip() if done.stdout else ""


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    with open("/proc/meminfo", encoding="ascii") as file:
        memory_gib = int(re.search(r"MemTotal:\s+(\d+)", file.read()).group(1)) / (1 << 20)
    kernel = re.match(r"[0-9.]+[0-9]", os.uname().release).group(0)
    qemu = re.search(r"[0-9]+(\.[0-9]+)+", first_line("qemu-storage-daemon", "--version"))
    return (f"{os.cpu_count()} processors ({model.group(1) if model else os.uname().machine}), "
            f"{memory_gib:.0f} GiB, Linux {kernel}, "
            f"QEMU {qemu.group(0) if qemu else '?'}, {first_line('fio', '--version')}")


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


class Report:
    def __init__(self, how):
        self.how = how # a few words: how often, how long
        self.rows = []

    def row(self, name, value, unit, against, other, goal, below=False):
        ratio = value / other if other else 0
        holds = None if goal is None else (ratio <= goal if below else ratio >= goal)
        self.rows.append({"name": name, "value": round(value, 1), "unit": unit,
                          "against": against, "ratio": round(ratio, 3),
                          "goal": None if goal is None else f"{'<=' if below else '>='} {goal}",
                          "holds": holds})
        word = "" if holds is None else ("holds" if holds else "MISSED")
        print(f"{name:46} {value:12.1f} {unit:6} {ratio:8.3f} of {against:28} "
              f"{self.rows[-1]['goal'] or '':8} {word}", flush=True)

    def write_json(self, path):
        with open(path, "w", encoding="ascii") as file:
            json.dump(self.rows, file, indent=1)
            file.write("\n")

    def markdown(self):
        today = datetime.date.today().isoformat()
        lines = [f"Measured on {today}: {machine()}; {self.how}. Each row compares medians of one "
                 "run, in which the compared commands took turns.", "",
                 "| what | value | ratio | of | goal | |",
                 "|---|---:|---:|---|---|---|"]
        for each in self.rows:
            word = {None: "", True: "holds", False: "**missed**"}[each["holds"]]
            lines.append(f"| {each['name']} | {number(each['value'])} {each['unit']} "
                         f"| {each['ratio']:.2f} | {each['against']} | {each['goal'] or ''} "
                         f"| {word} |")
        return "\n".join(lines)

    def write_readme(self, path):
        before, after = parts_of(path)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"{before}{BEGIN}\n{self.markdown()}\n{END}{after}")


def parts_of(path):
    """What is before and behind the marked part of the file."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        sys.exit(f"{path}: the table goes between two lines, each there once and in this order; "
                 f"add them where it belongs:\n{BEGIN}\n{END}")
    before, rest = text.split(BEGIN)
    return before, rest.split(END)[1]
