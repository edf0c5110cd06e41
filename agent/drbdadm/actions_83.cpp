// Called as drbdadm-83: the commands whose calls differ in 8.3, where a resource has one device and
// is not made before it.
#include "agent/drbdadm/actions.hpp"

namespace lockstep::drbdadm {

namespace {

int attach_83(const session& run, const config::resource& owner, const config::volume& row) {
    return call(run, owner, run.backend.disk_83(owner, row), patience::medium);
}

int syncer_83(const session& run, const config::resource& owner, const config::volume& row) {
    return call(run, owner, run.backend.syncer_83(owner, row));
}

int connect_83(const session& run, const config::resource& owner, const config::volume& row) {
    return call(run, owner, run.backend.net_83(owner, row));
}

void defer_up_83(session& run, const subject& on) {
    config::resource& owner = *on.owner;
    config::volume& row = *on.row;
    const auto add = [&](stage when, const char* name, auto what) {
        run.deferred.add(when, owner.name, name,
                         [&run, &owner, &row, what] { return what(run, owner, row); });
    };
    add(stage::disk, "attach", attach_83);
    add(stage::net_prerequisite, "syncer", syncer_83);
    add(stage::net, "connect", connect_83);
}

template <class F>
int each_volume(const session& run, const subject& on, F what) {
    for (const config::volume& row : on.owner->me->volumes) {
        if (const int code = what(run, *on.owner, row)) {
            return code;
        }
    }
    return 0;
}

} // namespace

std::optional<int> perform_83(session& run, const command& what, const subject& on) {
    switch (what.action) {
    case action::attach:
        return attach_83(run, *on.owner, *on.row);
    case action::connect:
        return each_volume(run, on, connect_83);
    case action::syncer:
        return each_volume(run, on, syncer_83);
    case action::up:
        defer_up_83(run, on);
        return 0;
    case action::setup_short:
        if (what.name == "status" && !run.dry()) {
            return print_status_83(run, *on.owner);
        }
        return std::nullopt;
    case action::disconnect:
    case action::setup_long:
        if (on.row == nullptr) {
            return each_volume(
                run, on,
                [&](const session&, const config::resource& owner, const config::volume& row) {
                    return call(run, owner, run.backend.setup(what.name, row), patience::medium);
                });
        }
        return std::nullopt;
    default:
        return std::nullopt;
    }
}

} // namespace lockstep::drbdadm
