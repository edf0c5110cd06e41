// Disks as the replica uses them: files (with direct I/O where the filesystem has it), and a loop
// device where the test may make one.
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "kernel/host/claims.hpp"
#include "kernel/host/volume_disks.hpp"
#include "unit/cmocka.hpp"

namespace {

using namespace lockstep;
using namespace lockstep::host;
using replica::disk_request;
using op = disk_request::operation;

constexpr std::size_t disk_bytes = 8 << 20;

struct ended_request {
    const disk_request* request;
    int error;
};

struct stage {
    explicit stage(std::size_t operations = 64) {
        char name[] = "/var/tmp/disk-test-XXXXXX";
        directory = ::mkdtemp(name);
        keeper_settings settings;
        settings.resource = "r0";
        settings.log_target = "/dev/null";
        keeper_ = std::move(*keeper::start(settings, {}));
        loop = std::move(*event_loop::create());
        keeper_->run_on(*loop);
        claims_ = std::make_unique<claims>(directory + "/claims", "r0");
        volume_disks::settings use;
        use.files_allowed = true;
        use.operations = operations;
        disks = std::make_unique<volume_disks>(*loop, *keeper_, *claims_, use,
                                               [this](disk_request& request, int error) {
                                                   ended.push_back({&request, error});
                                               });
        ::posix_memalign(&memory, 4096, 4 << 20);
        std::memset(memory, 0, 4 << 20);
    }
    ~stage() {
        for (replica::volume_number volume = 0; volume < 4; ++volume) {
            disks->close(volume);
        }
        wait([this] { return disks->closing() == 0; });
        disks.reset();
        keeper_.reset();
        loop.reset();
        std::free(memory);
        [[maybe_unused]] const int status = std::system(("rm -rf " + directory).c_str());
    }

    std::string make_file(const std::string& name, std::size_t size = disk_bytes) const {
        std::string path = directory + "/" + name;
        const owned_fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        assert_int_equal(::ftruncate(fd.get(), static_cast<off_t>(size)), 0);
        return path;
    }
    std::byte* at(std::size_t offset) const { return static_cast<std::byte*>(memory) + offset; }

    template <class Condition>
    void wait(Condition condition) {
        const instant limit = event_loop::clock() + 20 * second;
        while (!condition()) {
            assert_true(event_loop::clock() < limit);
            loop->run_once(20 * millisecond);
        }
    }
    result<replica::disk_properties> open(replica::volume_number volume,
                                          const disk_location& location) {
        std::optional<result<replica::disk_properties>> got;
        disks->open(volume, location, [&got](auto answer) { got = std::move(answer); });
        wait([&got] { return got.has_value(); });
        return *got;
    }
    void open_simple(const std::string& path) { assert_true(open(0, {path, path}).has_value()); }
    // Carries out one request on volume 0.
    int run(disk_request& request) {
        const std::size_t before = ended.size();
        disks->submit(request);
        assert_int_equal(ended.size(), before); // never from inside submit()
        wait([&] { return ended.size() > before; });
        return ended.back().error;
    }

    std::string directory;
    std::unique_ptr<keeper> keeper_;
    std::unique_ptr<event_loop> loop;
    std::unique_ptr<claims> claims_;
    std::unique_ptr<volume_disks> disks;
    std::vector<ended_request> ended;
    void* memory = nullptr;
};

disk_request request_of(op what, std::uint64_t offset, std::uint32_t size, std::byte* memory) {
    disk_request made;
    made.op = what;
    made.offset = offset;
    made.size = size;
    made.memory = memory;
    return made;
}

void what_was_written_is_read_back(void**) {
    stage on;
    on.open_simple(on.make_file("disk"));
    std::memset(on.at(0), 'w', 1 << 20);
    for (const bool fua : {false, true}) {
        disk_request write = request_of(op::write, 1 << 20, 1 << 20, on.at(0));
        write.fua = fua;
        assert_int_equal(on.run(write), 0);
    }
    disk_request flush = request_of(op::flush, 0, 0, nullptr);
    assert_int_equal(on.run(flush), 0);
    disk_request read = request_of(op::read, 1 << 20, 1 << 20, on.at(2 << 20));
    assert_int_equal(on.run(read), 0);
    assert_memory_equal(on.at(0), on.at(2 << 20), 1 << 20);
}

void discard_and_write_zeroes_leave_zeros(void**) {
    stage on;
    on.open_simple(on.make_file("disk"));
    for (const op what : {op::discard, op::write_zeroes}) {
        for (const bool may_unmap : {false, true}) {
            std::memset(on.at(0), 'w', 64 << 10);
            disk_request write = request_of(op::write, 0, 64 << 10, on.at(0));
            assert_int_equal(on.run(write), 0);
            disk_request zero = request_of(what, 4096, 32 << 10, nullptr);
            zero.may_unmap = may_unmap;
            zero.fua = may_unmap;
            assert_int_equal(on.run(zero), 0);
            disk_request read = request_of(op::read, 0, 64 << 10, on.at(1 << 20));
            assert_int_equal(on.run(read), 0);
            std::memset(on.at(4096), 0, 32 << 10);
            assert_memory_equal(on.at(0), on.at(1 << 20), 64 << 10);
        }
    }
}

void zeros_are_written_where_the_device_cannot_zero(void**) {
    // A file in memory knows no FALLOC_FL_ZERO_RANGE.
    constexpr std::size_t size = 1 << 20;
    const owned_fd file(::memfd_create("disk", MFD_CLOEXEC));
    const std::string full(size, 'x');
    assert_int_equal(::write(file.get(), full.data(), size), size);
    assert_int_equal(::fallocate(file.get(), FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, 4096),
                     -1);
    auto loop = std::move(*event_loop::create());
    std::vector<int> errors;
    disk_queue queue(*loop, 4, [&errors](disk_request&, int error) { errors.push_back(error); });
    backing_disk disk(owned_fd(::dup(file.get())), {});
    disk_request zero = request_of(op::write_zeroes, 4096, size - 8192, nullptr);
    queue.submit(zero, disk);
    while (errors.empty()) {
        loop->run_once(second);
    }
    assert_int_equal(errors[0], 0);
    std::string back(size, '?');
    assert_int_equal(::pread(file.get(), back.data(), size, 0), size);
    assert_true(back ==
                std::string(4096, 'x') + std::string(size - 8192, '\0') + std::string(4096, 'x'));
}

void a_read_beyond_the_end_is_an_error(void**) {
    stage on;
    on.open_simple(on.make_file("disk"));
    disk_request read = request_of(op::read, disk_bytes, 4096, on.at(0));
    assert_int_equal(on.run(read), EIO);
    disk_request across = request_of(op::read, disk_bytes - 4096, 8192, on.at(0));
    assert_int_equal(on.run(across), EIO);
}

void more_requests_than_operations_all_end_once(void**) {
    stage on(3);
    on.open_simple(on.make_file("disk"));
    const std::string other = on.make_file("other");
    assert_true(on.open(1, {other, other}).has_value());
    std::vector<disk_request> many(200);
    for (std::size_t i = 0; i < many.size(); ++i) {
        many[i].op = i % 5 == 4 ? op::flush : op::write;
        many[i].volume = static_cast<replica::volume_number>(i % 2);
        many[i].offset = i * 4096;
        many[i].size = many[i].op == op::flush ? 0 : 4096;
        many[i].memory = on.at(i * 4096);
        on.disks->submit(many[i]);
    }
    assert_int_equal(on.disks->requests_under_way(), many.size());
    on.wait([&] { return on.ended.size() == many.size(); });
    assert_int_equal(on.disks->requests_under_way(), 0);
    for (const disk_request& one : many) {
        assert_int_equal(std::count_if(on.ended.begin(), on.ended.end(),
                                       [&one](const ended_request& got) {
                                           return got.request == &one && got.error == 0;
                                       }),
                         1);
    }
}

void requests_without_a_disk_end_with_enodev(void**) {
    stage on;
    disk_request read = request_of(op::read, 0, 4096, on.at(0));
    assert_int_equal(on.run(read), ENODEV);
}

void the_properties_are_those_of_the_devices(void**) {
    stage on;
    const std::string data = on.make_file("data", 5 << 20);
    const std::string metadata = on.make_file("metadata", 128 << 20);
    const auto internal = on.open(0, {data, data});
    assert_true(internal.has_value());
    assert_int_equal(internal->data_sectors, (5 << 20) / 512);
    assert_int_equal(internal->metadata_sectors, (5 << 20) / 512);
    assert_true(internal->internal_metadata);
    on.disks->close(0);
    disk_location location{data, metadata};
    location.where = replica::disk_properties::placement::flexible;
    const auto external = on.open(0, location); // waits for the close by itself
    assert_true(external.has_value());
    assert_int_equal(external->metadata_sectors, (128 << 20) / 512);
    assert_false(external->internal_metadata);
    assert_int_equal(::truncate(data.c_str(), 6 << 20), 0);
    assert_int_equal(on.disks->measure(0)->data_sectors, (6 << 20) / 512);
    assert_int_equal(on.disks->measure(3).error().code, 138);
}

void data_and_metadata_go_to_their_own_devices(void**) {
    stage on;
    const std::string data = on.make_file("data");
    const std::string metadata = on.make_file("metadata");
    assert_true(on.open(0, {data, metadata}).has_value());
    std::memset(on.at(0), 'm', 4096);
    disk_request write = request_of(op::write, 4096, 4096, on.at(0));
    write.device = replica::backing::metadata;
    assert_int_equal(on.run(write), 0);
    std::memset(on.at(0), 0, 4096);
    disk_request read = request_of(op::read, 4096, 4096, on.at(0));
    assert_int_equal(on.run(read), 0);
    assert_true(*on.at(0) == std::byte{0});
    read.device = replica::backing::metadata;
    assert_int_equal(on.run(read), 0);
    assert_true(*on.at(0) == std::byte{'m'});
}

void a_missing_device_is_refused_with_its_name_and_code(void**) {
    stage on;
    const std::string data = on.make_file("data");
    const auto refused = on.open(0, {on.directory + "/none", on.directory + "/none"});
    assert_false(refused.has_value());
    assert_int_equal(refused.error().code, 104);
    assert_non_null(std::strstr(refused.error().text().c_str(), "/none"));
    assert_int_equal(on.open(0, {data, on.directory + "/none"}).error().code, 105);
    assert_int_equal(on.open(0, {"/dev/null", "/dev/null"}).error().code, 107);
    assert_int_equal(on.open(0, {data, "/dev/null"}).error().code, 108);
    on.open_simple(data); // and nothing of the failures is left behind
}

void a_disk_that_another_resource_has_is_refused(void**) {
    stage on;
    const std::string data = on.make_file("data");
    claims other(on.directory + "/claims", "r1");
    struct stat what = {};
    assert_int_equal(::stat(data.c_str(), &what), 0);
    const std::string key =
        "disk-file:" + std::to_string(what.st_dev) + ":" + std::to_string(what.st_ino);
    assert_true(other.take(key, 114).has_value());
    const auto refused = on.open(0, {data, data});
    assert_int_equal(refused.error().code, 114);
    assert_non_null(std::strstr(refused.error().text().c_str(), "resource r1"));
    other.release(key);
    on.open_simple(data);
    assert_int_equal(on.open(1, {data, data}).error().code, 114);
    assert_int_equal(on.open(0, {data, data}).error().code, 124);
}

void one_metadata_device_serves_several_resources_by_index(void**) {
    stage on;
    const std::string metadata = on.make_file("metadata");
    disk_location first{on.make_file("a"), metadata};
    first.where = replica::disk_properties::placement::indexed;
    first.index = 0;
    disk_location second_one{on.make_file("b"), metadata};
    second_one.where = first.where;
    second_one.index = 1;
    disk_location third{on.make_file("c"), metadata};
    third.where = first.where;
    third.index = 1;
    assert_true(on.open(0, first).has_value());
    assert_true(on.open(1, second_one).has_value());
    assert_int_equal(on.open(2, third).error().code, 115);
}

void a_disk_closed_under_load_reports_every_request(void**) {
    stage on(2);
    const std::string data = on.make_file("disk");
    on.open_simple(data);
    std::vector<disk_request> many(20);
    for (disk_request& one : many) {
        one = request_of(op::write, 0, 4096, on.at(0));
        on.disks->submit(one);
    }
    on.disks->close(0);
    assert_false(on.disks->is_open(0));
    on.wait([&] { return on.ended.size() == many.size(); });
    on.open_simple(data);
}

void a_claim_holds_between_processes_and_ends_with_its_holder(void**) {
    stage on;
    int ready[2] = {-1, -1};
    assert_int_equal(::pipe(ready), 0);
    const pid_t other = ::fork();
    if (other == 0) {
        claims theirs(on.directory + "/claims", "r9");
        const bool taken = theirs.take("minor-3", 161).has_value();
        [[maybe_unused]] const auto count = ::write(ready[1], &taken, 1);
        ::pause();
    }
    char taken = 0;
    assert_int_equal(::read(ready[0], &taken, 1), 1);
    ::close(ready[0]);
    ::close(ready[1]);
    const auto refused = on.claims_->take("minor-3", 161);
    assert_int_equal(refused.error().code, 161);
    assert_non_null(std::strstr(refused.error().text().c_str(), "r9"));
    assert_true(on.claims_->take("minor-4", 161).has_value());
    ::kill(other, SIGKILL);
    ::waitpid(other, nullptr, 0);
    assert_true(on.claims_->take("minor-3", 161).has_value());
    on.claims_->release("minor-3");
    claims third(on.directory + "/claims", "r2");
    assert_true(third.take("minor-3", 161).has_value());
}

// A loop device on a file, detached at the end; invalid where none can be made.
struct loop_device {
    explicit loop_device(const std::string& file) {
        const owned_fd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
        const int number = control.valid() ? ::ioctl(control.get(), LOOP_CTL_GET_FREE) : -1;
        if (number < 0) {
            return;
        }
        path = "/dev/loop" + std::to_string(number);
        device.reset(::open(path.c_str(), O_RDWR | O_CLOEXEC));
        const owned_fd backing(::open(file.c_str(), O_RDWR | O_CLOEXEC));
        if (!device.valid() || ::ioctl(device.get(), LOOP_SET_FD, backing.get()) != 0) {
            device.reset();
        }
    }
    ~loop_device() {
        if (device.valid()) {
            ::ioctl(device.get(), LOOP_CLR_FD, 0);
        }
    }
    std::string path;
    owned_fd device;
};

void a_block_device_is_used_exclusively_and_discards(void**) {
    stage on;
    const loop_device device(on.make_file("disk"));
    if (!device.device.valid()) {
        print_message("no loop device can be made here\n");
        skip();
    }
    const auto opened = on.open(0, {device.path, device.path});
    assert_true(opened.has_value());
    assert_int_equal(opened->data_sectors, disk_bytes / 512);
    assert_true(opened->can_discard);
    assert_int_equal(::open(device.path.c_str(), O_RDWR | O_EXCL | O_CLOEXEC), -1);
    assert_int_equal(errno, EBUSY);
    std::memset(on.at(0), 'w', 4096);
    disk_request write = request_of(op::write, 8192, 4096, on.at(0));
    write.fua = true;
    assert_int_equal(on.run(write), 0);
    disk_request discard = request_of(op::discard, 8192, 4096, nullptr);
    assert_int_equal(on.run(discard), 0);
    disk_request read = request_of(op::read, 8192, 4096, on.at(0));
    assert_int_equal(on.run(read), 0);
    assert_true(*on.at(0) == std::byte{0});
    on.disks->close(0);
    on.wait([&on] { return on.disks->closing() == 0; });
    const owned_fd free_again(::open(device.path.c_str(), O_RDWR | O_EXCL | O_CLOEXEC));
    assert_true(free_again.valid());
    assert_int_equal(on.open(0, {device.path, device.path}).error().code, 114);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_back),
        cmocka_unit_test(discard_and_write_zeroes_leave_zeros),
        cmocka_unit_test(zeros_are_written_where_the_device_cannot_zero),
        cmocka_unit_test(a_read_beyond_the_end_is_an_error),
        cmocka_unit_test(more_requests_than_operations_all_end_once),
        cmocka_unit_test(requests_without_a_disk_end_with_enodev),
        cmocka_unit_test(the_properties_are_those_of_the_devices),
        cmocka_unit_test(data_and_metadata_go_to_their_own_devices),
        cmocka_unit_test(a_missing_device_is_refused_with_its_name_and_code),
        cmocka_unit_test(a_disk_that_another_resource_has_is_refused),
        cmocka_unit_test(one_metadata_device_serves_several_resources_by_index),
        cmocka_unit_test(a_disk_closed_under_load_reports_every_request),
        cmocka_unit_test(a_claim_holds_between_processes_and_ends_with_its_holder),
        cmocka_unit_test(a_block_device_is_used_exclusively_and_discards),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
