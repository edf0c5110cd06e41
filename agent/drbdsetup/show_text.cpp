#include "agent/drbdsetup/show_text.hpp"

#include <fmt/format.h>

#include "agent/drbdsetup/address.hpp"
#include "kernel/options/table.hpp"

namespace lockstep::drbdsetup {

namespace {

class shown {
public:
    explicit shown(bool with_defaults) : with_defaults_(with_defaults) {}

    void line(std::string_view text) {
        text_.append(depth_ * 4, ' ');
        text_ += text;
        text_ += '\n';
    }
    void open(std::string_view head) {
        line(fmt::format("{} {{", head));
        ++depth_;
    }
    void close() {
        --depth_;
        line("}");
    }
    void separate() { text_ += '\n'; }

    // The section is printed even if it has nothing to show, as the original does.
    void section(std::string_view head, const std::vector<options::setting>& entries) {
        open(head);
        for (const options::setting& entry : entries) {
            if (with_defaults_ || !entry.is_default) {
                line(options::show_line(entry));
            }
        }
        close();
    }

    const std::string& text() const { return text_; }

private:
    bool with_defaults_;
    std::string text_;
    std::size_t depth_ = 0;
};

std::string meta_disk(const control::volume_snapshot& from) {
    if (from.meta_index == "internal") {
        return "internal";
    }
    const std::string device = options::quoted(from.meta_device);
    return from.meta_index == "flexible" ? device
                                         : fmt::format("{} [ {} ]", device, from.meta_index);
}

void show_volume(shown& out, const control::volume_snapshot& from) {
    out.open(fmt::format("volume {}", from.volume));
    out.line(fmt::format("device\t\t\tminor {};", from.minor));
    if (!from.backing_device.empty()) {
        out.line(fmt::format("disk\t\t\t{};", options::quoted(from.backing_device)));
        out.line(fmt::format("meta-disk\t\t\t{};", meta_disk(from)));
        out.section("disk", options::settings(from.disk));
    }
    out.close();
}

void show_resource(shown& out, const control::snapshot& from,
                   std::optional<std::uint32_t> only_minor) {
    out.open(fmt::format("resource {}", from.resource));
    out.section("options", options::settings(from.options));
    if (from.has_net) {
        out.section("net", options::settings(from.net));
        out.open("_remote_host");
        out.line(fmt::format("address\t\t\t{};", shown_address(from.peer_address)));
        out.close();
    }
    out.open("_this_host");
    if (from.has_net) {
        out.line(fmt::format("address\t\t\t{};", shown_address(from.local_address)));
    }
    for (const control::volume_snapshot& volume : from.volumes) {
        if (!only_minor || volume.minor == *only_minor) {
            show_volume(out, volume);
        }
    }
    out.close();
    out.close();
}

} // namespace

std::string show_text(const std::vector<control::snapshot>& resources, bool with_defaults,
                      std::optional<std::uint32_t> only_minor) {
    shown out(with_defaults);
    bool first = true;
    for (const control::snapshot& each : resources) {
        if (!first) {
            out.separate();
        }
        first = false;
        show_resource(out, each, only_minor);
    }
    return out.text();
}

} // namespace lockstep::drbdsetup
