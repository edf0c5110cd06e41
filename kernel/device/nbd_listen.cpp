#include "kernel/device/nbd_listen.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <memory>

namespace lockstep::device {

namespace {

constexpr int backlog = 16;

// The kernel closes a killed process's sockets late if io_uring waited on them: it is not enough
// that a connection can be made, the process that listened must exist.
bool somebody_listens(const sockaddr_un& address) {
    const owned_fd probe{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        return errno == EAGAIN; // it has as many clients waiting as it can
    }
    ucred listener = {};
    socklen_t size = sizeof listener;
    if (::getsockopt(probe.get(), SOL_SOCKET, SO_PEERCRED, &listener, &size) != 0) {
        return true;
    }
    return listener.pid == 0 || ::kill(listener.pid, 0) == 0 || errno != ESRCH;
}

// A socket file without a listener is what a killed process leaves.
result<> clear_the_way(const std::string& path, const sockaddr_un& address) {
    struct stat found = {};
    if (::lstat(path.c_str(), &found) != 0) {
        return {};
    }
    if (!S_ISSOCK(found.st_mode)) {
        return fail("cannot make the NBD socket: something else has that name", path,
                    "move it away, or name another socket");
    }
    if (somebody_listens(address)) {
        return fail("cannot make the NBD socket: another process listens there", path,
                    "stop that process, or name another socket");
    }
    ::unlink(path.c_str());
    return {};
}

} // namespace

result<owned_fd> listen_unix(const std::string& path) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path) {
        return fail("the name of the NBD socket is empty or too long", path,
                    "use a name of at most 107 bytes");
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    if (auto clear = clear_the_way(path, address); !clear) {
        return tl::unexpected(clear.error());
    }
    owned_fd made{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    // The mode of the socket file is there from the beginning, not put right afterwards.
    const mode_t before = ::umask(0177);
    const int bound =
        ::bind(made.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    const int error = errno;
    ::umask(before);
    if (bound != 0) {
        return fail_errno(error, "cannot make the NBD socket", path,
                          "make its directory, writable for root");
    }
    if (::listen(made.get(), backlog) != 0) {
        return fail_errno(errno, "cannot listen on the NBD socket", path);
    }
    return made;
}

result<owned_fd> listen_tcp(const std::string& address) {
    const std::size_t colon = address.rfind(':');
    std::string node = address.substr(0, colon == std::string::npos ? 0 : colon);
    if (node.size() >= 2 && node.front() == '[' && node.back() == ']') {
        node = node.substr(1, node.size() - 2);
    }
    const std::string port = colon == std::string::npos ? "" : address.substr(colon + 1);
    std::uint16_t number = 0;
    const auto parsed = std::from_chars(port.data(), port.data() + port.size(), number);
    if (node.empty() || parsed.ec != std::errc{} || parsed.ptr != port.data() + port.size()) {
        return fail("not an address to listen on", address, "write it as ADDRESS:PORT");
    }
    addrinfo hints = {};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
    addrinfo* found = nullptr;
    if (::getaddrinfo(node.c_str(), port.c_str(), &hints, &found) != 0) {
        return fail("not a numeric address to listen on", address, "write it as ADDRESS:PORT");
    }
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner{found, ::freeaddrinfo};
    owned_fd made{::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP)};
    const int on = 1;
    ::setsockopt(made.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(made.get(), found->ai_addr, found->ai_addrlen) != 0 ||
        ::listen(made.get(), backlog) != 0) {
        return fail_errno(errno, "cannot listen for NBD clients", address,
                          "name an address of this node and a free port");
    }
    return made;
}

} // namespace lockstep::device
