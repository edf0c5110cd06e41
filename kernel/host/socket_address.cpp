#include "kernel/host/socket_address.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

#include <array>
#include <charconv>
#include <cstring>
#include <utility>

namespace lockstep::host {

namespace {

const in_addr& v4(const sockaddr_storage& from) {
    return reinterpret_cast<const sockaddr_in&>(from).sin_addr;
}

const in6_addr& v6(const sockaddr_storage& from) {
    return reinterpret_cast<const sockaddr_in6&>(from).sin6_addr;
}

auto bad_address(std::string_view text, const std::string& why) {
    return fail("\"" + std::string(text) + "\" is no address: " + why, {},
                "write ipv4:ADDRESS:PORT or ipv6:[ADDRESS]:PORT", 162);
}

struct split_text {
    std::string family;
    std::string host;
    std::string port;
};

split_text split(std::string_view text) {
    split_text parts{"ipv4", {}, {}};
    const std::size_t colon = text.find(':');
    if (colon != std::string_view::npos && colon > 0 && text[0] != '[' &&
        text.substr(0, colon).find_first_not_of("abcdefghijklmnopqrstuvwxyz46") ==
            std::string_view::npos) {
        parts.family = std::string(text.substr(0, colon));
        text.remove_prefix(colon + 1);
    }
    const std::size_t last = text.rfind(':');
    if (last == std::string_view::npos) {
        return parts;
    }
    parts.port = std::string(text.substr(last + 1));
    text = text.substr(0, last);
    if (text.size() >= 2 && text.front() == '[' && text.back() == ']') {
        text = text.substr(1, text.size() - 2);
        parts.family = parts.family == "ipv4" ? "ipv6" : parts.family;
    }
    parts.host = std::string(text);
    return parts;
}

} // namespace

std::string socket_address::text() const {
    const bool is_v6 = family == "ipv6";
    return family + (is_v6 ? ":[" : ":") + host + (is_v6 ? "]:" : ":") + std::to_string(port);
}

result<socket_address> parse_socket_address(std::string_view text) {
    split_text parts = split(text);
    if (parts.family != "ipv4" && parts.family != "ipv6") {
        return bad_address(text, "the address family " + parts.family + " is not supported");
    }
    socket_address made;
    const char* const end = parts.port.data() + parts.port.size();
    const auto [stop, problem] = std::from_chars(parts.port.data(), end, made.port);
    if (problem != std::errc() || stop != end || made.port == 0) {
        return bad_address(text, "the port must be a number from 1 to 65535");
    }
    addrinfo hints = {};
    hints.ai_family = parts.family == "ipv4" ? AF_INET : AF_INET6;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    addrinfo* found = nullptr;
    const int error = ::getaddrinfo(parts.host.c_str(), parts.port.c_str(), &hints, &found);
    if (error != 0 || found == nullptr) {
        return bad_address(text, "the host must be a numeric " + parts.family + " address");
    }
    std::memcpy(&made.raw, found->ai_addr, found->ai_addrlen);
    made.size = found->ai_addrlen;
    ::freeaddrinfo(found);
    made.family = std::move(parts.family);
    made.host = std::move(parts.host);
    return made;
}

bool same_host(const socket_address& one, const sockaddr_storage& other) {
    if (one.raw.ss_family != other.ss_family) {
        return false;
    }
    return other.ss_family == AF_INET
               ? std::memcmp(&v4(one.raw), &v4(other), sizeof(in_addr)) == 0
               : std::memcmp(&v6(one.raw), &v6(other), sizeof(in6_addr)) == 0;
}

std::string host_text(const sockaddr_storage& address) {
    std::array<char, INET6_ADDRSTRLEN> text = {};
    const bool is_v4 = address.ss_family == AF_INET;
    const void* const from = is_v4 ? static_cast<const void*>(&v4(address)) : &v6(address);
    ::inet_ntop(is_v4 ? AF_INET : AF_INET6, from, text.data(), text.size());
    return text.data();
}

bool comes_before(const socket_address& one, const socket_address& other) {
    if (one.raw.ss_family != other.raw.ss_family) {
        return one.raw.ss_family < other.raw.ss_family;
    }
    const bool is_v4 = one.raw.ss_family == AF_INET;
    const int order = is_v4 ? std::memcmp(&v4(one.raw), &v4(other.raw), sizeof(in_addr))
                            : std::memcmp(&v6(one.raw), &v6(other.raw), sizeof(in6_addr));
    return order != 0 ? order < 0 : one.port < other.port;
}

} // namespace lockstep::host
