"""The borders of the rooms, as the compiler sees them:

    rooms.py BUILD

Every header compiles alone: most are the first include of a source that the build compiles, the
others are compiled here. And a room sees no other room than the README's table allows it.
"""

import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys

INCLUDE = re.compile(r'\s*#\s*include\s+["<]([^">]+)[">]')
ROW = re.compile(r"\| (`[^|]*`) \| [^|]* \| ([^|]*) \|")


def first_include(path):
    with open(path, encoding="utf-8") as file:
        for line in file:
            found = INCLUDE.match(line)
            if found:
                return found.group(1)
    return None


class Compiler:
    """Compiles a few lines as the sources of a directory are compiled."""

    def __init__(self, build):
        self.build = build
        with open(f"{build}/compile_commands.json", encoding="utf-8") as file:
            self.entries = json.load(file)

    def flags(self, directory, header=None):
        """Of a source in the directory, or below it, that includes the header; or else None."""
        for entry in self.entries:
            source = os.path.relpath(entry["file"])
            if not f"{source}/".startswith(f"{directory}/"):
                continue
            with open(source, encoding="utf-8") as file:
                if header and f'{header}"' not in file.read():
                    continue
            words = shlex.split(entry["command"])
            at = next(at for at, word in enumerate(words) if word.startswith("-"))
            return [words[at - 1], *words[at:words.index("-o")],
                    "-iquote", os.path.abspath(directory)]
        return None

    def run(self, directory, text, *more, header=None):
        """(whether it compiles, what was said)"""
        flags = self.flags(directory, header) or self.flags(directory) or (
            self.flags("tests", header))
        if flags is None:
            return False, f"nothing in {directory} is compiled"
        done = subprocess.run([*flags, *more, "-x", "c++", "-"], input=text, text=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=self.build)
        return done.returncode == 0, done.stderr


def headers_not_alone(files, compiler):
    """[what is wrong], how many headers there are"""
    headers = [each for each in files if each.endswith(".hpp")]
    proven = set()
    for source in files:
        if source.endswith(".cpp"):
            name = first_include(source)
            if name:
                proven |= {name, f"tests/{name}",
                           os.path.normpath(f"{os.path.dirname(source)}/{name}")}
    others = [each for each in headers if each not in proven]

    def compile_alone(path):
        text = f'#include "{os.path.basename(path) if path.startswith("tests/") else path}"\n'
        good, said = compiler.run(os.path.dirname(path), text, "-fsyntax-only",
                                  header=os.path.basename(path))
        return [] if good else [f"{path} does not compile alone:\n{said}"]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        wrong = [line for lines in pool.map(compile_alone, others) for line in lines]
    return wrong, len(headers)


def allowed_by_readme():
    """Room -> the rooms that it may use, directly or through them."""
    direct = {}
    with open("README.md", encoding="utf-8") as file:
        for line in file:
            row = ROW.match(line)
            if not row:
                continue
            names = re.findall(r"`([^`]+)`", row.group(1))
            parent = os.path.dirname(names[0])
            for name in names:
                room = name if "/" in name else f"{parent}/{name}"
                if os.path.isfile(f"{room}/CMakeLists.txt"):
                    direct[room] = row.group(2).strip()
    out, before = {}, []
    for room, text in direct.items():
        words = re.split(r",\s*", text.replace("the above", ", ".join(before)))
        used = {room}
        for word in filter(None, words):
            if word == "all of kernel":
                used |= {each for each in direct if each.startswith("kernel/")}
            for each in direct:
                if each in (word, f"kernel/{word}", f"agent/{word}"):
                    used |= {each} | out.get(each, set())
        out[room] = used
        before.append(room)
    return out


def borders_open(files, compiler):
    """[what is wrong], how many pairs were tried"""
    allowed = allowed_by_readme()
    sample = {}
    for path in files:
        if path.endswith(".hpp"):
            sample.setdefault(os.path.dirname(path), path)
    pairs = [(room, other) for room in allowed for other in allowed
             if other not in allowed[room] and other in sample and room in sample]

    def try_include(pair):
        room, other = pair
        good, said = compiler.run(room, f'#include "{sample[other]}"\n', "-E")
        if good:
            return [f"{room} can include {sample[other]}, which README.md does not allow"]
        return [] if "No such file" in said else [f"{room}, {sample[other]}:\n{said}"]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [line for lines in pool.map(try_include, pairs) for line in lines], len(pairs)


def main():
    build = os.path.abspath(sys.argv[1])
    os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    files = subprocess.run(["git", "ls-files"], stdout=subprocess.PIPE, text=True,
                           check=True).stdout.splitlines()
    compiler = Compiler(build)
    alone, headers = headers_not_alone(files, compiler)
    borders, pairs = borders_open(files, compiler)
    print("\n".join(alone + borders))
    print(f"{headers} headers compile alone" if not alone else f"{len(alone)} do not")
    print(f"{pairs} forbidden includes fail" if not borders else f"{len(borders)} do not")
    return 1 if alone or borders or not headers or not pairs else 0


if __name__ == "__main__":
    sys.exit(main())
