// The FUSE file behind the loop device: what the kernel asks, what reaches the engine, and what
// the kernel is told.
#include <linux/falloc.h>

#include "unit/device/fuse_kernel.hpp"
#include "unit/device/nbd_client.hpp" // test_arena

#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::device;
using operation = memory_volume::operation;

namespace {

constexpr std::size_t mib = 1U << 20;
constexpr std::uint32_t hole = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE;
constexpr std::uint32_t zeros = FALLOC_FL_KEEP_SIZE | FALLOC_FL_ZERO_RANGE;

struct world {
    test_arena arena;
    replica::buffer_pool pool;
    memory_volume engine{16 * mib};
    fuse_kernel kernel;

    static volume_properties properties(bool read_only, bool can_discard, std::uint32_t block) {
        volume_properties volume;
        volume.size_bytes = 16 * mib;
        volume.logical_block_bytes = block;
        volume.read_only = read_only;
        volume.can_discard = can_discard;
        return volume;
    }
    explicit world(std::size_t pool_bytes = 8 * mib, bool read_only = false,
                   bool can_discard = true, std::uint32_t block = 512)
        : arena(pool_bytes), pool(arena.span()),
          kernel(properties(read_only, can_discard, block), engine, pool) {
        kernel.start();
    }
    ~world() {
        engine.run();
        kernel.session.end();
    }
};

bytes pattern(std::size_t size, unsigned seed) {
    bytes out(size);
    for (std::size_t i = 0; i < size; ++i) {
        out[i] = static_cast<std::byte>((i * 7 + i / 512 + seed) & 0xff);
    }
    return out;
}

bytes name_bytes(const std::string& name) {
    bytes out(name.size() + 1);
    std::memcpy(out.data(), name.c_str(), out.size());
    return out;
}

void init_asks_for_large_and_many_parallel_requests(void**) {
    world w;
    const auto out = w.kernel.body<fuse_init_out>(1);
    assert_int_equal(out.major, 7);
    assert_int_equal(out.max_write, 1U << 20);
    assert_int_equal(out.max_pages, 256);
    assert_int_equal(out.max_background, 128);
    const std::uint32_t wanted =
        FUSE_ASYNC_DIO | FUSE_MAX_PAGES | FUSE_BIG_WRITES | FUSE_ASYNC_READ;
    assert_int_equal(out.flags, wanted);
}

void an_init_of_another_version_is_answered_by_the_rules(void**) {
    const struct {
        std::uint32_t major;
        std::uint32_t minor;
        int error;
    } rows[] = {{7, 27, EPROTO}, {6, 40, EPROTO}, {8, 0, 0}, {7, 28, 0}, {7, 99, 0}};
    for (const auto& row : rows) {
        test_arena arena{2 * mib};
        replica::buffer_pool pool{arena.span()};
        memory_volume engine{mib};
        fuse_kernel kernel{volume_properties{}, engine, pool};
        assert_true(kernel.start(row.major, row.minor));
        assert_int_equal(kernel.error(1), row.error);
        if (row.error == 0) {
            assert_int_equal(kernel.body<fuse_init_out>(1).major, 7);
        }
        // The second try of a newer kernel, with the version that it was told.
        kernel.answers.clear();
        if (row.major == 8) {
            kernel.ask(FUSE_GETATTR, 1, 5);
            assert_int_equal(kernel.error(5), EIO);
            kernel.start(7, 38);
            assert_int_equal(kernel.error(1), 0);
        }
        kernel.session.end();
    }
}

void only_the_volumes_file_is_found(void**) {
    world w;
    const std::string ours = fuse_kernel::file;
    w.kernel.ask(FUSE_LOOKUP, 1, 2, name_bytes(ours));
    assert_int_equal(w.kernel.error(2), 0);
    const auto entry = w.kernel.body<fuse_entry_out>(2);
    assert_int_equal(entry.nodeid, 2);
    assert_int_equal(entry.attr.size, 16 * mib);
    assert_int_equal(entry.attr.mode, 0100600);
    std::uint64_t unique = 3;
    for (const std::string& other :
         {std::string{"x"}, ours + "x", ours.substr(1), std::string{},
          ours.substr(0, ours.size() - 1) + "2", std::string(300, 'a')}) {
        w.kernel.ask(FUSE_LOOKUP, 1, unique, name_bytes(other));
        assert_int_equal(w.kernel.error(unique), ENOENT);
        ++unique;
    }
    w.kernel.ask(FUSE_LOOKUP, 2, unique, name_bytes(ours));
    assert_int_equal(w.kernel.error(unique), ENOENT);
}

void open_asks_for_direct_parallel_io_and_the_last_release_is_told(void**) {
    world w;
    w.kernel.ask(FUSE_OPEN, 2, 2, fuse_kernel::bytes_of(fuse_open_in{}));
    assert_int_equal(w.kernel.body<fuse_open_out>(2).open_flags, FOPEN_DIRECT_IO | 1U << 6);
    w.kernel.ask(FUSE_OPEN, 2, 3, fuse_kernel::bytes_of(fuse_open_in{}));
    w.kernel.ask(FUSE_RELEASE, 2, 4, fuse_kernel::bytes_of(fuse_release_in{}));
    assert_false(w.kernel.released_seen);
    w.kernel.ask(FUSE_RELEASE, 2, 5, fuse_kernel::bytes_of(fuse_release_in{}));
    assert_true(w.kernel.released_seen);
    w.kernel.ask(FUSE_OPEN, 1, 6, fuse_kernel::bytes_of(fuse_open_in{}));
    assert_int_equal(w.kernel.error(6), EISDIR);
}

void growth_shows_in_the_attributes(void**) {
    world w;
    w.kernel.session.grow(64 * mib);
    w.kernel.ask(FUSE_GETATTR, 2, 2, fuse_kernel::bytes_of(fuse_getattr_in{}));
    const auto out = w.kernel.body<fuse_attr_out>(2);
    assert_int_equal(out.attr.size, 64 * mib);
    assert_int_equal(out.attr_valid, 0);
}

void writes_of_any_size_arrive_aligned_and_whole(void**) {
    world w;
    std::uint64_t unique = 2;
    bytes model(16 * mib);
    for (const std::size_t size : {std::size_t{512}, std::size_t{4096}, mib, std::size_t{8192},
                                   std::size_t{512}, mib, mib, std::size_t{65536}}) {
        const bytes data = pattern(size, static_cast<unsigned>(unique));
        const std::uint64_t offset = (unique - 2) * mib;
        assert_true(w.kernel.write(unique, offset, data));
        w.engine.run();
        assert_int_equal(w.kernel.error(unique), 0);
        assert_int_equal(w.kernel.body<fuse_write_out>(unique).size, size);
        std::memcpy(model.data() + offset, data.data(), size);
        ++unique;
    }
    assert_true(w.engine.bytes == model);
    assert_true(w.engine.aligned && w.engine.fitting);
}

void a_small_write_does_not_keep_a_large_buffer(void**) {
    world w;
    w.kernel.write(2, 0, pattern(mib, 1));
    w.engine.run();
    w.kernel.session.receive_targets(); // offers a large buffer now
    w.kernel.write(3, 0, pattern(512, 1));
    assert_true(w.engine.waiting.front()->buffer.capacity() <= 4096);
}

void reads_return_what_is_there_and_stop_at_the_end(void**) {
    world w;
    const bytes data = pattern(16 * mib, 3);
    w.engine.bytes = data;
    w.kernel.read(2, 4096, 8192);
    w.kernel.read(3, 16 * mib - 4096, 65536);
    w.kernel.read(4, 16 * mib, 4096);
    w.kernel.read(5, ~std::uint64_t{511}, 4096);
    w.engine.run();
    assert_int_equal(w.kernel.answers.at(2).body.size(), 8192);
    assert_memory_equal(w.kernel.answers.at(2).body.data(), data.data() + 4096, 8192);
    assert_int_equal(w.kernel.answers.at(3).body.size(), 4096);
    for (const std::uint64_t past : {4U, 5U}) {
        assert_int_equal(w.kernel.error(past), 0);
        assert_true(w.kernel.answers.at(past).body.empty());
    }
}

void what_does_not_fit_the_volume_is_refused(void**) {
    world w(8 * mib, false, true, 4096);
    w.kernel.write(2, 512, bytes(4096));
    assert_int_equal(w.kernel.error(2), EINVAL);
    w.kernel.write(3, 0, bytes(512));
    assert_int_equal(w.kernel.error(3), EINVAL);
    w.kernel.write(4, 16 * mib - 4096, bytes(8192));
    assert_int_equal(w.kernel.error(4), ENOSPC);
    w.kernel.write(5, ~std::uint64_t{4095}, bytes(8192));
    assert_int_equal(w.kernel.error(5), ENOSPC);
    w.kernel.read(6, 512, 4096);
    assert_int_equal(w.kernel.error(6), EINVAL);
    w.kernel.write(7, 0, bytes(4096), 1);
    assert_int_equal(w.kernel.error(7), EINVAL);
    assert_true(w.engine.log.empty());
}

void a_read_only_volume_takes_no_writes(void**) {
    world w(8 * mib, true);
    w.kernel.write(2, 0, bytes(512));
    assert_int_equal(w.kernel.error(2), EROFS);
    w.kernel.fallocate(3, hole, 0, 4096);
    assert_int_equal(w.kernel.error(3), EROFS);
}

void fsync_is_a_flush(void**) {
    world w;
    w.kernel.write(2, 0, pattern(512, 1));
    w.engine.run();
    w.kernel.ask(FUSE_FSYNC, 2, 3, fuse_kernel::bytes_of(fuse_fsync_in{}));
    assert_int_equal(static_cast<int>(w.engine.log.back().op), static_cast<int>(operation::flush));
    w.engine.run();
    assert_int_equal(w.kernel.error(3), 0);
    assert_true(w.engine.durable == w.engine.bytes);
}

// The loop driver makes one request of a discard and of a write_zeroes that may unmap.
void a_hole_is_written_as_zeros_that_may_unmap(void**) {
    world w;
    w.kernel.fallocate(2, hole, 4096, 8192);
    w.kernel.fallocate(3, zeros, 16384, 8192);
    assert_int_equal(w.engine.log.size(), 2);
    assert_int_equal(static_cast<int>(w.engine.log[0].op),
                     static_cast<int>(operation::write_zeroes));
    assert_true(w.engine.log[0].may_unmap);
    assert_int_equal(static_cast<int>(w.engine.log[1].op),
                     static_cast<int>(operation::write_zeroes));
    assert_false(w.engine.log[1].may_unmap);
}

void other_kinds_of_fallocate_are_not_supported(void**) {
    world w;
    std::uint64_t unique = 2;
    for (const std::uint32_t mode : {0U, 1U, 2U, 8U | 1U, 16U, 32U, hole | 64U}) {
        w.kernel.fallocate(unique, mode, 0, 4096);
        assert_int_equal(w.kernel.error(unique), EOPNOTSUPP);
        ++unique;
    }
    w.kernel.fallocate(90, hole, 16 * mib - 4096, 8192);
    assert_int_equal(w.kernel.error(90), EINVAL);
    w.kernel.fallocate(91, hole, ~std::uint64_t{4095}, 8192);
    assert_int_equal(w.kernel.error(91), EINVAL);
    w.kernel.fallocate(92, hole, 1, 4096);
    assert_int_equal(w.kernel.error(92), EINVAL);
    world without(8 * mib, false, false);
    without.kernel.fallocate(2, hole, 0, 4096);
    assert_int_equal(without.kernel.error(2), EOPNOTSUPP);
}

class counting_volume : public volume_io {
public:
    void submit(replica::io_request& asked) override {
        parts.push_back(asked.size);
        last = &asked;
    }
    std::vector<std::uint32_t> parts;
    replica::io_request* last = nullptr;
};

void a_hole_of_any_length_is_worked_off_in_parts(void**) {
    test_arena arena{2 * mib};
    replica::buffer_pool pool{arena.span()};
    counting_volume engine;
    volume_properties volume;
    volume.size_bytes = std::uint64_t{1} << 40;
    volume.can_discard = true;
    fuse_kernel kernel{volume, engine, pool};
    kernel.start();
    kernel.fallocate(2, hole, 4096, (std::uint64_t{5} << 30) + 512);
    std::uint64_t done = 0;
    while (kernel.answers.count(2) == 0) {
        assert_int_equal(engine.last->offset, 4096 + done);
        done += engine.last->size;
        finish(*engine.last, 0);
    }
    assert_int_equal(done, (std::uint64_t{5} << 30) + 512);
    assert_int_equal(engine.parts.size(), 6);
    assert_int_equal(kernel.error(2), 0);
    kernel.session.end();
}

void errors_of_the_engine_are_told(void**) {
    world w;
    for (std::uint64_t unique = 2; unique < 5; ++unique) {
        w.engine.fail_next = unique == 2 ? EIO : unique == 3 ? ENOSPC : ETIMEDOUT;
        w.kernel.write(unique, 0, bytes(512));
        w.engine.run();
    }
    assert_int_equal(w.kernel.error(2), EIO);
    assert_int_equal(w.kernel.error(3), ENOSPC);
    assert_int_equal(w.kernel.error(4), ETIMEDOUT);
}

void what_it_does_not_know_is_refused_once_and_for_all(void**) {
    world w;
    std::uint64_t unique = 2;
    for (const std::uint32_t opcode :
         {4U, 5U, 6U, 9U, 22U, 25U, 27U, 28U, 36U, 39U, 46U, 50U, 99U}) {
        w.kernel.ask(opcode, 2, unique, bytes(64));
        assert_int_equal(w.kernel.error(unique), ENOSYS);
        ++unique;
    }
    for (const std::uint32_t silent : {FUSE_FORGET, FUSE_BATCH_FORGET}) {
        w.kernel.ask(silent, 2, unique, bytes(16));
        assert_int_equal(w.kernel.answers.count(unique), 0);
        ++unique;
    }
}

void malformed_messages_hurt_nothing(void**) {
    world w;
    w.kernel.put(bytes(10));
    w.kernel.ask(FUSE_WRITE, 2, 2, bytes(100), 5000); // a length that is not what came
    assert_int_equal(w.kernel.answers.count(2), 0);
    fuse_write_in in = {};
    in.size = 8192; // more than there is
    w.kernel.ask(FUSE_WRITE, 2, 3, fuse_kernel::bytes_of(in, bytes(4096)));
    assert_int_equal(w.kernel.error(3), EINVAL);
    for (const std::uint32_t opcode : {FUSE_WRITE, FUSE_READ, FUSE_FALLOCATE}) {
        w.kernel.ask(opcode, 2, 10 + opcode, bytes(7)); // arguments cut short
        assert_int_equal(w.kernel.error(10 + opcode), EINVAL);
    }
    assert_true(w.engine.log.empty());
    w.kernel.write(4, 0, bytes(512));
    w.engine.run();
    assert_int_equal(w.kernel.error(4), 0);
}

void an_empty_pool_stops_the_messages_and_nothing_is_lost(void**) {
    world w(2 * mib);
    w.kernel.session.receive_targets();
    std::vector<replica::buffer_ref> all;
    while (auto one = w.pool.allocate(4096)) {
        all.push_back(std::move(one));
    }
    const bytes data = pattern(65536, 5);
    assert_true(w.kernel.write(2, 0, data)); // fits only into the staging area
    assert_true(w.engine.log.empty());
    assert_false(w.kernel.read(3, 0, 512));
    w.kernel.turn_wanted = false;
    all.clear();
    assert_true(w.kernel.turn_wanted);
    assert_true(w.kernel.read(3, 0, 512));
    w.engine.run();
    assert_int_equal(w.kernel.error(2), 0);
    assert_int_equal(w.kernel.error(3), 0);
    assert_memory_equal(w.engine.bytes.data(), data.data(), data.size());
}

void more_requests_than_slots_wait_for_one(void**) {
    world w;
    for (std::uint64_t i = 0; i < fuse_session::requests_max; ++i) {
        assert_true(w.kernel.ask(FUSE_FSYNC, 2, 100 + i));
    }
    assert_false(w.kernel.ask(FUSE_FSYNC, 2, 2));
    w.kernel.turn_wanted = false;
    w.engine.run_one();
    assert_true(w.kernel.turn_wanted);
    assert_true(w.kernel.ask(FUSE_FSYNC, 2, 2));
}

void after_the_end_nothing_is_answered_and_everything_comes_back(void**) {
    world w;
    w.kernel.write(2, 0, bytes(4096));
    w.kernel.session.end();
    assert_false(w.kernel.session.idle());
    w.engine.run();
    assert_true(w.kernel.session.idle());
    assert_int_equal(w.kernel.answers.count(2), 0);
    assert_true(w.kernel.turn_wanted);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(init_asks_for_large_and_many_parallel_requests),
        cmocka_unit_test(an_init_of_another_version_is_answered_by_the_rules),
        cmocka_unit_test(only_the_volumes_file_is_found),
        cmocka_unit_test(open_asks_for_direct_parallel_io_and_the_last_release_is_told),
        cmocka_unit_test(growth_shows_in_the_attributes),
        cmocka_unit_test(writes_of_any_size_arrive_aligned_and_whole),
        cmocka_unit_test(a_small_write_does_not_keep_a_large_buffer),
        cmocka_unit_test(reads_return_what_is_there_and_stop_at_the_end),
        cmocka_unit_test(what_does_not_fit_the_volume_is_refused),
        cmocka_unit_test(a_read_only_volume_takes_no_writes),
        cmocka_unit_test(fsync_is_a_flush),
        cmocka_unit_test(a_hole_is_written_as_zeros_that_may_unmap),
        cmocka_unit_test(other_kinds_of_fallocate_are_not_supported),
        cmocka_unit_test(a_hole_of_any_length_is_worked_off_in_parts),
        cmocka_unit_test(errors_of_the_engine_are_told),
        cmocka_unit_test(what_it_does_not_know_is_refused_once_and_for_all),
        cmocka_unit_test(malformed_messages_hurt_nothing),
        cmocka_unit_test(an_empty_pool_stops_the_messages_and_nothing_is_lost),
        cmocka_unit_test(more_requests_than_slots_wait_for_one),
        cmocka_unit_test(after_the_end_nothing_is_answered_and_everything_comes_back),
    };
    return cmocka_run_group_tests_name("fuse_session", tests, nullptr, nullptr);
}
