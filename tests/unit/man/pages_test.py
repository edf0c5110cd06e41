#!/usr/bin/env python3
"""The manual pages, against what the programs themselves say they take. Writes TAP."""

import argparse
import os
import re
import shutil
import subprocess
import sys

PAGES = {"drbdadm": "8", "drbdsetup": "8", "drbdmeta": "8", "drbd.conf": "5",
         "lockstep-engine": "8", "lockstepd": "8", "lockstep": "8"}
SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "OPTIONS", "EXIT STATUS", "FILES",
            "ENVIRONMENT", "EXAMPLES", "SEE ALSO"]


def environment(locale):
    kept = {key: value for key, value in os.environ.items()
            if not key.startswith(("MAN", "GROFF", "LC_", "LANG"))}
    return {**kept, "LC_ALL": locale, "MANWIDTH": "80",
            "LOCKSTEP_RUNTIME_DIRECTORY": "/nonexistent"}


def formatted(path, locale="C.UTF-8"):
    """The page as `man` shows it to a pipe, and its warnings."""
    if shutil.which("man"):
        words = ["man", "--warnings", "-l", path]
    else:
        device = "-Tutf8" if "UTF-8" in locale else "-Tascii"
        words = ["groff", "-t", "-man", "-ww", "-P-cbou", device, path]
    done = subprocess.run(words, env=environment(locale), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False)
    text = re.sub(r".\x08", "", done.stdout.decode(errors="replace"))
    warnings = done.stderr.decode(errors="replace")
    return text, warnings if done.returncode == 0 else f"exit {done.returncode}\n{warnings}"


def said(*words):
    done = subprocess.run(words, env=environment("C"), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.stdout.decode()


def has_entry(text, name):
    """A line of its own that begins with the name, less indented than its description."""
    return re.search(rf"^ {{3,14}}{re.escape(name)}(?![\w-])", text, re.M) is not None


class Checks:
    def __init__(self):
        self.count = 0
        self.failed = 0

    def same(self, name, missing):
        self.count += 1
        missing = sorted(missing)
        print(f"{'not ' if missing else ''}ok {self.count} - {name}")
        if missing:
            self.failed += 1
            print("# " + "\n# ".join(line for one in missing for line in str(one).split("\n")))


class Programs:
    """What the programs print about themselves."""

    def __init__(self, given):
        self.given = given

    def drbdadm_verbs(self):
        help_text = said(self.given.drbdadm, "help").split("COMMANDS:")[1]
        hidden = said(self.given.drbdadm, "hidden-commands")
        listed = [line for line in (help_text + "\n" + hidden).split("\n")
                  if re.match(r"^ ?[a-z-]+( +[a-z-]+)? *$", line)]
        return {word for line in listed for word in line.split()} - {"nifty"}

    def drbdadm_options(self):
        return set(re.findall(r"^  (--[a-z-]+)", said(self.given.drbdadm, "help"), re.M))

    def drbdsetup_verbs(self):
        text = said(self.given.drbdsetup, "help").split("Commands are:")[1]
        return set(text.split("To get more")[0].split())

    def drbdsetup_options(self, verb):
        text = re.sub(r"\s+", " ", said(self.given.drbdsetup, "help", verb))
        return set(re.findall(r"\[(--[A-Za-z0-9-]+)", text))

    def conf_options(self):
        found = {}
        for section, verb in (("disk", "attach"), ("net", "connect"),
                              ("options", "new-resource")):
            text = said(self.given.drbdsetup, "xml-help", verb)
            for name, rest in re.findall(r'<option name="([^"]+)"(.*?)</option>', text, re.S):
                default = re.search(r"<default>(.*?)</default>", rest)
                found[name] = (section, default.group(1) if default else None)
        return found

    def drbdmeta_verbs(self):
        usage = said(self.given.drbdmeta).split("COMMANDS:")[1]
        return set(re.findall(r"^  ([a-z-]+)", usage, re.M))

    def engine_options(self):
        return set(re.findall(r"^  (--[a-z-]+)", said(self.given.engine, "--help"), re.M))

    def lockstepd_options(self):
        return self.options_of(said(self.given.lockstepd, "--help"))

    def lockstep_commands(self):
        """Each with its options; those of the program are those of ''."""
        usage = said(self.given.lockstep, "--help")
        verbs = re.findall(r"^  ([a-z-]+) ", usage.split("Subcommands:")[1], re.M)
        return {"": self.options_of(usage),
                **{verb: self.options_of(said(self.given.lockstep, verb, "--help"))
                   for verb in verbs}}

    @staticmethod
    def options_of(usage):
        return set(re.findall(r"^  (?:-h,)?(--[a-z-]+)", usage, re.M)) - {"--help", "--version"}


# Of connect alone, and no part of net {}.
NOT_IN_CONF = {"tentative", "discard-my-data", "alternate-address", "alternate-peer-address"}
# The verbs of drbdmeta that its usage does not show.
QUIET_VERBS = {"read-dev-uuid", "write-dev-uuid", "set-gi"}
# What the author of the installation notes looks for: page, pattern, and what stands there.
GREPS = [("drbd.conf", r"on-io-error handler", "detach"),
         ("drbd.conf", r"protocol prot-id", "Protocol A"),
         ("drbd.conf", r"^ *syncer", "rate"),
         ("drbdsetup", r"^ *syncer", "--rate")]


def grep(text, pattern, lines_after):
    """As grep -A."""
    lines = text.split("\n")
    found = [at for at, line in enumerate(lines) if re.search(pattern, line)]
    return "\n".join("\n".join(lines[at:at + lines_after + 1]) for at in found)


def check_format(checks, pages):
    for name in PAGES:
        text, warnings = pages[name]
        checks.same(f"{name} is formatted without warnings", [warnings] if warnings else [])
        wanted = SECTIONS if name != "drbd.conf" else ["NAME", "SYNOPSIS", "DESCRIPTION",
                                                       "SECTIONS", "HANDLERS", "FILES",
                                                       "EXAMPLES", "SEE ALSO"]
        there = re.findall(r"^([A-Z][A-Z0-9. ]+)$", text, re.M)
        checks.same(f"{name} has all sections", set(wanted) - set(there))
        checks.same(f"{name} has no directive left over",
                    re.findall(r"@[a-z]+ ?[a-z -]*@?", text))


def check_verbs(checks, pages, programs):
    for name, verbs, least in (("drbdadm", programs.drbdadm_verbs(), 75),
                               ("drbdsetup", programs.drbdsetup_verbs(), 38),
                               ("drbdmeta", programs.drbdmeta_verbs() | QUIET_VERBS, 15)):
        text = pages[name][0]
        checks.same(f"{name} tells of itself", [] if len(verbs) >= least else [len(verbs)])
        checks.same(f"{name} has an entry for each command",
                    {verb for verb in verbs if not has_entry(text, verb)})


def check_options(checks, pages, programs):
    conf = pages["drbd.conf"][0]
    options = {name: what for name, what in programs.conf_options().items()
               if name not in NOT_IN_CONF}
    checks.same("the table is not empty", [] if len(options) >= 50 else [len(options)])
    checks.same("drbd.conf has an entry for each option",
                {name for name in options if not has_entry(conf, name)})
    checks.same("drbdsetup has an entry for each option",
                {name for name in options if not has_entry(pages["drbdsetup"][0], f"--{name}")})
    wrong = set()
    for name, (_, default) in options.items():
        entry = re.sub(r"\s+", " ", grep(conf, rf"^ {{7}}{re.escape(name)} ", 9))
        if default and not re.search(rf"[Dd]efault {re.escape(default)}[a-z]?\.", entry):
            wrong.add(f"{name}: default {default}")
    checks.same("drbd.conf has the default of each option", wrong)
    setup = pages["drbdsetup"][0]
    missing = {f"{verb} {option}" for verb in programs.drbdsetup_verbs()
               for option in programs.drbdsetup_options(verb)
               if not re.search(rf"{option}(?![\w-])", setup)}
    checks.same("drbdsetup names each option of each command", missing)
    checks.same("drbdadm has its own options", {
        option for option in programs.drbdadm_options()
        if not re.search(rf"^ {{3,14}}.*{option}(?![\w-])", pages["drbdadm"][0], re.M)})
    engine = programs.engine_options()
    checks.same("lockstep-engine has an entry for each option", {
        option for option in engine if not has_entry(pages["lockstep-engine"][0], option)}
        if len(engine) >= 10 else {"none in its --help"})


def check_daemon(checks, pages, programs):
    options = programs.lockstepd_options()
    checks.same("lockstepd has an entry for each option", {
        option for option in options if not re.search(rf"^ {{3,14}}.*{option}(?![\w-])",
                                                      pages["lockstepd"][0], re.M)}
        if len(options) >= 6 else options)
    commands = programs.lockstep_commands()
    text = pages["lockstep"][0]
    checks.same("lockstep has an entry for each command", {
        verb for verb in commands if verb and not has_entry(text, verb)}
        if len(commands) >= 10 else set(commands))
    checks.same("lockstep names each option of each command", {
        f"{verb} {option}" for verb, options in commands.items() for option in options
        if not re.search(rf"{option}(?![\w-])", text)})


def check_messages(checks, pages):
    """Every number that drbdsetup can print: drbd.h has 101 to 176, and state changes to -21."""
    text = pages["drbdsetup"][0]
    numbers = [*range(101, 177), *range(-21, -3), -2, -1]
    checks.same("drbdsetup explains each number of a message",
                {number for number in numbers if not has_entry(text, f"({number})")})


def check_greps(checks, given):
    for locale in ("C", "C.UTF-8"):
        for name, pattern, expected in GREPS:
            text = formatted(f"{given.pages}/{name}.{PAGES[name]}", locale)[0]
            found = grep(text, pattern, 13)
            checks.same(f"man {name} | grep -A '{pattern}' in {locale}",
                        [] if expected in found else [f"{expected} is not in:\n{found}"])


def main():
    arguments = argparse.ArgumentParser()
    for name in ("pages", "drbdadm", "drbdsetup", "drbdmeta", "engine", "lockstepd",
                 "lockstep"):
        arguments.add_argument(f"--{name}", required=True)
    given = arguments.parse_args()
    if not shutil.which("man") and not shutil.which("groff"):
        print("Bail out! neither man nor groff is installed")
        return 1
    checks = Checks()
    pages = {name: formatted(f"{given.pages}/{name}.{section}")
             for name, section in PAGES.items()}
    programs = Programs(given)
    check_format(checks, pages)
    check_verbs(checks, pages, programs)
    check_options(checks, pages, programs)
    check_daemon(checks, pages, programs)
    check_messages(checks, pages)
    check_greps(checks, given)
    print(f"1..{checks.count}")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
