#include "agent/drbdsetup/session.hpp"

#include "agent/drbdsetup/messages.hpp"

namespace lockstep::drbdsetup {

int session::refuse(const error& problem) const {
    control::reply refused;
    refused.ok = false;
    refused.code = problem.code > 100 ? problem.code : 0;
    refused.text = problem.what;
    refused.remedy = problem.remedy;
    if (!problem.where.empty()) {
        refused.info.push_back(problem.where);
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
