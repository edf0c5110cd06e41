// The program on every image of tests/fixtures/metadata: what it prints is what drbdmeta 9.22
// printed, to the byte but for date, host and device name; and what it changes is what it changed.
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <regex>
#include <string>

#include "unit/cmocka.hpp"
#include "unit/format/image.hpp"

namespace {

using lockstep::test::fixture_text;
using lockstep::test::image;

struct answer {
    std::string text; // standard output
    int code = -1;
};

std::string scratch(const std::string& name) {
    return "drbdmeta-fixture-" + std::to_string(::getpid()) + "-" + name;
}

// A copy of an image that is removed in the end.
class disk {
public:
    explicit disk(const std::string& name) : path_(scratch(name)) { image(name).write_to(path_); }
    ~disk() { ::unlink(path_.c_str()); }
    disk(const disk&) = delete;
    disk& operator=(const disk&) = delete;

    answer run(const std::string& words, const std::string& options = "") const {
        const std::string command = std::string(DRBDMETA) + " --force " + options + " - v08 " +
                                    path_ + " " + words + " 2>/dev/null </dev/null";
        std::FILE* pipe = ::popen(command.c_str(), "r");
        answer got;
        std::array<char, 65536> part = {};
        while (const std::size_t count = std::fread(part.data(), 1, part.size(), pipe)) {
            got.text.append(part.data(), count);
        }
        const int status = ::pclose(pipe);
        got.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        return got;
    }

private:
    std::string path_;
};

// Without the two lines of date and command, and without what the fixtures' script caught from
// standard error.
std::string plain(std::string text) {
    static const std::regex header("# \\d{4}-\\d\\d-\\d\\d [^\n]*\n# [^\n]*> [^\n]*\n");
    static const std::regex remark("Found meta data is \"unclean\"[^\n]*\n");
    text = std::regex_replace(std::regex_replace(text, header, ""), remark, "");
    while (!text.empty() && text.back() == '\n') {
        text.pop_back();
    }
    return text;
}

// The part of a .dump.txt that one command printed; `head` begins the line that names it.
std::string section(const std::string& all, const std::string& head) {
    const auto at = all.find(head);
    if (at == std::string::npos) {
        fail_msg("no section '%s'", head.c_str());
    }
    const auto from = all.find('\n', at) + 1;
    const auto end = std::min(all.find("\n$ ", from), all.find("\n==== ", from));
    return all.substr(from, end == std::string::npos ? end : end - from);
}

void check_same(const std::string& got, const std::string& expected) {
    assert_string_equal(plain(got).c_str(), plain(expected).c_str());
}

void check_looks(const disk& it, const std::string& text, const std::string& index,
                 const std::string& force) {
    check_same(it.run(index + " dump-md").text,
               section(text, "$ drbdmeta " + force + "0 v08 DEV " + index + " dump-md"));
    check_same(it.run(index + " get-gi --node-id 0").text,
               section(text, "$ drbdmeta 0 v08 DEV " + index + " get-gi"));
    check_same(it.run(index + " show-gi").text,
               section(text, "$ drbdmeta 0 v08 DEV " + index + " show-gi"));
    check_same(it.run(index + " dstate").text,
               section(text, "$ drbdmeta 0 v08 DEV " + index + " dstate"));
    check_same(it.run(index + " read-dev-uuid").text,
               section(text, "$ drbdmeta 0 v08 DEV " + index + " read-dev-uuid"));
}

void check_image(const std::string& name, const std::string& index, const std::string& force = "") {
    check_looks(disk(name), fixture_text(name + ".dump.txt"), index, force);
}

void clean_images_print_what_the_original_printed(void**) {
    for (const char* name : {"internal-64m-fresh", "internal-1280k-fresh",
                             "internal-64m-alstripes4x64k", "internal-512m-dirty-applied"}) {
        check_image(name, "internal");
    }
    check_image("flex-external-1280k-fresh", "flex-external");
}

void unclean_images_print_what_the_original_printed(void**) {
    check_image("internal-512m-clean-down", "internal", "--force ");
    check_image("internal-512m-dirty-crashed", "internal", "--force ");
    check_image("flex-external-1280k-used", "flex-external", "--force ");
    check_image("external-indexed-272m-used", "1", "--force ");
}

void both_slots_of_an_indexed_device_print_what_the_original_printed(void**) {
    const std::string name = "external-indexed-272m-idx0and1";
    const disk it(name);
    const std::string text = fixture_text(name + ".dump.txt");
    check_looks(it, text, "1", "");
    const std::string slot_0 = text.substr(text.find("==== index 0"));
    check_same(it.run("0 dump-md").text, section(slot_0, "==== index 0"));
}

void synthetic_83_images_print_what_the_original_printed(void**) {
    const std::string before = fixture_text("internal-64m-al83-synthetic.dump.txt");
    check_same(disk("internal-64m-al83-synthetic").run("internal dump-md").text,
               section(before, "dump-md"));
    const std::string after = fixture_text("internal-64m-al83-applied.dump.txt");
    check_same(disk("internal-64m-al83-applied").run("internal dump-md").text,
               section(after, "dump-md"));
}

void the_activity_log_is_listed_as_the_original_lists_it(void**) {
    const struct {
        const char* name;
        const char* index;
        const char* listing;
    } lists[] = {
        {"internal-512m-dirty-crashed", "internal", "internal-512m-dirty-crashed.al.txt"},
        {"internal-512m-clean-down", "internal", "internal-512m-clean-down.al.txt"},
        {"internal-64m-alstripes4x64k", "internal", "internal-64m-alstripes4x64k.al.txt"},
        {"flex-external-1280k-used", "flex-external", "flex-external-1280k-used.al.txt.xz"},
        {"external-indexed-272m-used", "1", "external-indexed-272m-used.al.txt.xz"},
        {"internal-64m-al83-synthetic", "internal", "internal-64m-al83-synthetic.al.txt.xz"},
    };
    for (const auto& entry : lists) {
        const auto got = disk(entry.name).run(std::string(entry.index) + " dump-md", "-vvvvvvvvvv");
        assert_int_equal(got.code, 0);
        check_same(got.text.substr(got.text.find("# al {")), fixture_text(entry.listing));
    }
}

void applying_a_log_changes_the_image_as_the_original_did(void**) {
    for (const auto& [before, after] :
         {std::pair("internal-512m-dirty-crashed", "internal-512m-dirty-applied"),
          std::pair("internal-64m-al83-synthetic", "internal-64m-al83-applied")}) {
        const disk it(before);
        assert_int_equal(it.run("internal apply-al").code, 0);
        const disk expected(after);
        const std::string compare = "cmp " + scratch(before) + " " + scratch(after);
        assert_int_equal(std::system(compare.c_str()), 0);
        assert_int_equal(it.run("internal apply-al").code, 0);
        assert_int_equal(std::system(compare.c_str()), 0);
    }
}

void an_unclean_image_is_not_dumped_without_force(void**) {
    const disk it("internal-512m-clean-down");
    const std::string command = std::string(DRBDMETA) + " --force - v08 " +
                                scratch("internal-512m-clean-down") + " internal get-gi";
    assert_int_equal(std::system((command + " >/dev/null").c_str()), 0);
    // A plain file needs --force, which also forces the dump; what tells them apart is the mark
    // that keeps such a dump from being restored.
    const std::string dump = scratch("dump");
    std::FILE* file = std::fopen(dump.c_str(), "w");
    const std::string text = it.run("internal dump-md").text;
    std::fwrite(text.data(), 1, text.size(), file);
    std::fclose(file);
    assert_int_equal(it.run("internal verify-dump " + dump).code, 10);
    assert_int_equal(it.run("internal apply-al").code, 0);
    file = std::fopen(dump.c_str(), "w");
    const std::string clean = it.run("internal dump-md").text;
    std::fwrite(clean.data(), 1, clean.size(), file);
    std::fclose(file);
    assert_int_equal(it.run("internal verify-dump " + dump).code, 0);
    ::unlink(dump.c_str());
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(clean_images_print_what_the_original_printed),
        cmocka_unit_test(unclean_images_print_what_the_original_printed),
        cmocka_unit_test(both_slots_of_an_indexed_device_print_what_the_original_printed),
        cmocka_unit_test(synthetic_83_images_print_what_the_original_printed),
        cmocka_unit_test(the_activity_log_is_listed_as_the_original_lists_it),
        cmocka_unit_test(applying_a_log_changes_the_image_as_the_original_did),
        cmocka_unit_test(an_unclean_image_is_not_dumped_without_force),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
