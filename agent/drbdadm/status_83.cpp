// `drbdadm status` of 8.3: an element for each device. Source: drbd-utils 8.3, drbdadm status.
#include <cstdio>
#include <map>
#include <sstream>

#include <fmt/format.h>

#include "agent/config/escape.hpp"
#include "agent/drbdadm/actions.hpp"
#include "agent/drbdadm/driver_version.hpp"

namespace lockstep::drbdadm {

namespace {

using assignments = std::map<std::string, std::string>;

// What `drbdsetup sh-status` says of one device. States and numbers only: nothing is quoted.
assignments read_assignments(const std::string& text) {
    assignments out;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        const std::size_t equals = line.find('=');
        if (equals != std::string::npos) {
            out[line.substr(0, equals)] = line.substr(equals + 1);
        }
    }
    return out;
}

std::string attribute(std::string_view name, const std::string& value) {
    return fmt::format(" {}=\"{}\"", name, config::xml_text(value));
}

std::string element(const config::resource& owner, const config::volume& row, assignments seen) {
    std::string out = "<resource" + attribute("minor", std::to_string(row.minor.value_or(0))) +
                      attribute("name", owner.name) + attribute("cs", seen["_cstate"]);
    if (seen["_cstate"] == "Unconfigured") {
        return out + " />\n";
    }
    for (const auto& [name, key] : {std::pair("ro1", "_role"), std::pair("ro2", "_peer"),
                                    std::pair("ds1", "_disk"), std::pair("ds2", "_pdsk")}) {
        out += attribute(name, seen[key]);
    }
    for (const auto& [name, key] :
         {std::pair("suspended", "_flags_susp"), std::pair("aftr_isp", "_flags_aftr_isp"),
          std::pair("peer_isp", "_flags_peer_isp"), std::pair("user_isp", "_flags_user_isp")}) {
        out += seen[key].empty() ? std::string{} : attribute(name, seen[key]);
    }
    if (const std::string& percent = seen["_resynced_percent"]; !percent.empty()) {
        // Older programs wrote it wrong, and who reads them looks for that.
        out += attribute("resynced_percent", percent) + attribute("resynced_precent", percent);
    }
    return out + " />\n";
}

} // namespace

void print_status_head_83(const session& run) {
    fmt::print("<drbd-status version=\"{}\" api=\"88\">\n<resources config_file=\"{}\">\n",
               version_text(run.doc.driver_version), config::xml_text(run.config_path));
}

void print_status_foot_83() {
    fmt::print("</resources>\n</drbd-status>\n");
}

int print_status_83(const session& run, const config::resource& owner) {
    int worst = 0;
    for (const config::volume& row : owner.me->volumes) {
        run_request request;
        request.words = run.backend.setup("sh-status", row);
        request.resource = owner.name;
        request.standard_output = output::capture;
        const run_outcome outcome = run.runner.run(request);
        worst = std::max(worst, outcome.code);
        if (outcome.code == 0) {
            fmt::print("{}", element(owner, row, read_assignments(outcome.captured_output)));
        }
    }
    return worst;
}

} // namespace lockstep::drbdadm
