#include "agent/drbdadm/programs.hpp"

#include <array>
#include <climits>
#include <cstdlib>
#include <unistd.h>

#include <fmt/format.h>

#include "agent/drbdadm/exit_code.hpp"

namespace lockstep::drbdadm {

namespace {

result<std::string> find(const std::optional<std::string>& given, const request& asked,
                         const std::string& name) {
    if (given) {
        if (::access(given->c_str(), X_OK) == 0) {
            return *given;
        }
        return fail(fmt::format("Can not find command '{}' ({})", *given, name), {},
                    "give the path of an executable", exit_exec_error);
    }
    const std::string beside = asked.program_directory + name;
    return !asked.program_directory.empty() && ::access(beside.c_str(), X_OK) == 0 ? beside : name;
}

// A handler is called with little in its PATH, and a program beside this one belongs to it.
void extend_path() {
    std::array<char, PATH_MAX> self{};
    const ssize_t length = ::readlink("/proc/self/exe", self.data(), self.size());
    const std::string_view whole(self.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
    const std::string own(
        whole.substr(0, whole.rfind('/') == std::string_view::npos ? 0 : whole.rfind('/')));
    const char* path = ::getenv("PATH");
    const std::string extended =
        fmt::format("{}{}{}:/usr/sbin:/usr/bin:/sbin:/bin", path == nullptr ? "" : path,
                    path == nullptr || own.empty() ? "" : ":", own);
    ::setenv("PATH", extended.c_str(), 1);
}

} // namespace

result<programs> find_programs(const request& asked) {
    extend_path();
    auto drbdsetup = find(asked.drbdsetup, asked, "drbdsetup");
    if (!drbdsetup) {
        return tl::unexpected(drbdsetup.error());
    }
    auto drbdmeta = find(asked.drbdmeta, asked, "drbdmeta");
    if (!drbdmeta) {
        return tl::unexpected(drbdmeta.error());
    }
    auto proxy = find(asked.drbd_proxy_ctl, asked, "drbd-proxy-ctl");
    if (!proxy) {
        return tl::unexpected(proxy.error());
    }
    return programs{std::move(*drbdsetup), std::move(*drbdmeta), std::move(*proxy)};
}

} // namespace lockstep::drbdadm
