// The other side of a fuse_session, for tests: makes the messages that the kernel sends, and keeps
// the answers.
#pragma once

#include <linux/fuse.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "kernel/device/fuse_session.hpp"
#include "unit/device/memory_volume.hpp"

namespace lockstep::device {

struct fuse_answer {
    int error = 0;
    std::vector<std::byte> body;
};

class fuse_kernel : public fuse_session_owner {
public:
    static constexpr const char* file = "lockstep:drbd0:4026531836:12345:6789012:1";

    fuse_kernel(const volume_properties& properties, volume_io& engine,
                replica::buffer_pool& buffers)
        : session(file, properties, engine, buffers, *this) {}

    void send(const_byte_span header, const_byte_span body) override {
        fuse_out_header out = {};
        LOCKSTEP_CHECK(header.size() == sizeof out);
        std::memcpy(&out, header.data(), sizeof out);
        LOCKSTEP_CHECK(out.len == header.size() + body.size());
        LOCKSTEP_CHECK(out.error == 0 || body.empty());
        LOCKSTEP_CHECK(answers.count(out.unique) == 0);
        answers[out.unique] = {-out.error, {body.begin(), body.end()}};
    }
    void wants_turn() override { turn_wanted = true; }
    void released() override { released_seen = true; }

    // True if the session took the message. `declared`: what its header says its length is.
    bool ask(std::uint32_t opcode, std::uint64_t node, std::uint64_t unique,
             const std::vector<std::byte>& rest = {}, std::size_t declared = 0) {
        fuse_in_header header = {};
        header.len =
            static_cast<std::uint32_t>(declared != 0 ? declared : sizeof header + rest.size());
        header.opcode = opcode;
        header.unique = unique;
        header.nodeid = node;
        std::vector<std::byte> message = bytes_of(header, rest);
        return put(message);
    }
    bool put(const std::vector<std::byte>& message) {
        std::size_t used = 0;
        const auto targets = session.receive_targets();
        if (targets[0].empty()) {
            return false;
        }
        for (const byte_span& target : targets) {
            const std::size_t part = std::min(target.size(), message.size() - used);
            if (part > 0) {
                std::memcpy(target.data(), message.data() + used, part);
            }
            used += part;
        }
        session.received(used);
        return true;
    }
    template <class Argument>
    static std::vector<std::byte> bytes_of(const Argument& argument,
                                           const std::vector<std::byte>& payload = {}) {
        std::vector<std::byte> out(sizeof argument);
        std::memcpy(out.data(), &argument, sizeof argument);
        for (const std::byte one : payload) {
            out.push_back(one);
        }
        return out;
    }

    bool start(std::uint32_t major = 7, std::uint32_t minor = 38) {
        fuse_init_in in = {};
        in.major = major;
        in.minor = minor;
        in.flags = ~0U;
        return ask(FUSE_INIT, 0, 1, bytes_of(in));
    }
    bool write(std::uint64_t unique, std::uint64_t offset, const std::vector<std::byte>& data,
               std::uint64_t node = 2) {
        fuse_write_in in = {};
        in.offset = offset;
        in.size = static_cast<std::uint32_t>(data.size());
        return ask(FUSE_WRITE, node, unique, bytes_of(in, data));
    }
    bool read(std::uint64_t unique, std::uint64_t offset, std::uint32_t size) {
        fuse_read_in in = {};
        in.offset = offset;
        in.size = size;
        return ask(FUSE_READ, 2, unique, bytes_of(in));
    }
    bool fallocate(std::uint64_t unique, std::uint32_t mode, std::uint64_t offset,
                   std::uint64_t length) {
        fuse_fallocate_in in = {};
        in.mode = mode;
        in.offset = offset;
        in.length = length;
        return ask(FUSE_FALLOCATE, 2, unique, bytes_of(in));
    }
    template <class Body>
    Body body(std::uint64_t unique) {
        Body out = {};
        const auto& bytes = answers.at(unique).body;
        std::memcpy(&out, bytes.data(), std::min(sizeof out, bytes.size()));
        return out;
    }
    int error(std::uint64_t unique) { return answers.at(unique).error; }

    std::map<std::uint64_t, fuse_answer> answers;
    bool turn_wanted = false;
    bool released_seen = false;
    fuse_session session;
};

} // namespace lockstep::device
