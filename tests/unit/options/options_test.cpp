#include <set>
#include <string>

#include "kernel/options/legacy.hpp"
#include "kernel/options/table.hpp"
#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::options;

namespace {

constexpr section every_section[] = {section::disk, section::net, section::resource};

std::string set_error(const char* name, const char* text) {
    disk_options disk;
    const auto done = set(disk, name, text);
    return done ? std::string{} : done.error().what;
}

void defaults_of_the_structs_are_those_of_the_table(void**) {
    assert_true(changed(disk_options{}).empty());
    assert_true(changed(net_options{}).empty());
    assert_true(changed(resource_options{}).empty());
    assert_int_equal(settings(disk_options{}).size(), rows(section::disk).size());
    assert_int_equal(settings(net_options{}).size(), rows(section::net).size());
}

void every_default_is_valid_and_normal(void**) {
    for (const section where : every_section) {
        for (const option_row& row : rows(where)) {
            const auto normal = normalise(row, row.default_text);
            assert_true(normal.has_value() || row.default_text.empty());
            if (normal && row.kind != kind::boolean) {
                assert_string_equal(normal->c_str(), std::string(row.default_text).c_str());
            }
        }
    }
}

void every_row_without_effect_says_why(void**) {
    for (const section where : every_section) {
        for (const option_row& row : rows(where)) {
            assert_int_equal(row.reason.empty(), row.effect == effect::acts);
            assert_false(row.help.empty());
        }
    }
}

// Every option reaches the struct: a value that is not the default makes the struct differ and
// comes back as the same text.
template <class T>
void round_trip(section where) {
    for (const option_row& row : rows(where)) {
        std::string other;
        switch (row.kind) {
        case kind::number:
            other = std::to_string(number_of(row, row.default_text) == row.max ? row.min : row.max);
            break;
        case kind::boolean:
            other = row.default_text == "yes" ? "no" : "yes";
            break;
        case kind::word:
            other = row.words.front().word == row.default_text ? row.words.back().word
                                                               : row.words.front().word;
            break;
        case kind::text:
            other = "ff";
            break;
        }
        T options;
        assert_true(set(options, row.name, other).has_value());
        assert_false(options == T{});
        assert_true(same_value(row, get(options, row.name), other));
        const auto differing = changed(options);
        assert_int_equal(differing.size(), 1);
        assert_ptr_equal(differing.front().row, &row);
    }
}

void every_option_reaches_the_struct_and_comes_back(void**) {
    round_trip<disk_options>(section::disk);
    round_trip<net_options>(section::net);
    round_trip<resource_options>(section::resource);
}

void suffixes_scale_from_the_unit_of_the_option(void**) {
    disk_options disk;
    assert_true(set(disk, "resync-rate", "50M").has_value());
    assert_int_equal(disk.resync_rate_kib, 51200);
    assert_string_equal(get(disk, "resync-rate").c_str(), "51200k");
    assert_true(set(disk, "size", "1G").has_value());
    assert_int_equal(disk.size_sectors, 2097152);
    assert_true(set(disk, "size", "8s").has_value());
    assert_int_equal(disk.size_sectors, 8);
    assert_true(set(disk, "c-fill-target", "10k").has_value());
    assert_int_equal(disk.c_fill_target_sectors, 20);
    assert_true(set(disk, "resync-rate", "3s").has_value());
    assert_int_equal(disk.resync_rate_kib, 2);
}

void a_bare_flag_means_yes(void**) {
    net_options net;
    assert_true(set(net, "allow-two-primaries", "").has_value());
    assert_true(net.allow_two_primaries);
}

void the_protocol_letter_may_be_lower_case(void**) {
    net_options net;
    assert_true(set(net, "protocol", "a").has_value());
    assert_true(net.protocol == protocol::a);
    assert_string_equal(get(net, "protocol").c_str(), "A");
}

void range_errors_name_value_and_range(void**) {
    assert_string_equal(set_error("disk-timeout", "6001").c_str(),
                        "disk-timeout 6001 => 6001 out of range [0..6000].");
    assert_string_equal(set_error("resync-rate", "100G").c_str(),
                        "resync-rate 100G => 104857600k out of range [1..4194304]k.");
    assert_string_equal(set_error("resync-after", "-2").c_str(),
                        "resync-after -2 => -2 out of range [-1..1048575].");
}

void al_extents_of_8_3_are_brought_into_the_range_of_8_4(void**) {
    disk_options disk;
    assert_true(set(disk, "al-extents", "7").has_value());
    assert_int_equal(disk.al_extents, 67);
    assert_true(set(disk, "al-extents", "99999").has_value());
    assert_int_equal(disk.al_extents, 65534);
}

void word_errors_list_the_words(void**) {
    assert_string_equal(set_error("on-io-error", "panic").c_str(),
                        "on-io-error panic: not one of pass_on | call-local-io-error | detach");
    assert_string_equal(set_error("md-flushes", "maybe").c_str(),
                        "md-flushes maybe: not one of yes | no");
}

void text_that_is_no_number_is_refused(void**) {
    for (const char* text : {"", "M", "5X", "5MM", "0x10", "-5", " 5", "99999999999999999999",
                             "9223372036854775807G"}) {
        assert_false(set_error("resync-rate", text).empty());
    }
}

void a_failed_set_changes_nothing(void**) {
    disk_options disk;
    assert_false(set(disk, "resync-rate", "0").has_value());
    assert_false(set(disk, "no-such-option", "1").has_value());
    assert_true(disk == disk_options{});
}

void secrets_longer_than_drbd_allows_are_refused(void**) {
    net_options net;
    assert_true(set(net, "shared-secret", std::string(64, 'x')).has_value());
    assert_false(set(net, "shared-secret", std::string(65, 'x')).has_value());
}

void show_lines_carry_unit_and_default(void**) {
    disk_options disk;
    assert_true(set(disk, "resync-rate", "50M").has_value());
    assert_string_equal(show_line(changed(disk).front()).c_str(),
                        "resync-rate     \t51200k; # bytes/second");
    net_options net;
    assert_true(set(net, "shared-secret", "a\"b\\c").has_value());
    assert_string_equal(show_line(changed(net).front()).c_str(),
                        "shared-secret   \t\"a\\\"b\\\\c\";");
    for (const setting& entry : settings(net_options{})) {
        if (entry.row->name == "timeout") {
            assert_string_equal(show_line(entry).c_str(),
                                "timeout         \t60; # 1/10 seconds, default");
        }
    }
}

void every_spelling_of_8_3_leads_to_a_row(void**) {
    for (const command_83 command : {command_83::disk, command_83::net, command_83::syncer}) {
        std::set<char> letters;
        for (const legacy_option& old : legacy_options(command)) {
            const option_row* row = find(old.section, old.name);
            assert_non_null(row);
            assert_int_equal(!old.implied_value.empty(), row->kind == kind::boolean);
            assert_true(letters.insert(old.short_option).second);
        }
    }
    const legacy_option* rate = find_legacy(command_83::syncer, "rate");
    assert_non_null(rate);
    assert_true(rate->name == "resync-rate" && rate->short_option == 'r');
    assert_null(find_legacy(command_83::disk, "rate"));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(defaults_of_the_structs_are_those_of_the_table),
        cmocka_unit_test(every_default_is_valid_and_normal),
        cmocka_unit_test(every_row_without_effect_says_why),
        cmocka_unit_test(every_option_reaches_the_struct_and_comes_back),
        cmocka_unit_test(suffixes_scale_from_the_unit_of_the_option),
        cmocka_unit_test(a_bare_flag_means_yes),
        cmocka_unit_test(the_protocol_letter_may_be_lower_case),
        cmocka_unit_test(range_errors_name_value_and_range),
        cmocka_unit_test(al_extents_of_8_3_are_brought_into_the_range_of_8_4),
        cmocka_unit_test(word_errors_list_the_words),
        cmocka_unit_test(text_that_is_no_number_is_refused),
        cmocka_unit_test(a_failed_set_changes_nothing),
        cmocka_unit_test(secrets_longer_than_drbd_allows_are_refused),
        cmocka_unit_test(show_lines_carry_unit_and_default),
        cmocka_unit_test(every_spelling_of_8_3_leads_to_a_row),
    };
    return cmocka_run_group_tests_name("options", tests, nullptr, nullptr);
}
