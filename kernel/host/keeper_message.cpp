#include "kernel/host/keeper_message.hpp"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace lockstep::host {

namespace {

constexpr std::uint32_t message_magic = 0x6b706c73;
constexpr std::size_t header_bytes = 24;
constexpr std::size_t texts_max = 256;

template <class Integer>
void append(std::vector<std::byte>& to, Integer value) {
    const std::size_t at = to.size();
    to.resize(at + sizeof value);
    std::memcpy(to.data() + at, &value, sizeof value);
}

template <class Integer>
Integer take(const_byte_span bytes, std::size_t at) {
    Integer value;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
}

union control_space {
    cmsghdr header;
    std::array<char, CMSG_SPACE(sizeof(int) * message_fds_max)> bytes;
};

std::vector<owned_fd> take_fds(msghdr& from) {
    std::vector<owned_fd> fds;
    for (cmsghdr* one = CMSG_FIRSTHDR(&from); one != nullptr; one = CMSG_NXTHDR(&from, one)) {
        if (one->cmsg_level != SOL_SOCKET || one->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        const std::size_t count = (one->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(one) + i * sizeof(int), sizeof fd);
            fds.emplace_back(fd);
        }
    }
    return fds;
}

} // namespace

result<std::vector<std::byte>> encode(const keeper_message& message) {
    std::vector<std::byte> bytes;
    append(bytes, message_magic);
    append(bytes, static_cast<std::uint16_t>(message.what));
    append(bytes, static_cast<std::uint16_t>(message.texts.size()));
    append(bytes, message.id);
    append(bytes, message.error);
    append(bytes, message.limit_ms);
    for (const std::string& text : message.texts) {
        append(bytes, static_cast<std::uint32_t>(text.size()));
        const auto* from = reinterpret_cast<const std::byte*>(text.data());
        bytes.insert(bytes.end(), from, from + text.size());
    }
    if (bytes.size() > message_bytes_max || message.texts.size() > texts_max) {
        return fail_errno(EMSGSIZE, "a message to or from the keeper is too long");
    }
    return bytes;
}

result<keeper_message> decode(const_byte_span bytes) {
    if (bytes.size() < header_bytes || take<std::uint32_t>(bytes, 0) != message_magic) {
        return fail("a message between engine and keeper has no valid header");
    }
    keeper_message message;
    const auto kind = take<std::uint16_t>(bytes, 4);
    if (kind < 1 || kind > static_cast<std::uint16_t>(keeper_message::kind::limit)) {
        return fail("a message between engine and keeper is of an unknown kind");
    }
    message.what = static_cast<keeper_message::kind>(kind);
    const std::size_t count = take<std::uint16_t>(bytes, 6);
    message.id = take<std::uint64_t>(bytes, 8);
    message.error = take<std::int32_t>(bytes, 16);
    message.limit_ms = take<std::uint32_t>(bytes, 20);
    std::size_t at = header_bytes;
    for (std::size_t i = 0; i < count; ++i) {
        if (bytes.size() - at < sizeof(std::uint32_t)) {
            return fail("a message between engine and keeper ends early");
        }
        const std::size_t size = take<std::uint32_t>(bytes, at);
        at += sizeof(std::uint32_t);
        if (bytes.size() - at < size) {
            return fail("a message between engine and keeper ends early");
        }
        message.texts.emplace_back(reinterpret_cast<const char*>(bytes.data() + at), size);
        at += size;
    }
    if (at != bytes.size()) {
        return fail("a message between engine and keeper has bytes after its end");
    }
    return message;
}

std::vector<int> numbers_of(const std::vector<owned_fd>& fds) {
    std::vector<int> numbers;
    numbers.reserve(fds.size());
    for (const owned_fd& fd : fds) {
        numbers.push_back(fd.get());
    }
    return numbers;
}

result<> send_message(int socket, const keeper_message& message, const std::vector<int>& fds,
                      int flags) {
    auto bytes = encode(message);
    if (!bytes) {
        return tl::unexpected(bytes.error());
    }
    if (fds.size() > message_fds_max) {
        return fail_errno(EMSGSIZE, "too many descriptors for one message");
    }
    iovec part = {bytes->data(), bytes->size()};
    control_space control = {};
    msghdr header = {};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    if (!fds.empty()) {
        header.msg_control = &control;
        header.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
        std::memcpy(CMSG_DATA(&control.header), fds.data(), sizeof(int) * fds.size());
    }
    for (;;) {
        if (sendmsg(socket, &header, flags | MSG_NOSIGNAL) >= 0) {
            return {};
        }
        if (errno != EINTR) {
            const int error = errno;
            auto failure = fail_errno(error, "cannot send a message between engine and keeper");
            failure.value().code = error;
            return failure;
        }
    }
}

result<std::optional<received_message>> receive_message(int socket, int flags) {
    std::vector<std::byte> bytes(message_bytes_max);
    iovec part = {bytes.data(), bytes.size()};
    control_space control = {};
    msghdr header = {};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = &control;
    header.msg_controllen = sizeof control;
    ssize_t count = 0;
    do {
        count = recvmsg(socket, &header, flags | MSG_CMSG_CLOEXEC);
    } while (count < 0 && errno == EINTR);
    if (count < 0 && errno != ECONNRESET) {
        const int error = errno;
        auto failure = fail_errno(error, "cannot receive a message between engine and keeper");
        failure.value().code = error;
        return failure;
    }
    if (count <= 0) {
        return std::optional<received_message>{};
    }
    received_message received;
    received.fds = take_fds(header);
    if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        return fail("a message between engine and keeper was cut off");
    }
    auto message = decode(const_byte_span(bytes.data(), static_cast<std::size_t>(count)));
    if (!message) {
        return tl::unexpected(message.error());
    }
    received.message = std::move(*message);
    return std::optional<received_message>(std::move(received));
}

} // namespace lockstep::host
