#include "agent/drbdsetup/address.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>

#include <array>
#include <charconv>
#include <cstring>
#include <memory>
#include <optional>

#include <fmt/format.h>

namespace lockstep::drbdsetup {

namespace {

constexpr std::string_view expected =
    "An address is HOST, HOST:PORT, ipv4:HOST:PORT or ipv6:[HOST]:PORT; without a port 7788 is "
    "taken.";

struct parts {
    int family = AF_UNSPEC;
    std::string host;
    unsigned port = default_port;
};

tl::unexpected<error> bad(std::string_view typed, std::string_view why) {
    return fail(fmt::format("'{}' is no address: {}", typed, why), {}, std::string(expected));
}

std::optional<unsigned> port_of(std::string_view text) {
    unsigned port = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), port);
    const bool good = problem == std::errc() && end == text.data() + text.size();
    return good && port >= 1 && port <= 65535 ? std::optional(port) : std::nullopt;
}

result<parts> split(std::string_view typed) {
    parts found;
    std::string_view rest = typed;
    for (const std::string_view family : {"sdp:", "ssocks:", "sci:"}) {
        if (rest.substr(0, family.size()) == family) {
            return fail(fmt::format("The address family of '{}' is not supported here", typed), {},
                        "Use ipv4 or ipv6.");
        }
    }
    if (rest.substr(0, 5) == "ipv4:") {
        found.family = AF_INET;
        rest.remove_prefix(5);
    } else if (rest.substr(0, 5) == "ipv6:") {
        found.family = AF_INET6;
        rest.remove_prefix(5);
    }
    std::string_view port;
    if (!rest.empty() && rest[0] == '[') {
        const std::size_t close = rest.find(']');
        if (close == std::string_view::npos) {
            return bad(typed, "the bracket is not closed");
        }
        if (found.family == AF_INET) {
            return bad(typed, "this is no IPv4 address");
        }
        found.host = rest.substr(1, close - 1);
        found.family = AF_INET6;
        port = rest.substr(close + 1);
    } else {
        const std::size_t colon = rest.find(':');
        const bool bare_ipv6 =
            colon != std::string_view::npos && rest.find(':', colon + 1) != std::string_view::npos;
        if (bare_ipv6 && found.family == AF_INET) {
            return bad(typed, "this is no IPv4 address");
        }
        if (bare_ipv6) {
            found.family = AF_INET6;
        }
        found.host = bare_ipv6 ? rest : rest.substr(0, colon);
        port = bare_ipv6 || colon == std::string_view::npos ? "" : rest.substr(colon);
    }
    if (found.host.empty()) {
        return bad(typed, "the host is missing");
    }
    if (!port.empty()) {
        const std::optional<unsigned> number =
            port[0] == ':' ? port_of(port.substr(1)) : std::nullopt;
        if (!number) {
            return bad(typed, "the port is not a number from 1 to 65535");
        }
        found.port = *number;
    }
    return found;
}

} // namespace

result<std::string> normal_address(std::string_view typed) {
    const result<parts> found = split(typed);
    if (!found) {
        return tl::unexpected<error>(found.error());
    }
    addrinfo hints = {};
    hints.ai_family = found->family;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    const int problem = ::getaddrinfo(found->host.c_str(), nullptr, &hints, &list);
    if (problem != 0) {
        return bad(typed, ::gai_strerror(problem));
    }
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(list, &::freeaddrinfo);
    std::array<char, NI_MAXHOST> host = {};
    if (::getnameinfo(list->ai_addr, list->ai_addrlen, host.data(), host.size(), nullptr, 0,
                      NI_NUMERICHOST) != 0) {
        return bad(typed, "it can not be written as a number");
    }
    return list->ai_family == AF_INET6 ? fmt::format("ipv6:[{}]:{}", host.data(), found->port)
                                       : fmt::format("ipv4:{}:{}", host.data(), found->port);
}

std::string shown_address(std::string_view normal) {
    std::string shown(normal);
    const std::size_t colon = shown.find(':');
    if (colon != std::string::npos) {
        shown[colon] = ' ';
    }
    return shown;
}

} // namespace lockstep::drbdsetup
