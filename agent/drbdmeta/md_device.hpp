// The block device (or, with --force, the file) that metadata lies on: direct I/O in whole blocks,
// exclusive while it is open, and no write outside of the metadata area that was announced.
#pragma once

#include <cstdlib>
#include <memory>
#include <string>

#include "agent/drbdmeta/command_line.hpp"
#include "agent/drbdmeta/console.hpp"
#include "kernel/base/bytes.hpp"

namespace lockstep::drbdmeta {

// Memory that direct I/O accepts: aligned to 4096 bytes, zero at first.
class aligned_buffer {
public:
    explicit aligned_buffer(std::size_t bytes);

    byte_span all() { return {memory_.get(), size_}; }
    byte_span first(std::size_t bytes) { return all().first(bytes); }
    std::size_t size() const { return size_; }

private:
    struct release {
        void operator()(std::byte* memory) const { std::free(memory); }
    };
    std::unique_ptr<std::byte, release> memory_;
    std::size_t size_;
};

class md_device {
public:
    // Opens the device that the call names. Errors: exit 20 as the original (busy, not a block
    // device and not forced, cannot be opened).
    static result<md_device> open(const invocation& call, const console& out);

    md_device(md_device&& other) noexcept;
    md_device& operator=(md_device&& other) noexcept;
    md_device(const md_device&) = delete;
    md_device& operator=(const md_device&) = delete;
    ~md_device();

    const std::string& name() const { return name_; }
    std::uint64_t size() const { return size_; } // bytes

    // Offsets and sizes are multiples of 4096; `tag` names the purpose in messages. Errors: exit
    // 10.
    result<> read(std::uint64_t offset, byte_span into, const char* tag) const;
    result<> write(std::uint64_t offset, const_byte_span bytes, const char* tag);

    // Writes are refused outside of [first, end); at first, everywhere.
    void allow_writes(std::uint64_t first, std::uint64_t end);

    // Everything written so far is on stable storage. A dry run needs none.
    result<> flush();

    // Zeroes a range that lies within the allowed one, showing progress. `automatic` first asks
    // the device to do it.
    result<> zero(std::uint64_t offset, std::uint64_t bytes, bitmap_mode mode);

private:
    md_device(const invocation& call, const console& out) : call_(&call), out_(&out) {}
    result<> open_exclusively();
    result<> look_at_it();
    result<> check_range(std::uint64_t offset, std::uint64_t bytes, const char* tag) const;
    bool zero_by_device(std::uint64_t offset, std::uint64_t bytes) const;
    result<> zero_by_writing(std::uint64_t offset, std::uint64_t bytes);

    const invocation* call_;
    const console* out_;
    std::string name_;
    int fd_ = -1;
    bool direct_ = true;
    bool block_device_ = false;
    std::uint64_t size_ = 0;
    std::uint64_t writes_from_ = 0;
    std::uint64_t writes_end_ = 0;
};

} // namespace lockstep::drbdmeta
