#include "agent/drbdadm/registry.hpp"

#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

namespace lockstep::drbdadm {

namespace {

std::string read_link(const std::string& path) {
    std::array<char, PATH_MAX> target{};
    const ssize_t length = ::readlink(path.c_str(), target.data(), target.size());
    return length <= 0 ? std::string{}
                       : std::string(target.data(), static_cast<std::size_t>(length));
}

std::string link_of(const std::string& kind, const std::string& name) {
    return fmt::format("{}/drbd-{}-{}.conf", registry_directory(), kind, name);
}

void remember(const std::string& link, const std::string& path) {
    const std::string directory = registry_directory();
    // Only absolute paths, and none inside of the directory: that could only be a link in a circle.
    if (path.empty() || path.front() != '/' ||
        path.compare(0, directory.size() + 1, directory + "/") == 0 || read_link(link) == path) {
        return;
    }
    const std::string parent = directory.substr(0, directory.rfind('/'));
    for (const std::string& path_part : {parent, directory}) {
        if (::mkdir(path_part.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
            fmt::print(stderr, "mkdir({}): {}\n", path_part, std::strerror(errno));
            return;
        }
    }
    // Renamed into place, so that a handler never sees a moment without the link.
    const std::string fresh = fmt::format("{}.{}", link, ::getpid());
    if (::symlink(path.c_str(), fresh.c_str()) != 0 || ::rename(fresh.c_str(), link.c_str()) != 0) {
        fmt::print(stderr, "symlink({}, {}): {}\n", path, link, std::strerror(errno));
        ::unlink(fresh.c_str());
    }
}

} // namespace

std::string registry_directory() {
    const char* given = ::getenv("LOCKSTEP_RUNTIME_DIRECTORY");
    return given != nullptr && given[0] == '/' ? std::string(given) + "/configurations"
                                               : "/var/run/drbd";
}

void register_minor(unsigned minor, const std::string& path) {
    remember(link_of("minor", std::to_string(minor)), path);
}

void register_resource(const std::string& name, const std::string& path) {
    remember(link_of("resource", name), path);
}

std::optional<std::string> registered_config(const std::string& target) {
    constexpr std::string_view prefix = "minor-";
    const bool is_minor = target.compare(0, prefix.size(), prefix) == 0;
    const std::string name =
        is_minor ? target.substr(prefix.size()) : target.substr(0, target.find('/'));
    if (name.empty() || name.find('/') != std::string::npos) {
        return std::nullopt;
    }
    const std::string path = read_link(link_of(is_minor ? "minor" : "resource", name));
    return path.empty() || ::access(path.c_str(), R_OK) != 0 ? std::nullopt
                                                             : std::optional<std::string>(path);
}

} // namespace lockstep::drbdadm
