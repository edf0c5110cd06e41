// A disk image of tests/fixtures/metadata, kept as its blocks that are not zero: most of them are
// hundreds of megabytes of nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace lockstep::test {

class image {
public:
    // "internal-64m-fresh"; ends the program if it cannot be unpacked.
    explicit image(const std::string& name);

    std::uint64_t size() const { return size_; }
    std::vector<std::byte> read(std::uint64_t offset, std::size_t bytes) const;

    // Makes a sparse file of it.
    void write_to(const std::string& path) const;

private:
    std::uint64_t size_ = 0;
    std::map<std::uint64_t, std::vector<std::byte>> blocks_; // by offset, 4096 bytes each
};

std::string fixture_path(const std::string& name);
// Of a text file, also one that ends in ".xz".
std::string fixture_text(const std::string& name);

} // namespace lockstep::test
