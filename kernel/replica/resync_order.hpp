// resync-after: which volumes have to let others sync first. A volume is held back (PausedSyncS or
// PausedSyncT, with the flag `a`) while any volume on its chain of resync-after syncs or is itself
// held back. Minors of this resource are looked at directly. What others do is asked of the host:
// each engine shows the minors that are busy, and the chain goes on there, because a volume that is
// held back is shown as busy too.
#pragma once

#include <cstdint>

#include "kernel/base/error.hpp"
#include "kernel/options/options.hpp"
#include "kernel/replica/timers.hpp"

namespace lockstep::replica {

class machinery;
struct volume;

class resync_order {
public:
    explicit resync_order(machinery& all);

    // Holds back and lets go as things are now; shows the others what this resource does.
    void look();
    // Whether the volume may depend on this minor. Codes: 133 for a cycle.
    result<> check(const volume& target, std::int32_t minor) const;
    // The volume is about to be removed.
    void forget(volume& target);

private:
    bool may_sync(const volume& target) const;
    bool depends_on_others() const;
    void show(volume& target);

    machinery& all_;
    timer poll_;
};

} // namespace lockstep::replica
