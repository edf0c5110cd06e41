#!/usr/bin/env python3
"""No option is accepted in silence. Of the table of options every row that acts has a test that is
named in proofs.tsv; every row without effect is in the lists of those tests that look for the
warning; every word of DRBD 9 is in the list of those that are said not to be handed on.

usage: proofs_test.py PRINT_TABLE TESTS WORDS.CPP
"""
import os
import re
import subprocess
import sys


def rows_of_the_table(program):
    out = subprocess.run([program], check=True, text=True, stdout=subprocess.PIPE).stdout
    return [tuple(line.split("\t")) for line in out.splitlines()]


def proofs():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "proofs.tsv")
    found = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            if not line.startswith("#"):
                section, name, test = line.rstrip("\n").split("\t")
                assert (section, name) not in found, f"{name} twice"
                found[section, name] = test
    return found


def read(*parts):
    with open(os.path.join(*parts), encoding="utf-8") as file:
        return file.read()


def source_of(tests, program):
    """The source of a test program, found by the CMakeLists.txt that names it."""
    room, _, rest = program.partition("_")
    places = {"simulation": ("simulation", f"{rest}_test.cpp"),
              "host": ("unit/host", f"{rest}.cpp"),
              "engine": ("unit/host", f"{program}.py"),
              "replica": ("unit/replica", f"{rest}_test.cpp")}
    return read(tests, *places[room])


def each_option_that_acts_has_a_test(program, tests, _words):
    acting = {row[:2] for row in rows_of_the_table(program) if row[2] == "acts"}
    named = proofs()
    assert acting == set(named), f"without proof, or proof of nothing: {acting ^ set(named)}"
    for (_, name), test in named.items():
        program_name, function = test.split(": ")
        text = source_of(tests, program_name)
        defined = re.search(rf"(void|def) {function}\(", text)
        listed = function.startswith("cpu_") or f"cmocka_unit_test({function})" in text
        assert defined and listed, f"{name}: {test} does not exist"


def each_option_without_effect_is_looked_for_in_the_warnings(program, tests, _words):
    without = {row[1] for row in rows_of_the_table(program) if row[2] == "no-effect"}
    assert without, "the table has none?"
    for file in ("unit/drbdadm/options_test.py", "unit/host/engine_options_test.py"):
        text = read(tests, file)
        listed = text[text.index("WITHOUT_EFFECT"):text.index("\n\n", text.index("WITHOUT_EFFECT"))]
        for name in without:
            assert f'"{name}"' in listed, f"{name} is not in WITHOUT_EFFECT of {file}"


def nothing_is_refused_but_what_says_so(program, _tests, _words):
    refused = [row for row in rows_of_the_table(program) if row[2] == "refused"]
    assert not refused, f"needs a test that it is refused: {refused}"


def each_word_of_drbd_9_is_looked_for_in_the_warnings(_program, tests, words):
    known = set(re.findall(r'word_of_9\{"([^"]+)"', read(words)))
    listed = read(tests, "unit/drbdadm/options_test.py")
    listed = listed[listed.index("OF_9 = "):listed.index("SAYS_NOT_PASSED")]
    handlers = {"disconnected", "quorum-lost"}  # no options; see the rows for handlers
    assert len(known) > 20, known
    missing = {name for name in known - handlers if f'"{name}"' not in listed}
    assert not missing, f"not looked for: {missing}"


def main():
    tests = [each_option_that_acts_has_a_test,
             each_option_without_effect_is_looked_for_in_the_warnings,
             nothing_is_refused_but_what_says_so,
             each_word_of_drbd_9_is_looked_for_in_the_warnings]
    print(f"1..{len(tests)}")
    failed = 0
    for number, test in enumerate(tests, 1):
        try:
            test(*sys.argv[1:4])
            print(f"ok {number} - {test.__name__}")
        except (AssertionError, OSError, KeyError, ValueError) as problem:
            failed += 1
            print(f"not ok {number} - {test.__name__}\n# {problem}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
