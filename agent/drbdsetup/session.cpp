#include "agent/drbdsetup/session.hpp"

#include <fmt/format.h>

#include "agent/drbdsetup/messages.hpp"

namespace lockstep::drbdsetup {

void session::tell_pending(const std::string& reason) const {
    terminal.complain(fmt::format("{}: accepted, pending because {}\n", asked.object, reason));
}

int session::refuse(const error& problem) const {
    const bool has_place = !problem.where.empty() && problem.where != asked.object;
    control::reply refused;
    refused.ok = false;
    refused.text = problem.what;
    refused.remedy = problem.remedy;
    if (problem.code > 100) {
        refused.code = problem.code;
        refused.info = has_place ? std::vector{problem.where} : std::vector<std::string>();
    } else if (has_place) {
        refused.text = fmt::format("{} ({})", problem.what, problem.where);
    }
    return report(refused);
}

int session::report(const control::reply& answer) const {
    const message said = describe_outcome(asked.object, answer);
    if (!said.text.empty()) {
        terminal.complain(said.text);
    }
    return said.exit_code;
}

} // namespace lockstep::drbdsetup
