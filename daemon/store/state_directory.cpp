#include "daemon/store/state_directory.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include "daemon/arbiter/codec.hpp"
#include "daemon/store/file_replacement.hpp"

namespace lockstep::daemon {

namespace {

constexpr const char* state_name = "state";
constexpr const char* dropped_name = "dropped-links";
constexpr const char* lock_name = "lock";
// A record of ten thousand resources takes a tenth of this.
constexpr std::size_t state_bytes_max = 64 << 20;
constexpr std::size_t dropped_bytes_max = 2 << 20;

} // namespace

state_directory::state_directory(std::string path, owned_fd directory, owned_fd lock)
    : path_(std::move(path)), directory_(std::move(directory)), lock_(std::move(lock)) {}

result<state_directory> state_directory::open(const std::string& path) {
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
        return fail_errno(errno, "can't make the state directory", path,
                          "make the directory above it, or name another: --state-directory");
    }
    owned_fd directory{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!directory.valid()) {
        return fail_errno(errno, "can't open the state directory", path);
    }
    owned_fd lock{::openat(directory.get(), lock_name, O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
    if (!lock.valid()) {
        return fail_errno(errno, "can't create", path + "/" + lock_name,
                          "mount it writable: a daemon that can't keep its promises gives none");
    }
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
        return fail_errno(errno, "another daemon uses this state directory", path,
                          "end that one, or give this one a directory of its own");
    }
    return state_directory(path, std::move(directory), std::move(lock));
}

result<std::optional<arbiter::ledger_state>> state_directory::load() const {
    auto content = read_file(directory_.get(), path_, state_name, state_bytes_max);
    if (!content) {
        return tl::unexpected(content.error());
    }
    if (!*content) {
        return std::nullopt;
    }
    auto state = arbiter::decode_state(**content);
    if (!state) {
        return fail(state.error().text(), path_ + "/" + state_name,
                    "move the file away: this node then gets its state back from the others, and "
                    "votes when a majority of them has been seen");
    }
    return *std::move(state);
}

result<> state_directory::save(const arbiter::ledger_state& state) {
    return replace_file(directory_.get(), path_, state_name, arbiter::encode(state));
}

// Names, each ended by a line feed, which no name holds.
result<std::set<std::string>> state_directory::dropped() const {
    const auto content = read_file(directory_.get(), path_, dropped_name, dropped_bytes_max);
    if (!content) {
        return tl::unexpected(content.error());
    }
    std::set<std::string> names;
    if (!*content) {
        return names;
    }
    std::string_view rest(reinterpret_cast<const char*>((*content)->data()), (*content)->size());
    while (!rest.empty()) {
        const std::size_t end = rest.find('\n');
        if (end == std::string_view::npos || end == 0 || end > arbiter::name_bytes_max) {
            return fail("not a list of resources", path_ + "/" + dropped_name, "remove the file");
        }
        names.emplace(rest.substr(0, end));
        rest.remove_prefix(end + 1);
    }
    return names;
}

result<> state_directory::keep_dropped(const std::string& resource, bool dropped) {
    auto names = this->dropped();
    if (!names) {
        return tl::unexpected(names.error());
    }
    const bool changed = dropped ? names->insert(resource).second : names->erase(resource) != 0;
    if (!changed) {
        return {};
    }
    std::string text;
    for (const std::string& each : *names) {
        text += each + "\n";
    }
    return replace_file(directory_.get(), path_, dropped_name,
                        std::as_bytes(std::span(text.data(), text.size())));
}

} // namespace lockstep::daemon
