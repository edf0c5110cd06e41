#include "agent/config/local_address.hpp"

#include <arpa/inet.h>
#include <array>
#include <cstring>
#include <ifaddrs.h>
#include <memory>
#include <net/if.h>
#include <netinet/in.h>
#include <optional>

namespace lockstep::config {

namespace {

struct raw_address {
    int family = AF_UNSPEC;
    std::array<unsigned char, sizeof(in6_addr)> bytes{};

    bool operator==(const raw_address&) const = default;
};

std::optional<raw_address> parse(const socket_address& address) {
    raw_address out;
    out.family = address.family == "ipv6" ? AF_INET6 : AF_INET;
    const std::string host = address.host.substr(0, address.host.find('%'));
    if (::inet_pton(out.family, host.c_str(), out.bytes.data()) != 1) {
        return std::nullopt;
    }
    return out;
}

std::optional<raw_address> of_interface(const ifaddrs& entry) {
    raw_address out;
    if (entry.ifa_addr == nullptr || (entry.ifa_flags & IFF_UP) == 0) {
        return std::nullopt;
    }
    out.family = entry.ifa_addr->sa_family;
    if (out.family == AF_INET) {
        sockaddr_in found{};
        std::memcpy(&found, entry.ifa_addr, sizeof found);
        std::memcpy(out.bytes.data(), &found.sin_addr, sizeof found.sin_addr);
        return out;
    }
    if (out.family == AF_INET6) {
        sockaddr_in6 found{};
        std::memcpy(&found, entry.ifa_addr, sizeof found);
        std::memcpy(out.bytes.data(), &found.sin6_addr, sizeof found.sin6_addr);
        return out;
    }
    return std::nullopt;
}

} // namespace

bool have_local_address(const socket_address& address) {
    if (address.family != "ipv4" && address.family != "ipv6") {
        return true;
    }
    const auto wanted = parse(address);
    ifaddrs* list = nullptr;
    if (!wanted || ::getifaddrs(&list) != 0) {
        return false;
    }
    const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(list, &::freeifaddrs);
    for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
        if (of_interface(*entry) == wanted) {
            return true;
        }
    }
    return false;
}

bool same_address(const socket_address& a, const socket_address& b) {
    if (a.family != b.family) {
        return false;
    }
    const auto left = parse(a);
    const auto right = parse(b);
    return left && right ? *left == *right : a.host == b.host;
}

} // namespace lockstep::config
