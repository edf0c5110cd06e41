// Any bytes as drbd.conf: read, resolved, checked and dumped. What was accepted must be accepted
// again after a dump.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "agent/config/dump.hpp"
#include "agent/config/reader.hpp"
#include "agent/config/resolve.hpp"

using namespace lockstep::config;

namespace {

// No include may reach into the machine that fuzzes.
bool includes(std::string_view text) {
    return text.find("include") != std::string_view::npos;
}

struct reading {
    document doc;
    diagnostics found;

    explicit reading(std::string_view text) {
        reader(doc, found).read_text("fuzz", "/fuzz", text);
        const node_identity me{"alpha", [](const socket_address&) { return false; }};
        select_hosts(doc, me, found);
    }
};

std::string dump_all(const document& doc) {
    std::string text = dump_header(doc, true);
    for (const auto& owner : doc.resources) {
        text += dump_resource(*owner, "alpha");
        dump_xml_resource(*owner);
        dump_resource_83(*owner, "alpha");
    }
    return text;
}

bool uses_stacking(const document& doc) {
    for (const auto& owner : doc.resources) {
        if (owner->stacked_on_one) {
            return true;
        }
    }
    return false;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (includes(text)) {
        return 0;
    }
    diagnostics shown;
    parse_show("fuzz", text, shown);

    reading first(text);
    if (!first.found.valid()) {
        return 0;
    }
    const std::string dumped = dump_all(first.doc);
    // A dump of a stacked resource leaves the disk to the resource below, as the original does.
    if (!uses_stacking(first.doc) && !reading(dumped).found.valid()) {
        std::abort();
    }
    expand_common(first.doc);
    for (const auto& owner : first.doc.resources) {
        validate(first.doc, *owner, true, first.found);
        translate_names(first.doc, *owner, "alpha", true, first.found);
    }
    dump_all(first.doc);
    return 0;
}
