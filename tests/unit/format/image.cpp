#include "unit/format/image.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "kernel/base/bytes.hpp"

namespace lockstep::test {

namespace {

constexpr std::size_t block_size = 4096;

[[noreturn]] void give_up(const char* what, const std::string& name) {
    std::fprintf(stderr, "fixture %s: %s\n", name.c_str(), what);
    std::abort();
}

std::FILE* unpack(const std::string& path) {
    std::FILE* pipe = ::popen(("xz -dc '" + path + "'").c_str(), "r");
    if (pipe == nullptr) {
        give_up("cannot run xz", path);
    }
    return pipe;
}

} // namespace

std::string fixture_path(const std::string& name) {
    return std::string(LOCKSTEP_FIXTURES) + "/metadata/" + name;
}

std::string fixture_text(const std::string& name) {
    const bool packed = name.size() > 3 && name.substr(name.size() - 3) == ".xz";
    std::FILE* file =
        packed ? unpack(fixture_path(name)) : std::fopen(fixture_path(name).c_str(), "r");
    if (file == nullptr) {
        give_up("cannot be opened", name);
    }
    std::string text;
    std::array<char, 65536> part = {};
    while (const std::size_t count = std::fread(part.data(), 1, part.size(), file)) {
        text.append(part.data(), count);
    }
    const int ended = packed ? ::pclose(file) : std::fclose(file);
    if (ended != 0 || text.empty()) {
        give_up("cannot be read", name);
    }
    return text;
}

// Each image is unpacked once, however many tests of a program look at it.
image::image(const std::string& name) {
    static std::map<std::string, image> unpacked;
    const auto known = unpacked.find(name);
    if (known != unpacked.end()) {
        *this = known->second;
        return;
    }
    std::FILE* pipe = unpack(fixture_path(name + ".img.xz"));
    std::vector<std::byte> block(block_size);
    while (const std::size_t count = std::fread(block.data(), 1, block_size, pipe)) {
        if (!all_zero(const_byte_span(block).first(count))) {
            blocks_.emplace(size_, block);
        }
        size_ += count;
    }
    if (::pclose(pipe) != 0 || size_ == 0) {
        give_up("cannot be unpacked", name);
    }
    unpacked.emplace(name, *this);
}

std::vector<std::byte> image::read(std::uint64_t offset, std::size_t bytes) const {
    if (offset > size_ || bytes > size_ - offset || offset % block_size != 0) {
        give_up("read outside of the image", std::to_string(offset));
    }
    std::vector<std::byte> found(bytes);
    for (std::size_t at = 0; at < bytes; at += block_size) {
        const auto block = blocks_.find(offset + at);
        if (block != blocks_.end()) {
            std::memcpy(found.data() + at, block->second.data(), std::min(block_size, bytes - at));
        }
    }
    return found;
}

void image::write_to(const std::string& path) const {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool good = fd >= 0 && ::ftruncate(fd, static_cast<off_t>(size_)) == 0;
    for (const auto& [offset, block] : blocks_) {
        const auto bytes = std::min<std::uint64_t>(block.size(), size_ - offset);
        good = good && ::pwrite(fd, block.data(), bytes, static_cast<off_t>(offset)) ==
                           static_cast<ssize_t>(bytes);
    }
    if (!good || ::close(fd) != 0) {
        give_up("cannot be written", path);
    }
}

} // namespace lockstep::test
