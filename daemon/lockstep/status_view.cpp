#include "daemon/lockstep/status_view.hpp"

#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

namespace lockstep::daemon {

namespace {

using json = nlohmann::json;

std::string node_line(const json& node) {
    return fmt::format(
        "  node {} {}: {}{}\n", node.at("id").get<std::uint32_t>(),
        node.at("name").get<std::string>(), node.at("here").get<bool>() ? "here" : "not here",
        node.at("votes") == 1 ? ""
                              : fmt::format(", {} votes", node.at("votes").get<std::uint32_t>()));
}

std::string record_line(const json& record) {
    const auto in_sync = record.at("in-sync").get<std::vector<std::uint32_t>>();
    const json& primary = record.at("primary");
    return fmt::format("  primary: {}, in sync: {}\n",
                       primary.is_null() ? "none" : std::to_string(primary.get<std::uint32_t>()),
                       in_sync.empty() ? "none" : fmt::format("{}", fmt::join(in_sync, " ")));
}

std::string engine_line(const json& engine) {
    if (!engine.at("running").get<bool>()) {
        return "  engine: not running\n";
    }
    const auto said = [&](const char* key, const char* yes, const char* no) {
        return engine.at(key).get<bool>() ? yes : no;
    };
    return fmt::format("  engine: {}, {}, {}\n", said("primary", "Primary", "Secondary"),
                       said("up-to-date", "UpToDate", "not UpToDate"),
                       said("connected", "connected", "not connected"));
}

std::string text_of_status(const json& all) {
    std::string text =
        fmt::format("node {}: {}\n", all.at("node").get<std::uint32_t>(),
                    all.at("majority").get<bool>() ? "a majority is here" : "no majority is here");
    for (const json& node : all.value("nodes", json::array())) {
        text += node_line(node);
    }
    for (const json& its : all.at("resources")) {
        text += fmt::format("{}:\n", its.at("name").get<std::string>());
        text += its.contains("record") ? record_line(its.at("record")) : "  no record is known\n";
        text += its.contains("engine") ? engine_line(its.at("engine")) : "";
        text += its.contains("explanation")
                    ? fmt::format("  {}\n", its.at("explanation").get<std::string>())
                    : "";
    }
    return text;
}

} // namespace

result<std::string> status_for_people(std::string_view status) {
    // The daemon may have another version.
    try {
        return text_of_status(json::parse(status));
    } catch (const json::exception& wrong) {
        return fail(wrong.what(), "status of lockstepd", "are both of one version?");
    }
}

} // namespace lockstep::daemon
