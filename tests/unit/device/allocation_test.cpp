// The data path allocates nothing: neither the NBD session nor the FUSE session, once they serve.
#include "support/allocation_count.hpp"
#include "unit/device/fuse_kernel.hpp"
#include "unit/device/nbd_client.hpp"

#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::device;

namespace {

constexpr std::size_t mib = 1U << 20;

// Ends each request as soon as it is asked to, and allocates nothing itself.
class quiet_volume : public volume_io {
public:
    void submit(replica::io_request& asked) override {
        asked.next = first_;
        first_ = &asked;
    }
    void run() {
        while (first_ != nullptr) {
            replica::io_request& one = *first_;
            first_ = one.next;
            finish(one, 0);
        }
    }

private:
    replica::io_request* first_ = nullptr;
};

class quiet_owner : public nbd_session_owner, public fuse_session_owner {
public:
    void wants_turn(nbd_session&) override {}
    void wants_turn() override {}
    std::size_t buffer_quota() const override { return 2 * mib; }
    void send(const_byte_span, const_byte_span) override { ++answers; }
    void released() override {}
    int answers = 0;
};

volume_properties properties() {
    volume_properties volume;
    volume.size_bytes = 64 * mib;
    volume.can_discard = true;
    return volume;
}

void feed(nbd_session& session, const bytes& input) {
    std::size_t used = 0;
    while (used < input.size()) {
        std::size_t moved = 0;
        for (const byte_span& target : session.receive_targets()) {
            const std::size_t part = std::min(target.size(), input.size() - used - moved);
            if (part > 0) {
                std::memcpy(target.data(), input.data() + used + moved, part);
            }
            moved += part;
        }
        used += moved;
        session.received(moved);
    }
}

std::size_t drain(nbd_session& session) {
    std::size_t total = 0;
    while (session.has_output()) {
        nbd_session::segment segments[64];
        const std::size_t count = session.gather(segments);
        std::size_t size = 0;
        for (std::size_t i = 0; i < count; ++i) {
            size += segments[i].size;
        }
        session.sent(size);
        total += size;
    }
    return total;
}

void nbd_requests_are_served_without_allocation(void**) {
    test_arena arena{4 * mib};
    replica::buffer_pool pool{arena.span()};
    quiet_volume engine;
    quiet_owner owner;
    nbd_exports exports{"r0", engine};
    exports.add(properties());
    nbd_session session{exports, pool, owner};
    feed(session, nbd_client::hello());
    feed(session, nbd_client::option(7, nbd_client::go_data("")));
    drain(session);
    bytes script;
    for (std::uint64_t i = 0; i < 32; ++i) {
        for (const bytes& one :
             {nbd_client::request(nbd::command::write, i, i * 4096, 4096, 0, bytes(4096)),
              nbd_client::request(nbd::command::read, i, i * 4096, 4096),
              nbd_client::request(nbd::command::flush, i, 0, 0),
              nbd_client::request(nbd::command::trim, i, 0, 4096)}) {
            script.insert(script.end(), one.begin(), one.end());
        }
    }
    const auto before = support::allocation_count();
    assert_true(before > 0);
    feed(session, script);
    engine.run();
    const std::size_t sent = drain(session);
    assert_int_equal(support::allocation_count(), before);
    assert_int_equal(sent, 32 * (4 * nbd::reply_bytes + 4096));
    session.end();
}

void put(fuse_session& session, const bytes& message) {
    std::size_t used = 0;
    for (const byte_span& target : session.receive_targets()) {
        const std::size_t part = std::min(target.size(), message.size() - used);
        if (part > 0) {
            std::memcpy(target.data(), message.data() + used, part);
        }
        used += part;
    }
    session.received(used);
}

template <class Argument>
bytes message(std::uint32_t opcode, const Argument& argument, const bytes& payload = {}) {
    fuse_in_header header = {};
    header.len = static_cast<std::uint32_t>(sizeof header + sizeof argument + payload.size());
    header.opcode = opcode;
    header.nodeid = 2;
    return fuse_kernel::bytes_of(header, fuse_kernel::bytes_of(argument, payload));
}

void fuse_messages_are_served_without_allocation(void**) {
    test_arena arena{4 * mib};
    replica::buffer_pool pool{arena.span()};
    quiet_volume engine;
    quiet_owner owner;
    fuse_session session{"file", properties(), engine, pool, owner};
    fuse_init_in init = {};
    init.major = 7;
    init.minor = 38;
    put(session, message(FUSE_INIT, init));
    fuse_write_in write = {};
    write.size = 4096;
    fuse_read_in read = {};
    read.size = 65536;
    const bytes messages[] = {message(FUSE_WRITE, write, bytes(4096)), message(FUSE_READ, read),
                              message(FUSE_FSYNC, fuse_fsync_in{})};
    const auto before = support::allocation_count();
    for (int i = 0; i < 100; ++i) {
        for (const bytes& one : messages) {
            put(session, one);
        }
        engine.run();
    }
    assert_int_equal(support::allocation_count(), before);
    assert_int_equal(owner.answers, 301);
    session.end();
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(nbd_requests_are_served_without_allocation),
        cmocka_unit_test(fuse_messages_are_served_without_allocation),
    };
    return cmocka_run_group_tests_name("device_allocation", tests, nullptr, nullptr);
}
