// What programs ask lockstepd for: every field travels, and what is not meant is refused by name.
#include <array>
#include <cstring>
#include <string>

#include "daemon/control/request.hpp"
#include "unit/cmocka.hpp"

namespace {

using namespace lockstep::daemon;

void every_field_travels(void**) {
    const std::array<request, 5> all = {{
        {verb::status, {}, {}, 1, fence_reason::peer_lost},
        {verb::add_node, {}, 4294967295U, 1000, fence_reason::peer_lost},
        {verb::create, "r0", 2, 1, fence_reason::peer_lost},
        {verb::promote, "a-b.c", {}, 1, fence_reason::peer_lost},
        {verb::fence_peer, "r0", {}, 1, fence_reason::own_disk},
    }};
    for (const request& each : all) {
        assert_true(*parse_request(text_of(each)) == each);
    }
    for (const answer& each : {answer{0, {}}, answer{7, "because\nof that"}, answer{255, "x"}}) {
        assert_true(*parse_answer(text_of(each)) == each);
    }
}

void refused(const char* text, const char* by) {
    const auto read = parse_request(text);
    assert_false(read.has_value());
    if (std::strstr(read.error().text().c_str(), by) == nullptr) {
        fail_msg("%s: %s", text, read.error().text().c_str());
    }
}

void what_is_not_meant_is_refused_by_name(void**) {
    refused("", "JSON");
    refused("[]", "JSON");
    refused("{}", "command");
    refused(R"({"command":"explode"})", "command");
    refused(R"({"command":"create"})", "resource");
    refused(R"({"command":"status","resource":"r0"})", "resource");
    refused((R"({"command":"create","resource":")" + std::string(128, 'x') + "\"}").c_str(),
            "resource");
    refused(R"({"command":"create","resource":"a\nb"})", "resource");
    refused(R"({"command":"add-node"})", "node");
    refused(R"({"command":"add-node","node":-1})", "node");
    refused(R"({"command":"add-node","node":4294967296})", "node");
    refused(R"({"command":"add-node","node":1,"votes":0})", "votes");
    refused(R"({"command":"add-node","node":1,"votes":1001})", "votes");
    refused(R"({"command":"fence-peer","resource":"r0","reason":3})", "reason");
}

void an_answer_has_a_code_of_a_program(void**) {
    for (const char* text : {"", "{}", R"({"code":0})", R"({"code":256,"text":""})",
                             R"({"code":-1,"text":""})", R"({"code":"0","text":""})"}) {
        assert_false(parse_answer(text).has_value());
    }
}

// As the engine gives them to its handler.
void reasons_are_those_of_the_engine(void**) {
    assert_true(reason_of("peer-lost") == fence_reason::peer_lost);
    assert_true(reason_of("promotion") == fence_reason::peer_lost);
    assert_true(reason_of("") == fence_reason::peer_lost);
    assert_true(reason_of("peer-disk") == fence_reason::peer_disk);
    assert_true(reason_of("write-refused") == fence_reason::peer_disk);
    assert_true(reason_of("own-disk") == fence_reason::own_disk);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(every_field_travels),
        cmocka_unit_test(what_is_not_meant_is_refused_by_name),
        cmocka_unit_test(an_answer_has_a_code_of_a_program),
        cmocka_unit_test(reasons_are_those_of_the_engine),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
