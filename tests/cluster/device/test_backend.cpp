#include "cluster/device/test_backend.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace lockstep::device {

namespace {

using operation = replica::io_request::operation;
constexpr std::size_t operations_max = 512;

} // namespace

test_backend::test_backend(host::event_loop& loop, const std::string& file, std::uint64_t room)
    : loop_(loop), operations_(file.empty() ? 0 : operations_max) {
    turn_.owner = this;
    turn_.run = [](host::deferred& self) { static_cast<turn&>(self).owner->take_turn(); };
    if (file.empty()) {
        memory_ = static_cast<std::byte*>(
            ::mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        return;
    }
    file_ = owned_fd{::open(file.c_str(), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600)};
    if (!file_.valid() || ::ftruncate(file_.get(), static_cast<off_t>(room)) != 0) {
        std::perror("backend file");
        std::exit(1);
    }
    for (auto& one : operations_) {
        one.owner = this;
        one.done = [](host::completion& self, int result, unsigned) {
            auto& on = static_cast<disk_operation&>(self);
            on.owner->ended(on, result);
        };
        one.following = free_;
        free_ = &one;
    }
}

void test_backend::submit(replica::io_request& asked) {
    asked.next = nullptr;
    (last_ == nullptr ? first_ : last_->next) = &asked;
    last_ = &asked;
    loop_.defer(turn_);
}

void test_backend::hold(bool on) {
    held_ = on;
    loop_.defer(turn_);
}

void test_backend::take_turn() {
    while (!held_ && first_ != nullptr && (!file_.valid() || free_ != nullptr)) {
        replica::io_request& one = *first_;
        first_ = one.next;
        if (first_ == nullptr) {
            last_ = nullptr;
        }
        writes += one.op == operation::write ? 1 : 0;
        flushes += one.op == operation::flush ? 1 : 0;
        if (error != 0) {
            finish(one, error);
        } else if (file_.valid()) {
            start(one);
        } else {
            carry_out(one);
            finish(one, 0);
        }
    }
}

void test_backend::carry_out(const replica::io_request& one) {
    std::byte* const place = memory_ + one.offset;
    if (one.op == operation::read) {
        std::memcpy(one.buffer.data(), place, one.size);
    } else if (one.op == operation::write) {
        std::memcpy(place, one.buffer.data(), one.size);
    } else if (one.op != operation::flush) {
        std::memset(place, 0, one.size);
    }
}

void test_backend::start(replica::io_request& one) {
    disk_operation& on = *free_;
    free_ = on.following;
    on.request = &one;
    if (one.op == operation::read) {
        loop_.read(on, file_.get(), one.buffer.data(), one.size, one.offset);
    } else if (one.op == operation::write) {
        loop_.write(on, file_.get(), one.buffer.data(), one.size, one.offset,
                    one.fua ? RWF_DSYNC : 0);
    } else if (one.op == operation::flush) {
        loop_.fdatasync(on, file_.get());
    } else {
        loop_.fallocate(on, file_.get(), FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, one.offset,
                        one.size);
    }
}

void test_backend::ended(disk_operation& on, int result) {
    replica::io_request& asked = *on.request;
    on.following = free_;
    free_ = &on;
    finish(asked, result < 0 ? -result : 0);
    if (first_ != nullptr) {
        loop_.defer(turn_);
    }
}

} // namespace lockstep::device
