// Any text as a metadata dump.
#include <cstdio>

#include "agent/drbdmeta/dump_parser.hpp"
#include "kernel/base/check.hpp"

using namespace lockstep;
using namespace lockstep::drbdmeta;

namespace {

class receiver : public dump_receiver {
public:
    result<> head(const dump_head& value) override {
        LOCKSTEP_CHECK(!seen_);
        LOCKSTEP_CHECK(format::check_striping(value.striping).has_value());
        seen_ = true;
        return {};
    }
    result<> words(std::uint64_t, std::uint64_t) override {
        LOCKSTEP_CHECK(seen_);
        return {};
    }
    bool seen() const { return seen_; }

private:
    bool seen_ = false;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    std::FILE* file = ::fmemopen(const_cast<std::uint8_t*>(data), size, "r");
    receiver taken;
    const auto parsed = parse_dump(file, taken);
    std::fclose(file);
    LOCKSTEP_CHECK(!parsed || taken.seen());
    LOCKSTEP_CHECK(parsed || (!parsed.error().what.empty() && parsed.error().code == 10));
    return 0;
}
