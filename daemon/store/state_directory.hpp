// What a daemon keeps on its disk: its part of the record, and which links it has dropped. A file
// is replaced as a whole, and is on the disk before anybody hears that it is.
#pragma once

#include <optional>
#include <set>
#include <string>

#include "daemon/arbiter/record.hpp"
#include "kernel/base/error.hpp"
#include "kernel/base/owned_fd.hpp"

namespace lockstep::daemon {

class state_directory {
public:
    // Makes the directory where it is missing (mode 0700; those above it must be there), and holds
    // it: a second daemon gets an error.
    static result<state_directory> open(const std::string& path);

    // None where there is no file: this node has no part of any record. A file that does not decode
    // is an error and stays as it is.
    result<std::optional<arbiter::ledger_state>> load() const;
    // Durable when it returns. After an error the disk holds this state or the one before, whole.
    result<> save(const arbiter::ledger_state& state);

    // The resources whose link was dropped for a promotion, and is to be connected again.
    result<std::set<std::string>> dropped() const;
    result<> keep_dropped(const std::string& resource, bool dropped);

    const std::string& path() const { return path_; }

private:
    state_directory(std::string path, owned_fd directory, owned_fd lock);

    std::string path_;
    owned_fd directory_;
    owned_fd lock_;
};

} // namespace lockstep::daemon
