// The other side of an nbd_session, for tests: makes the bytes that a client sends, feeds them in
// pieces of any size, and takes the replies apart.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "kernel/device/nbd_session.hpp"

namespace lockstep::device {

using bytes = std::vector<std::byte>;

// An arena for a buffer pool.
class test_arena {
public:
    explicit test_arena(std::size_t size)
        : size_(size), memory_(static_cast<std::byte*>(std::aligned_alloc(4096, size))) {
        std::memset(memory_, 0xa5, size);
    }
    ~test_arena() { std::free(memory_); }
    test_arena(const test_arena&) = delete;
    test_arena& operator=(const test_arena&) = delete;
    byte_span span() { return {memory_, size_}; }

private:
    std::size_t size_;
    std::byte* memory_;
};

struct nbd_reply {
    std::uint32_t error = 0;
    std::uint64_t cookie = 0;
};

class nbd_client : public nbd_session_owner {
public:
    nbd_client(nbd_exports& exports, replica::buffer_pool& buffers, std::size_t quota)
        : quota_(quota), session(exports, buffers, *this) {}

    void wants_turn(nbd_session&) override { turn_wanted = true; }
    std::size_t buffer_quota() const override { return quota_; }

    // Bytes wait on the "wire" until the session takes them, at most `chunk` at a time.
    void send(const bytes& more, std::size_t chunk = ~std::size_t{0}) {
        wire.insert(wire.end(), more.begin(), more.end());
        pump(chunk);
    }
    // Moves bytes both ways until nothing moves any more.
    void pump(std::size_t chunk = ~std::size_t{0}) {
        do {
            turn_wanted = false;
            session.resume();
            feed(chunk);
            if (reading) {
                fetch(chunk);
            }
        } while (turn_wanted);
    }

    bytes take(std::size_t count) {
        count = std::min(count, received.size());
        bytes out(received.begin(), received.begin() + static_cast<long>(count));
        received.erase(received.begin(), received.begin() + static_cast<long>(count));
        return out;
    }
    nbd_reply take_reply() {
        const bytes head = take(nbd::reply_bytes);
        byte_reader reader{head};
        nbd_reply reply;
        if (reader.take<std::uint32_t>() != nbd::reply_magic) {
            return {~0U, ~0ULL};
        }
        reply.error = reader.take<std::uint32_t>();
        reply.cookie = reader.take<std::uint64_t>();
        return reply;
    }

    static bytes hello(std::uint32_t flags = 3) {
        bytes out(4);
        store_big(out.data(), flags);
        return out;
    }
    static bytes option(std::uint32_t which, const bytes& data = {}) {
        bytes out(16);
        byte_writer writer{out};
        writer.put(nbd::option_magic);
        writer.put(which);
        writer.put(static_cast<std::uint32_t>(data.size()));
        out.insert(out.end(), data.begin(), data.end());
        return out;
    }
    static bytes text(const std::string& value) {
        const auto all = std::as_bytes(std::span{value.data(), value.size()});
        return {all.begin(), all.end()};
    }
    static bytes go_data(const std::string& name, const std::vector<std::uint16_t>& wanted = {}) {
        bytes out(4 + name.size() + 2 + 2 * wanted.size());
        byte_writer writer{out};
        writer.put(static_cast<std::uint32_t>(name.size()));
        writer.put_bytes(text(name));
        writer.put(static_cast<std::uint16_t>(wanted.size()));
        for (const std::uint16_t one : wanted) {
            writer.put(one);
        }
        return out;
    }
    static bytes request(nbd::command command, std::uint64_t cookie, std::uint64_t offset,
                         std::uint32_t length, std::uint16_t flags = 0, const bytes& data = {}) {
        bytes out(nbd::request_bytes);
        byte_writer writer{out};
        writer.put(nbd::request_magic);
        writer.put(flags);
        writer.put(static_cast<std::uint16_t>(command));
        writer.put(cookie);
        writer.put(offset);
        writer.put(length);
        out.insert(out.end(), data.begin(), data.end());
        return out;
    }
    // Negotiates with GO and forgets what the server said.
    void enter(const std::string& name = {}) {
        send(hello());
        send(option(static_cast<std::uint32_t>(nbd::option::go), go_data(name)));
        received.clear();
    }

private:
    std::size_t quota_;

public:
    bytes wire;     // not taken by the session yet
    bytes received; // from the session
    bool turn_wanted = false;
    bool reading = true; // the client takes replies
    nbd_session session;

private:
    void feed(std::size_t chunk) {
        while (!wire.empty()) {
            std::size_t moved = 0;
            for (const byte_span& target : session.receive_targets()) {
                const std::size_t part =
                    std::min({target.size(), wire.size() - moved, chunk - std::min(chunk, moved)});
                if (part > 0) {
                    std::memcpy(target.data(), wire.data() + moved, part);
                }
                moved += part;
                if (part < target.size()) {
                    break;
                }
            }
            if (moved == 0) {
                return;
            }
            wire.erase(wire.begin(), wire.begin() + static_cast<long>(moved));
            session.received(moved);
        }
    }
    void fetch(std::size_t chunk) {
        while (session.has_output()) {
            nbd_session::segment segments[8];
            const std::size_t count = session.gather(segments);
            std::size_t moved = 0;
            for (std::size_t i = 0; i < count && moved < chunk; ++i) {
                const std::size_t part = std::min(segments[i].size, chunk - moved);
                received.insert(received.end(), segments[i].bytes, segments[i].bytes + part);
                moved += part;
            }
            session.sent(moved);
        }
    }
};

} // namespace lockstep::device
