// The program as an administrator meets it, on plain files: what it says, what it exits with, what
// it leaves on the disk.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernel/base/bytes.hpp"
#include "unit/cmocka.hpp"

namespace {

constexpr std::uint64_t kib = 1024;
constexpr std::uint64_t mib = 1024 * kib;

struct answer {
    int code = -1;
    std::string out;
    std::string err;
};

std::string read_all(const std::string& path) {
    std::FILE* file = std::fopen(path.c_str(), "r");
    std::string text;
    std::array<char, 65536> part = {};
    while (const std::size_t count = std::fread(part.data(), 1, part.size(), file)) {
        text.append(part.data(), count);
    }
    std::fclose(file);
    return text;
}

answer run(const std::string& words) {
    const std::string base = "drbdmeta-program-" + std::to_string(::getpid());
    const std::string command =
        std::string(DRBDMETA) + " " + words + " </dev/null >" + base + ".out 2>" + base + ".err";
    const int status = std::system(command.c_str());
    answer got{WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_all(base + ".out"),
               read_all(base + ".err")};
    ::unlink((base + ".out").c_str());
    ::unlink((base + ".err").c_str());
    return got;
}

class disk {
public:
    explicit disk(std::uint64_t size)
        : path_("drbdmeta-program-" + std::to_string(::getpid()) + ".disk"),
          fd_(::open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) {
        assert_int_equal(::ftruncate(fd_, static_cast<off_t>(size)), 0);
    }
    ~disk() {
        ::close(fd_);
        ::unlink(path_.c_str());
    }
    disk(const disk&) = delete;
    disk& operator=(const disk&) = delete;

    answer forced(const std::string& words, const std::string& index = "internal",
                  const std::string& options = "") const {
        return run("--force " + options + " - v08 " + path_ + " " + index + " " + words);
    }
    void write(std::uint64_t at, const std::vector<std::byte>& bytes) const {
        assert_int_equal(::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(at)),
                         bytes.size());
    }
    std::vector<std::byte> read(std::uint64_t at, std::size_t bytes) const {
        std::vector<std::byte> got(bytes);
        assert_int_equal(::pread(fd_, got.data(), bytes, static_cast<off_t>(at)), bytes);
        return got;
    }
    void fill(std::uint64_t at, std::size_t bytes, int value) const {
        write(at, std::vector<std::byte>(bytes, static_cast<std::byte>(value)));
    }
    const std::string& path() const { return path_; }
    int fd() const { return fd_; }

private:
    std::string path_;
    int fd_;
};

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

bool all_equal(const std::vector<std::byte>& bytes, int value) {
    for (const std::byte byte : bytes) {
        if (byte != static_cast<std::byte>(value)) {
            return false;
        }
    }
    return true;
}

// The start of an ext3 filesystem of that many blocks of 4 KiB.
std::vector<std::byte> ext3(std::uint32_t blocks) {
    std::vector<std::byte> bytes(4096);
    std::byte* super = bytes.data() + 1024;
    lockstep::store_little(super + 0x04, blocks);
    lockstep::store_little(super + 0x18, std::uint32_t{2});
    lockstep::store_little(super + 0x38, std::uint16_t{0xEF53});
    lockstep::store_little(super + 0x5c, std::uint32_t{4});
    return bytes;
}

void create_md_says_what_it_does(void**) {
    const disk it(20970496 * kib);
    const answer got = it.forced("create-md");
    assert_int_equal(got.code, 0);
    assert_string_equal(got.out.c_str(), "initializing activity log\nWriting meta data...\n"
                                         "New drbd meta data block successfully created.\n");
    assert_true(contains(got.err, "initializing bitmap (640 KB) to all zero\n"));
    assert_true(contains(it.forced("dump-md").out, "# md_size_sect 1352\n"));
}

void new_metadata_is_just_created(void**) {
    const disk it(64 * mib);
    it.forced("create-md");
    assert_string_equal(it.forced("get-gi").out.c_str(),
                        "0000000000000004:0000000000000000:0000000000000000:0000000000000000:"
                        "0:0:0:0:0:0:0\n");
    assert_string_equal(it.forced("dstate").out.c_str(), "Inconsistent\n");
    const answer drawn = it.forced("show-gi");
    assert_true(contains(drawn.out, "meta-data: clean\n"));
    assert_true(contains(drawn.out, "zero size device -- never seen peer yet?\n"));
}

void a_filesystem_in_the_way_is_refused_even_with_force(void**) {
    const disk it(64 * mib);
    it.write(0, ext3(16384));
    const answer got = it.forced("create-md");
    assert_int_equal(got.code, 40);
    assert_true(contains(got.out, "Found ext3 filesystem\n"));
    assert_true(contains(got.out, "       65536 kB data area apparently used\n"));
    assert_true(contains(got.out, "       65496 kB left usable by current configuration\n"));
    assert_true(contains(got.out, "Operation refused.\n"));
    assert_true(all_equal(it.read(63 * mib, mib), 0));
    assert_true(it.read(0, 4096) == ext3(16384));
}

void a_filesystem_that_leaves_room_is_only_a_question(void**) {
    const disk it(64 * mib);
    it.write(0, ext3(16374));
    const answer got = it.forced("create-md");
    assert_int_equal(got.code, 0);
    assert_true(contains(got.err, "Do you want to proceed?"));
    assert_true(it.read(0, 4096) == ext3(16374));
}

void any_filesystem_is_in_the_way_of_external_metadata(void**) {
    const disk it(64 * mib);
    it.write(0, ext3(100));
    const answer got = it.forced("create-md", "flex-external");
    assert_int_equal(got.code, 40);
    assert_true(contains(got.out, "This would corrupt existing data.\n"));
    assert_int_equal(it.forced("create-md", "flex-external", "--ignore-sanity-checks").code, 0);
}

void a_plain_file_needs_force(void**) {
    const disk it(64 * mib);
    const answer got = run("- v08 " + it.path() + " internal create-md");
    assert_int_equal(got.code, 20);
    assert_true(contains(got.err, "is not a block device!\n"));
}

void the_grammar_is_the_originals(void**) {
    const disk it(64 * mib);
    it.forced("create-md");
    assert_int_equal(run("").code, 20);
    assert_true(contains(run("").out, "USAGE: drbdmeta [--force] DEVICE FORMAT"));
    const struct {
        std::string words;
        const char* complaint;
    } wrong[] = {
        {"0 v10 " + it.path() + " internal get-gi", "Unknown format 'v10'."},
        {"0 v08 " + it.path() + " nowhere get-gi", "'nowhere' is not a valid index number."},
        {"0 v08 " + it.path() + " 256 get-gi", "'256' is not a valid index number."},
        {"0 v08 " + it.path() + " internal", "command missing"},
        {"0 v08 " + it.path() + " internal get-it", "Unknown command 'get-it'."},
        {"0 v08 x", "Too few arguments for format"},
        {"x v08 " + it.path() + " internal get-gi", "Cannot determine minor device number"},
        {"0 v07 " + it.path() + " internal get-gi", "not supported"},
        {"0 v09 " + it.path() + " internal get-gi", "not supported"},
    };
    for (const auto& entry : wrong) {
        const answer got = run("--force " + entry.words);
        assert_int_equal(got.code, 20);
        assert_true(contains(got.err, entry.complaint));
    }
    for (const char* index : {"internal", "flex-internal"}) {
        assert_int_equal(it.forced("get-gi", index).code, 0);
    }
    assert_int_equal(run("- v08 " + it.path() + " internal get-gi -f").code, 0);
}

void check_resize_without_metadata_finds_nothing_suitable(void**) {
    const disk it(64 * mib);
    const answer got = it.forced("check-resize");
    assert_int_equal(got.code, 1);
    assert_string_equal(got.err.c_str(), "no suitable meta data found :(\n");
}

void set_gi_prints_what_was_and_what_is(void**) {
    const disk it(64 * mib);
    it.forced("create-md");
    const answer got = it.forced("set-gi A:B:C:D:1:1:0:0:0:0:0");
    assert_int_equal(got.code, 0);
    assert_string_equal(got.out.c_str(),
                        "previously 0000000000000004:0000000000000000:0000000000000000:"
                        "0000000000000000:0:0:0:0:0:0:0\n"
                        "set GI to  000000000000000A:000000000000000B:000000000000000C:"
                        "000000000000000D:1:1:0:0:0:0:0\n");
    assert_true(contains(it.forced("get-gi").out, "000000000000000A:"));
}

void outdate_needs_consistent_data(void**) {
    const disk it(64 * mib);
    it.forced("create-md");
    assert_int_equal(it.forced("outdate").code, 5);
    it.forced("set-gi ::::1:1");
    assert_int_equal(it.forced("outdate").code, 0);
    assert_string_equal(it.forced("dstate").out.c_str(), "Outdated\n");
}

void invalidate_asks_for_a_full_sync(void**) {
    const disk it(64 * mib);
    it.forced("create-md");
    it.forced("set-gi ::::1:1");
    assert_int_equal(it.forced("invalidate").code, 0);
    assert_string_equal(it.forced("dstate").out.c_str(), "Inconsistent\n");
    assert_true(contains(it.forced("get-gi").out, ":0:0:0:0:1:0:0\n"));
}

void dstate_tells_consistent_from_up_to_date(void**) {
    const disk it(64 * mib);
    it.forced("create-md");
    it.forced("set-gi ::::1:1");
    assert_string_equal(it.forced("dstate").out.c_str(), "Consistent\n");
    it.forced("set-gi :::::::::1");
    assert_string_equal(it.forced("dstate").out.c_str(), "UpToDate\n");
}

void the_device_uuid_is_written_and_read(void**) {
    const disk it(64 * mib);
    it.forced("create-md");
    assert_int_equal(it.forced("write-dev-uuid 0123456789abcdef").code, 0);
    assert_string_equal(it.forced("read-dev-uuid").out.c_str(), "0123456789ABCDEF\n");
    assert_int_equal(it.forced("write-dev-uuid xyz").code, 10);
    assert_int_equal(it.forced("write-dev-uuid").code, 10);
}

void wiped_metadata_is_gone(void**) {
    const disk it(64 * mib);
    it.forced("create-md");
    const answer got = it.forced("wipe-md");
    assert_int_equal(got.code, 0);
    assert_true(contains(got.out, "DRBD meta data block successfully wiped out.\n"));
    assert_int_equal(it.forced("get-gi").code, 1);
    assert_true(contains(it.forced("wipe-md").err, "no drbd meta data to wipe out"));
}

void a_device_in_use_is_refused(void**) {
    const disk it(64 * mib);
    it.forced("create-md");
    assert_int_equal(::flock(it.fd(), LOCK_EX | LOCK_NB), 0);
    const answer got = run("- v08 " + it.path() + " internal apply-al");
    assert_int_equal(got.code, 20);
    assert_true(contains(got.err, "Device or resource busy"));
}

void a_device_too_small_is_refused(void**) {
    const disk tiny(64 * kib);
    assert_int_equal(tiny.forced("create-md").code, 10);
    assert_true(contains(tiny.forced("create-md").err, "That's not enough.\n"));
    const disk few(80 * mib);
    const answer got = few.forced("create-md", "1");
    assert_int_equal(got.code, 10);
    assert_true(contains(got.err, "Device too small: expecting meta data block at\n"));
}

// The bitmap of 64 MiB lies 40 KiB before the end of the device.
constexpr std::uint64_t bitmap_at = 64 * mib - 40 * kib;

void initialize_bitmap_chooses_what_becomes_of_old_bits(void**) {
    for (const char* mode : {"automatic", "zeroout", "pwrite"}) {
        const disk it(64 * mib);
        it.fill(bitmap_at, 4096, 0xff);
        assert_int_equal(it.forced(std::string("create-md --initialize-bitmap ") + mode).code, 0);
        assert_true(all_equal(it.read(bitmap_at, 4096), 0));
    }
    const disk it(64 * mib);
    it.fill(bitmap_at, 4096, 0xff);
    const answer skipped = it.forced("create-md -b skip");
    assert_int_equal(skipped.code, 0);
    assert_true(contains(skipped.err, "SKIPPED initializing bitmap area\n"));
    assert_true(all_equal(it.read(bitmap_at, 4096), 0xff));
    assert_int_equal(it.forced("create-md -b sometimes").code, 10);
}

void a_dry_run_writes_nothing(void**) {
    const disk it(64 * mib);
    const answer got = it.forced("create-md --dry-run");
    assert_int_equal(got.code, 0);
    assert_true(contains(got.err, "SKIPPED DUE TO DRY-RUN\n"));
    assert_true(all_equal(it.read(63 * mib, mib), 0));
    assert_int_equal(it.forced("get-gi").code, 1);
}

void peer_max_bio_size_is_stored(void**) {
    const disk it(64 * mib);
    it.forced("create-md --peer-max-bio-size 128k");
    assert_true(contains(it.forced("dump-md").out, "la-peer-max-bio-size 131072;\n"));
    assert_int_equal(it.forced("create-md --peer-max-bio-size 1025k").code, 10);
    assert_int_equal(it.forced("dump-md --peer-max-bio-size 4k").code, 10);
}

void long_work_shows_its_progress(void**) {
    const disk it(mib * mib);
    const answer got = it.forced("create-md --initialize-bitmap pwrite");
    assert_int_equal(got.code, 0);
    assert_true(contains(got.err, "initializing bitmap (32 MB) to all zero using pwrite\n"));
    assert_true(contains(got.err, "\r12%"));
    assert_true(contains(got.err, "\r87%"));
    assert_true(contains(got.err, "\r100%\n"));
    const disk small(64 * mib);
    assert_false(contains(small.forced("create-md -b pwrite").err, "%"));
}

void work_that_fails_in_the_middle_is_not_shown_as_done(void**) {
    const disk it(33 * mib);
    rlimit before{};
    assert_int_equal(::getrlimit(RLIMIT_FSIZE, &before), 0);
    ::signal(SIGXFSZ, SIG_IGN);
    // The bitmap comes last and fills the device: half of it can be written.
    const rlimit half{16 * mib, before.rlim_max};
    assert_int_equal(::setrlimit(RLIMIT_FSIZE, &half), 0);
    const answer got = it.forced("create-md --initialize-bitmap pwrite", "flex-external");
    assert_int_equal(::setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(got.code, 10);
    assert_true(contains(got.err, "\r12%"));
    assert_true(contains(got.err, "failed: File too large"));
    assert_false(contains(got.err, "100%"));
}

void verbosity_tells_more(void**) {
    const disk it(64 * mib);
    assert_false(contains(it.forced("dump-md").err, "Magic number"));
    assert_true(contains(it.forced("dump-md -v").err, "v08 Magic number not found\n"));
    it.forced("create-md");
    assert_true(contains(it.forced("dump-md -v -v").err, "pread("));
    assert_false(contains(it.forced("dump-md -v -v").out, "# al {"));
    assert_true(contains(it.forced("dump-md -vvvvvvvvvv").out, "# al {"));
}

void one_sector_carries_the_superblock(void**) {
    const disk it(64 * mib);
    it.forced("create-md");
    it.forced("set-gi FFFFFFFFFFFFFFFF:FFFFFFFFFFFFFFFF:FFFFFFFFFFFFFFFF:FFFFFFFFFFFFFFFF:1:1");
    assert_true(all_equal(it.read(64 * mib - 4096 + 512, 4096 - 512), 0));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(create_md_says_what_it_does),
        cmocka_unit_test(new_metadata_is_just_created),
        cmocka_unit_test(a_filesystem_in_the_way_is_refused_even_with_force),
        cmocka_unit_test(a_filesystem_that_leaves_room_is_only_a_question),
        cmocka_unit_test(any_filesystem_is_in_the_way_of_external_metadata),
        cmocka_unit_test(a_plain_file_needs_force),
        cmocka_unit_test(the_grammar_is_the_originals),
        cmocka_unit_test(check_resize_without_metadata_finds_nothing_suitable),
        cmocka_unit_test(set_gi_prints_what_was_and_what_is),
        cmocka_unit_test(outdate_needs_consistent_data),
        cmocka_unit_test(invalidate_asks_for_a_full_sync),
        cmocka_unit_test(dstate_tells_consistent_from_up_to_date),
        cmocka_unit_test(the_device_uuid_is_written_and_read),
        cmocka_unit_test(wiped_metadata_is_gone),
        cmocka_unit_test(a_device_in_use_is_refused),
        cmocka_unit_test(a_device_too_small_is_refused),
        cmocka_unit_test(initialize_bitmap_chooses_what_becomes_of_old_bits),
        cmocka_unit_test(a_dry_run_writes_nothing),
        cmocka_unit_test(peer_max_bio_size_is_stored),
        cmocka_unit_test(long_work_shows_its_progress),
        cmocka_unit_test(work_that_fails_in_the_middle_is_not_shown_as_done),
        cmocka_unit_test(verbosity_tells_more),
        cmocka_unit_test(one_sector_carries_the_superblock),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
