#include "kernel/control/binding/commands.hpp"

namespace lockstep::control {

reply to_reply(const replica::outcome& end) {
    reply made;
    made.ok = end.ok;
    made.is_state_change = end.is_state_change;
    made.code = end.code;
    made.text = end.text;
    made.remedy = end.remedy;
    made.info = end.info;
    return made;
}

reply to_reply(const error& problem) {
    reply made = refusal(problem.code, problem.what, problem.remedy);
    if (!problem.where.empty()) {
        made.info.push_back(problem.where);
    }
    return made;
}

reply refusal(int code, std::string text, std::string remedy) {
    reply made;
    made.ok = false;
    made.code = code;
    made.text = std::move(text);
    made.remedy = std::move(remedy);
    return made;
}

} // namespace lockstep::control
