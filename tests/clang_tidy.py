"""clang-tidy over the whole tree, in minutes: findings as FILE:LINE:COLUMN, and exit 1 if there is any.

    clang_tidy.py BUILD [PART...]     BUILD has a compile_commands.json; PART: only paths with it

Most of the time of clang-tidy goes into headers. The sources of one directory are therefore read as
one text where they can be (those whose names collide go into a text of their own), and lines are
translated back. A text without findings is remembered by the hash of all that went into it: its
sources, every header, flags, checks and the program's version. Findings are never remembered.
"""

import collections
import concurrent.futures
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CONFIGURATION = f"{ROOT}/.clang-tidy"
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")),
                     "lockstep-clang-tidy")
FILES_MAX = 14
# The path-sensitive checks, and that of products, are for what ships: tests multiply small constants.
# And the former look at so many states of a function at most: ten times as many take ten times as
# long and found nothing more.
ANALYZED = ("kernel/", "agent/", "daemon/", "ocf/")
ANALYZER_NODES_MAX = 20000
MESSAGE = re.compile(r"^(/.+?):(\d+):(\d+): (error|warning|note): (.*)$")

TEST = re.compile(r'#include [<"].*cmocka')

batch = collections.namedtuple("batch", "sources flags")


def relative(path):
    """As the project names it: rooms are seen by the compiler through links in the build."""
    path = re.sub(r".*/rooms/.*?/(?=(kernel|agent|daemon|ocf)/)", "", path)
    return os.path.relpath(path, ROOT) if path.startswith(ROOT + "/") else path


def flags_of(entry):
    words = shlex.split(entry["command"])
    words = words[next(at for at, word in enumerate(words) if word.startswith("-")):]
    kept = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in ("-o", "-MF", "-MT"):
            skip = True
        elif word not in ("-c", "-MD", "-Werror", entry["file"]) and not word.startswith("-fsanitize"):
            kept.append(word)
    return tuple(kept)


def batches(build, parts):
    """The sources of each directory that are compiled alike, some at a time."""
    with open(f"{build}/compile_commands.json", encoding="utf-8") as file:
        entries = json.load(file)
    alike = collections.defaultdict(dict)
    for entry in entries:
        for source in sources_of(entry["file"]):
            if not parts or any(part in relative(source) for part in parts):
                alike[os.path.dirname(source), flags_of(entry)][source] = True
    out = []
    for (_, flags), files in sorted(alike.items()):
        # What follows cmocka.h can't use the name fail: such a source stands alone.
        alone = [each for each in files if TEST.search(content(each))]
        out += [batch([each], flags) for each in sorted(alone)]
        names = sorted(set(files) - set(alone))
        for at in range(0, len(names), FILES_MAX):
            out.append(batch(names[at:at + FILES_MAX], flags))
    return out


def sources_of(path):
    """The build has texts of several sources, too."""
    return re.findall(r'^#include "(.+)"', content(path), re.M) if "/Unity/" in path else [path]


def content(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def one_text(sources):
    """The text of all of them, and for each of its lines the file and line that it is."""
    lines, places = [], []
    for number, source in enumerate(sources):
        if len(sources) > 1:
            lines += ["#undef main\n", f"#define main main_{number}\n"]
            places += [(source, 1), (source, 1)]
        text = content(source).splitlines(keepends=True)
        lines += text
        places += [(source, at) for at in range(1, len(text) + 1)]
    return "".join(lines), places


def run(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace")


class Text:
    """A batch as a file of the build."""

    def __init__(self, work, these):
        self.batch = these
        text, self.places = one_text(these.sources)
        name = hashlib.sha256(repr(these).encode()).hexdigest()[:16]
        self.path = f"{work}/{name}.cpp"
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(text)
        self.flags = [*these.flags, "-iquote", os.path.dirname(these.sources[0])]

    def messages(self, output):
        """(file, line, column, kind, text) of a program's output."""
        for line in output.splitlines():
            found = MESSAGE.match(line)
            if not found:
                continue
            path, number, column, kind, text = found.groups()
            number = int(number)
            if path == self.path:
                path, number = self.places[min(number, len(self.places)) - 1]
            yield relative(path), number, int(column), kind, text

    def key(self):
        """What its result depends on."""
        made = run("clang++", "-M", *self.flags, self.path)
        if made.returncode != 0:
            return None
        needed = made.stdout.split(":", 1)[1].replace("\\\n", " ").split()
        digest = hashlib.sha256()
        for part in (VERSION, repr(options(self.batch)), " ".join(self.flags).replace(ROOT, ".")):
            digest.update(part.encode() + b"\0")
        for path in sorted(set(needed), key=relative):
            with open(path, "rb") as file:
                digest.update(hashlib.sha256(file.read()).digest())
        for path in (CONFIGURATION, os.path.abspath(__file__)):
            with open(path, "rb") as file:
                digest.update(file.read())
        return digest.hexdigest()


def options(these):
    if relative(these.sources[0]).startswith(ANALYZED):
        words = ["-Xclang", "-analyzer-config", "-Xclang", f"max-nodes={ANALYZER_NODES_MAX}"]
        return [f"--extra-arg={word}" for word in words]
    return ["--checks=-clang-analyzer-*,-bugprone-implicit-widening-of-multiplication-result"]


def look(work, these):
    """The findings in a batch: lines."""
    text = Text(work, these)
    key = text.key()
    mark = key and f"{CACHE}/{key}"
    if mark and os.path.exists(mark):
        os.utime(mark)
        return []
    if len(these.sources) > 1:
        compiled = run("clang++", "-fsyntax-only", "-ferror-limit=0", *text.flags, text.path)
        apart = sorted({os.path.join(ROOT, path) for path, _, _, kind, _
                        in text.messages(compiled.stdout) if kind == "error"}
                       & set(these.sources))
        if compiled.returncode != 0:
            return look_apart(work, these, apart, mark)
    done = run("clang-tidy", "--quiet", f"--config-file={CONFIGURATION}", *options(these),
               text.path, "--", *text.flags)
    found = [f"{path}:{line}:{column}: {what}"
             for path, line, column, kind, what in text.messages(done.stdout)
             if kind in ("error", "warning")]
    if done.returncode != 0 and not found:
        found = [f"{relative(these.sources[0])}:1:1: clang-tidy ended with {done.returncode}\n"
                 f"{done.stdout}"]
    # Of a name that two sources are using, only the first is taken for used.
    twice = {line.split(":", 1)[0] for line in found if "misc-unused-using-decls" in line}
    if twice and len(these.sources) > 1:
        found = [line for line in found if "misc-unused-using-decls" not in line]
        for source in these.sources:
            if relative(source) in twice:
                found += look(work, batch([source], these.flags))
        found = sorted(set(found))
    remember(mark, found)
    return found


def look_apart(work, these, apart, mark):
    """The same in two halves: those whose names collide with others', and the others."""
    if not apart or len(apart) == len(these.sources):
        half = len(these.sources) // 2
        apart = these.sources[half:]
    rest = [each for each in these.sources if each not in apart]
    found = look(work, batch(rest, these.flags)) + look(work, batch(apart, these.flags))
    remember(mark, found)
    return found


def remember(mark, found):
    if mark and not found:
        os.makedirs(CACHE, exist_ok=True)
        with open(mark, "w", encoding="ascii"):
            pass


def forget_old(days=30):
    """What no run has asked for in a while."""
    if os.path.isdir(CACHE):
        for name in os.listdir(CACHE):
            path = f"{CACHE}/{name}"
            if time.time() - os.stat(path).st_mtime > days * 86400:
                os.unlink(path)


def main():
    build = os.path.abspath(sys.argv[1])
    work = f"{build}/clang-tidy"
    os.makedirs(work, exist_ok=True)
    todo = batches(build, sys.argv[2:])
    found = set()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for lines in pool.map(lambda each: look(work, each), todo):
            for line in sorted(set(lines) - found):  # a header's finding comes with each source
                print(line, flush=True)
            found |= set(lines)
    print(f"{sum(len(each.sources) for each in todo)} sources, {len(found)} findings")
    forget_old()
    return 1 if found else 0


VERSION = run("clang-tidy", "--version").stdout

if __name__ == "__main__":
    sys.exit(main())
