#include <cstring>
#include <string>

#include "daemon/arbiter/codec.hpp"
#include "kernel/base/crc32c.hpp"
#include "unit/cmocka.hpp"

namespace {

using namespace lockstep;
using namespace lockstep::arbiter;

ledger_state some_state() {
    ledger_state out;
    out.promised = 41;
    out.votes = true;
    out.cluster.at = {41, 7};
    out.cluster.incarnation = 0x1122334455667788;
    out.cluster.nodes = {{1, 1}, {2, 1}, {0xFFFFFFFF, 3}};
    out.cluster.before = {{1, 1}};
    resource_record& data = out.resources["data"];
    data.at = {40, 2};
    data.incarnation = 9;
    data.lineage = 0xABCDEF;
    data.epoch = 3;
    data.primary = 2;
    data.in_sync = {1, 2};
    out.resources["gone"].removed = true;
    return out;
}

void written(std::vector<std::byte>& bytes, std::size_t at, std::uint8_t value) {
    bytes.at(at) = static_cast<std::byte>(value);
}

// As somebody would who has the checksum right.
void sealed(std::vector<std::byte>& bytes) {
    const auto body = const_byte_span(bytes).first(bytes.size() - 4);
    store_big(bytes.data() + bytes.size() - 4, crc32c(body));
}

void refused(const std::vector<std::byte>& bytes, const std::string& because) {
    const auto state = decode_state(bytes);
    assert_false(state.has_value());
    assert_non_null(std::strstr(state.error().text().c_str(), because.c_str()));
}

void the_state_reads_as_it_was_written(void**) {
    const auto state = decode_state(encode(some_state()));
    assert_true(state.has_value());
    assert_true(*state == some_state());
}

void every_message_reads_as_it_was_written(void**) {
    const message all[] = {
        present{5},
        hello{{{1, 5}, {2, 6}}, some_state(), {3}, true},
        promised{42},
        acknowledged{42, {{true, "", 7, 1}, {false, "data", 2, 0xABCDEF}}},
        votes_again{42},
        excuse{3},
        proposal{{42, 2}, false, "data", create_resource{77}},
        proposal{{42, 2}, false, "data", remove_resource{}},
        proposal{{42, 2}, false, "data", found_set{1}},
        proposal{{42, 2}, false, "data", leave_set{2}},
        proposal{{42, 2}, false, "data", join_set{2}},
        proposal{{42, 2}, false, "data", claim{true}},
        proposal{{42, 2}, false, "data", resign{}},
        proposal{{42, 7}, true, "", set_nodes{{{1, 1}, {2, 2}}}},
        proposal{{42, 7}, true, "", finish_nodes{}},
        outdate_request{"data", {42, 2}},
        outdate_confirmed{"data", {42, 2}},
    };
    for (const message& each : all) {
        const auto bytes = encode(each);
        const auto again = decode_message(bytes);
        assert_true(again.has_value());
        assert_int_equal(again->index(), each.index());
        assert_true(encode(*again) == bytes);
    }
    const auto said = decode_message(encode(all[1]));
    assert_true(std::get<hello>(*said).state == some_state());
    assert_true(std::get<hello>(*said).excused == node_set{3});
    assert_true(std::get<hello>(*said).steady);
}

void every_bit_that_is_changed_is_noticed(void**) {
    const auto good = encode(some_state());
    for (std::size_t i = 0; i < good.size() * 8; ++i) {
        auto bad = good;
        bad[i / 8] ^= static_cast<std::byte>(1U << (i % 8));
        assert_false(decode_state(bad).has_value());
    }
}

void every_shorter_or_longer_text_is_refused(void**) {
    const auto good = encode(some_state());
    for (std::size_t size = 0; size < good.size(); ++size) {
        assert_false(decode_state(const_byte_span(good).first(size)).has_value());
    }
    auto longer = good;
    longer.push_back(std::byte{0});
    refused(longer, "announced");
}

void an_error_says_what_is_wrong(void**) {
    const auto good = encode(some_state());
    refused({}, "0 bytes, at least 16 expected");
    auto bad = good;
    written(bad, 0, 'X');
    refused(bad, "does not begin as one");
    refused(encode(message(present{1})), "does not begin as one");
    bad = good;
    written(bad, 5, 2);
    refused(bad, "format 2, this version knows 1");
    bad = good;
    written(bad, 20, 0xFF);
    refused(bad, "checksum does not match");
}

void fields_that_cannot_be_are_refused_behind_a_good_checksum(void**) {
    auto bad = encode(some_state());
    written(bad, 12 + 8, 2); // votes: neither yes nor no
    sealed(bad);
    refused(bad, "holds what cannot be");
    bad = encode(some_state());
    written(bad, 12 + 9 + 32, 0xFF); // 4 billion nodes
    sealed(bad);
    refused(bad, "holds what cannot be");
    bad = encode(message(present{1}));
    written(bad, 12, 99); // a kind of message that does not exist
    sealed(bad);
    assert_false(decode_message(bad).has_value());
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(the_state_reads_as_it_was_written),
        cmocka_unit_test(every_message_reads_as_it_was_written),
        cmocka_unit_test(every_bit_that_is_changed_is_noticed),
        cmocka_unit_test(every_shorter_or_longer_text_is_refused),
        cmocka_unit_test(an_error_says_what_is_wrong),
        cmocka_unit_test(fields_that_cannot_be_are_refused_behind_a_good_checksum),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
