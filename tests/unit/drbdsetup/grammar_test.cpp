// The command lines of 8.4 and 8.3. Help is compared with the original's where that is installed
// (drbd-utils keep their 8.4 and 8.3 tools below /lib/drbd).
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "agent/drbdsetup/address.hpp"
#include "agent/drbdsetup/arguments.hpp"
#include "agent/drbdsetup/legacy_grammar.hpp"
#include "agent/drbdsetup/messages.hpp"
#include "agent/drbdsetup/usage.hpp"
#include "kernel/state/types.hpp"

#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::drbdsetup;

namespace {

constexpr const char* original = "/lib/drbd/drbdsetup-84";

std::string output_of(const std::string& command) {
    const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), &::pclose);
    std::string text;
    std::array<char, 4096> buffer;
    while (const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), pipe.get())) {
        text.append(buffer.data(), got);
    }
    return text;
}

void help_of_every_command_is_the_originals(void**) {
    if (::access(original, X_OK) != 0) {
        skip();
    }
    for (const command_row& row : commands()) {
        if (row.ours) {
            continue;
        }
        const std::string name(row.name);
        assert_string_equal(command_usage(row, "drbdsetup-84", false).c_str(),
                            output_of(std::string(original) + " help " + name).c_str());
        assert_string_equal(command_xml(row, false).c_str(),
                            output_of(std::string(original) + " xml-help " + name).c_str());
    }
}

using lines = std::vector<std::vector<std::string>>;

struct legacy_row {
    std::vector<std::string> words;
    lines expected;
};

std::optional<std::string> owner(std::uint32_t minor) {
    return minor == 0 ? std::optional<std::string>("r0") : std::nullopt;
}

void check_translation(const legacy_row& row) {
    assert_true(is_legacy(row.words));
    const result<lines> got = translate_legacy(row.words, owner);
    assert_true(got.has_value());
    if (*got != row.expected) {
        for (const auto& command : *got) {
            for (const std::string& word : command) {
                print_error("%s ", word.c_str());
            }
            print_error("\n");
        }
    }
    assert_true(*got == row.expected);
}

// The lines that 8.3's drbdadm runs for up, down and adjust.
void what_drbdadm_of_8_3_runs_is_translated(void**) {
    const legacy_row rows[] = {
        {{"1", "disk", "/dev/sdb1", "/dev/sdb1", "internal", "--set-defaults", "--create-device",
          "--on-io-error=pass_on"},
         {{"new-resource", "drbd1"},
          {"new-minor", "drbd1", "1", "0"},
          {"attach", "1", "/dev/sdb1", "/dev/sdb1", "internal", "--on-io-error=pass_on"}}},
        {{"0", "disk", "/dev/sdb1", "/dev/sdb1", "internal", "--no-disk-flushes"},
         {{"attach", "0", "/dev/sdb1", "/dev/sdb1", "internal", "--disk-flushes=no"}}},
        {{"0", "syncer", "--set-defaults", "--create-device", "--rate=50M", "--verify-alg=sha1",
          "--al-extents=257"},
         {{"disk-options", "0", "--set-defaults", "--resync-rate=50M", "--al-extents=257"},
          {"net-options", "r0", "--set-defaults", "--verify-alg=sha1"},
          {"resource-options", "r0", "--set-defaults"}}},
        {{"0", "net", "ipv4:10.0.0.1:7789", "ipv4:10.0.0.2:7789", "C", "--set-defaults",
          "--create-device", "--allow-two-primaries"},
         {{"connect", "r0", "ipv4:10.0.0.1:7789", "ipv4:10.0.0.2:7789", "--protocol=C",
           "--allow-two-primaries=yes"}}},
        {{"0", "down"}, {{"down", "r0"}}},
        {{"1", "down"}, {}},
        {{"0", "disconnect"}, {{"disconnect", "r0"}}},
    };
    for (const legacy_row& row : rows) {
        check_translation(row);
    }
}

void short_options_of_8_3_are_translated(void**) {
    const legacy_row rows[] = {
        {{"/dev/drbd0", "primary", "-o"}, {{"primary", "0", "--force"}}},
        {{"0", "disk", "/dev/sdb1", "/dev/sdb1", "internal", "-e", "detach", "-i", "-b"},
         {{"attach", "0", "/dev/sdb1", "/dev/sdb1", "internal", "--on-io-error=detach",
           "--disk-flushes=no"}}},
        {{"0", "disk", "/dev/sdb1", "internal", "-1"},
         {{"attach", "0", "/dev/sdb1", "internal", "-1"}}},
        {{"0", "net", "10.0.0.1", "10.0.0.2", "C", "-k", "4", "-t60", "-D", "-n"},
         {{"connect", "r0", "10.0.0.1", "10.0.0.2", "--protocol=C", "--ko-count=4", "--timeout=60",
           "--discard-my-data", "--tentative"}}},
        {{"0", "syncer", "-r", "10M", "-R"},
         {{"disk-options", "0", "--resync-rate=10M"}, {"net-options", "r0", "--use-rle=yes"}}},
        {{"0", "resize", "-s", "10G", "-c"}, {{"resize", "0", "--size=10G", "--assume-clean"}}},
        {{"0", "wait-connect", "-t", "10", "-w"},
         {{"wait-connect", "0", "--wfc-timeout=10", "--wait-after-sb"}}},
        {{"0", "verify", "-s", "1M"}, {{"verify", "0", "--start=1M"}}},
    };
    for (const legacy_row& row : rows) {
        check_translation(row);
    }
}

// What `drbdsetup-83 help` lists of 8.3.
void every_command_of_8_3_is_understood(void**) {
    const std::vector<std::string> with_arguments[] = {
        {"0", "disk", "/dev/sdb1", "/dev/sdb1", "internal"},
        {"0", "net", "10.0.0.1", "10.0.0.2", "C"},
    };
    for (const std::vector<std::string>& words : with_arguments) {
        assert_true(is_legacy(words) && translate_legacy(words, owner).has_value());
    }
    for (const char* verb : {"primary",
                             "secondary",
                             "detach",
                             "disconnect",
                             "resize",
                             "syncer",
                             "new-current-uuid",
                             "invalidate",
                             "invalidate-remote",
                             "pause-sync",
                             "resume-sync",
                             "suspend-io",
                             "resume-io",
                             "outdate",
                             "verify",
                             "down",
                             "state",
                             "role",
                             "status",
                             "sh-status",
                             "cstate",
                             "dstate",
                             "show-gi",
                             "get-gi",
                             "show",
                             "check-resize",
                             "events",
                             "wait-connect",
                             "wait-sync"}) {
        const std::vector<std::string> words = {"/dev/drbd0", verb, "--set-defaults",
                                                "--create-device"};
        assert_true(is_legacy(words));
        const result<lines> got = translate_legacy(words, owner);
        assert_true(got.has_value());
        // And what comes out is a command line of 8.4.
        for (const std::vector<std::string>& command : *got) {
            if (command[0] == "disconnect") {
                continue; // by its resource: resolved when the engine is asked
            }
            const result<invocation> parsed = parse_arguments(command);
            if (!parsed) {
                print_error("%s: %s\n", verb, parsed.error().text().c_str());
            }
            assert_true(parsed.has_value());
        }
    }
}

struct short_row {
    const char* command;
    const char* letters; // that take no argument
    const char* with_argument;
};

void every_short_option_of_8_3_is_translated(void**) {
    const short_row rows[] = {
        {"disk", "baiDm", "defst"},
        {"net", "mPDon", "tebuciSrkaxABCRpdgfh"},
        {"syncer", "R", "raeCvcnpdsMm"},
    };
    const std::vector<std::string> arguments[] = {
        {"/dev/sdb1", "/dev/sdb1", "internal"}, {"10.0.0.1", "10.0.0.2", "C"}, {}};
    for (std::size_t at = 0; at < std::size(rows); ++at) {
        const std::string all = std::string(rows[at].letters) + rows[at].with_argument;
        for (const char letter : all) {
            const bool takes =
                std::string(rows[at].with_argument).find(letter) != std::string::npos;
            std::vector<std::string> words = {"0", rows[at].command};
            words.insert(words.end(), arguments[at].begin(), arguments[at].end());
            words.push_back(std::string("-") + letter);
            if (takes) {
                words.push_back("7");
            }
            const result<lines> got = translate_legacy(words, owner);
            if (!got) {
                print_error("%s -%c: %s\n", rows[at].command, letter, got.error().text().c_str());
            }
            assert_true(got.has_value());
            // The argument went with its option.
            for (const std::vector<std::string>& command : *got) {
                assert_true(std::find(command.begin(), command.end(), "7") == command.end());
            }
        }
    }
}

void the_two_words_may_be_exchanged_as_8_4_lets_them(void**) {
    check_translation({{"r0", "down"}, {{"down", "r0"}}});
    assert_false(is_legacy({"down", "r0"}));
    assert_false(is_legacy({"primary", "0"}));
    assert_false(is_legacy({"r0"}));
}

void mistakes_in_the_old_grammar_are_told(void**) {
    const std::vector<std::string> wrong[] = {
        {"0", "net", "10.0.0.1", "10.0.0.2"},
        {"0", "disk", "/dev/sdb1"},
        {"0", "disk", "a", "b", "c", "--nose"},
        {"0", "syncer", "--rate"},
        {"0", "primary", "-Z"},
    };
    for (const std::vector<std::string>& words : wrong) {
        const result<lines> got = translate_legacy(words, owner);
        assert_false(got.has_value());
        assert_false(got.error().what.empty());
    }
}

struct address_row {
    const char* typed;
    const char* normal; // null: refused
};

void addresses_in_every_spelling(void**) {
    const address_row rows[] = {
        {"10.0.0.1", "ipv4:10.0.0.1:7788"},
        {"10.0.0.1:7789", "ipv4:10.0.0.1:7789"},
        {"ipv4:10.0.0.1:7789", "ipv4:10.0.0.1:7789"},
        {"ipv6:[fe80::1]:7789", "ipv6:[fe80::1]:7789"},
        {"[::1]", "ipv6:[::1]:7788"},
        {"ipv6:::1", "ipv6:[::1]:7788"},
        {"10.0.0.1:0", nullptr},
        {"10.0.0.1:65536", nullptr},
        {"10.0.0.1:", nullptr},
        {"10.0.0.1:77x", nullptr},
        {"ipv6:[::1", nullptr},
        {"ipv4:::1", nullptr},
        {"sdp:10.0.0.1:7789", nullptr},
        {"", nullptr},
    };
    for (const address_row& row : rows) {
        const result<std::string> got = normal_address(row.typed);
        if (got.has_value() != (row.normal != nullptr)) {
            print_error("%s\n", row.typed);
        }
        assert_int_equal(got.has_value(), row.normal != nullptr);
        if (got) {
            assert_string_equal(got->c_str(), row.normal);
        } else {
            assert_false(got.error().remedy.empty());
        }
    }
}

void every_configuration_error_has_a_text_and_a_way_out(void**) {
    for (int code = 101; code <= 176; ++code) {
        const code_text* found = find_code(code);
        assert_non_null(found);
        assert_false(found->text.empty());
        assert_false(found->remedy.empty());
    }
    assert_null(find_code(100));
    assert_null(find_code(177));
}

void every_refused_state_change_has_a_text_a_way_out_and_an_exit_code(void**) {
    for (int code = -1; code >= -28; --code) {
        control::reply refused;
        refused.ok = false;
        refused.is_state_change = true;
        refused.code = code;
        const message said = describe_outcome("0", refused);
        const int expected = code == -2 ? 17 : code == -16 ? 5 : code == -4 ? 16 : 11;
        assert_int_equal(said.exit_code, expected);
        const std::string head = "0: State change failed: (" + std::to_string(code) + ") ";
        assert_int_equal(said.text.find(head), 0);
        assert_true(said.text.find("\nhint: ") != std::string::npos);
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(help_of_every_command_is_the_originals),
        cmocka_unit_test(what_drbdadm_of_8_3_runs_is_translated),
        cmocka_unit_test(short_options_of_8_3_are_translated),
        cmocka_unit_test(every_command_of_8_3_is_understood),
        cmocka_unit_test(every_short_option_of_8_3_is_translated),
        cmocka_unit_test(the_two_words_may_be_exchanged_as_8_4_lets_them),
        cmocka_unit_test(mistakes_in_the_old_grammar_are_told),
        cmocka_unit_test(addresses_in_every_spelling),
        cmocka_unit_test(every_configuration_error_has_a_text_and_a_way_out),
        cmocka_unit_test(every_refused_state_change_has_a_text_a_way_out_and_an_exit_code),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
