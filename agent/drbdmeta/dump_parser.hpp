// A metadata dump of version 8 as text, read back.
#pragma once

#include <cstdio>

#include "kernel/base/error.hpp"
#include "kernel/format/superblock.hpp"

namespace lockstep::drbdmeta {

// What the fields of a dump say; layout and magic are not in it.
struct dump_head {
    std::uint64_t la_size_sectors = 0;
    format::generation uuids;
    std::uint64_t device_uuid = 0;
    std::uint32_t flags = 0;
    std::uint32_t peer_max_bio_size = 0;
    format::al_striping striping; // the default if the dump is of 8.3 and does not say
};

// Receives a dump in order. An error ends the parsing and is passed on.
class dump_receiver {
public:
    virtual ~dump_receiver() = default;
    virtual result<> head(const dump_head& value) = 0;
    // `count` words of 64 bits, each `word` in host order.
    virtual result<> words(std::uint64_t count, std::uint64_t word) = 0;
};

// Reads the whole file. Errors: exit 10 with line, what was expected and what was found.
result<> parse_dump(std::FILE* file, dump_receiver& receiver);

} // namespace lockstep::drbdmeta
