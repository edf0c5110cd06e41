#include "agent/config/dump.hpp"

#include <fmt/format.h>

#include "agent/config/escape.hpp"
#include "agent/config/writer.hpp"

namespace lockstep::config {

namespace {

void proxy_section_lines(writer& out, std::string_view name, const option_list& list,
                         const option_list& plugins) {
    if (!list.empty() || !plugins.empty()) {
        out.open(name);
        option_lines(out, list);
        options_section(out, "plugin", plugins);
        out.close();
    }
}

void sections(writer& out, const resource& owner) {
    options_section(out, "options", owner.resource_options);
    options_section(out, "net", owner.net_options);
    options_section(out, "disk", owner.disk_options);
    options_section(out, "startup", startup_options(owner));
    proxy_section_lines(out, "proxy", owner.proxy_options, owner.proxy_plugins);
    options_section(out, "handlers", owner.handlers);
}

void metadata(writer& out, const volume& row) {
    if (!row.meta_disk) {
        return; // a diskless node has none
    }
    if (row.meta_index == "internal") {
        out.pair("meta-disk", "internal");
    } else if (row.meta_index == "flexible") {
        out.wide_pair("meta-disk", config_word(*row.meta_disk));
    } else {
        out.wide_pair("meta-disk", fmt::format("{} [{}]", config_word(*row.meta_disk),
                                               row.meta_index.value_or("")));
    }
}

void volume_section(writer& out, const volume& row, bool has_lower) {
    if (!row.implicit) {
        out.open(fmt::format("volume {}", row.number));
    }
    options_section(out, "disk", row.disk_options);
    const std::string device = row.device ? config_word(*row.device) + " " : std::string{};
    const unsigned indent = out.depth() * 4;
    const unsigned gap = indent > 19 ? indent - 19 : 19 - indent;
    out.line(fmt::format("device{:{}}{}minor {};", "", gap, device, row.minor.value_or(0)));
    if (!has_lower) {
        out.pair("disk", config_word(row.disk.value_or("")));
        metadata(out, row);
    }
    if (!row.implicit) {
        out.close();
    }
}

void proxy_of_host(writer& out, const proxy_section& proxy) {
    out.open(fmt::format("proxy on {}", fmt::join(proxy.on_hosts, " ")));
    if (proxy.inside) {
        out.wide_pair("inside", address_text(*proxy.inside));
    }
    if (proxy.outside) {
        out.wide_pair("outside", address_text(*proxy.outside));
    }
    proxy_section_lines(out, "options", proxy.options, proxy.plugins);
    out.close();
}

void open_host(writer& out, const host_section& host) {
    if (host.lower != nullptr) {
        out.open(fmt::format("stacked-on-top-of {}", config_word(host.lower->name)));
        out.line(fmt::format("# on {} ", host.names_text()));
    } else if (host.by_address) {
        out.open(fmt::format("floating {}", address_text(*host.address)));
    } else {
        out.open(fmt::format("on {}", host.names_text()));
    }
}

void host(writer& out, const host_section& row) {
    open_host(out, row);
    options_section(out, "options", row.resource_options);
    for (const volume& one : row.volumes) {
        volume_section(out, one, row.lower != nullptr);
    }
    if (!row.by_address && row.address) {
        out.wide_pair("address", address_text(*row.address));
    }
    if (row.alternate_address) {
        out.wide_pair("alternate-link-address", address_text(*row.alternate_address));
    }
    if (row.node_id) {
        out.line(fmt::format("node-id {};", *row.node_id));
    }
    if (row.proxy) {
        proxy_of_host(out, *row.proxy);
    }
    out.close();
}

std::string_view usage_text(usage_count value) {
    switch (value) {
    case usage_count::yes:
        return "yes";
    case usage_count::no:
        return "no";
    case usage_count::ask:
        break;
    }
    return "ask";
}

void global_section(writer& out, const global_options& global, bool always) {
    const global_options& plain = default_globals;
    if (global.minor_count == plain.minor_count &&
        global.disable_ip_verification == plain.disable_ip_verification &&
        global.dialog_refresh_s == plain.dialog_refresh_s &&
        global.usage_count == plain.usage_count &&
        global.udev_always_use_vnr == plain.udev_always_use_vnr &&
        global.cmd_timeout_short_s == plain.cmd_timeout_short_s &&
        global.cmd_timeout_medium_s == plain.cmd_timeout_medium_s &&
        global.cmd_timeout_long_s == plain.cmd_timeout_long_s && !always) {
        return;
    }
    out.open("global");
    const auto number = [&](std::string_view name, unsigned value, unsigned preset) {
        if (value != preset) {
            out.line(fmt::format("{} {};", name, value));
        }
    };
    if (global.disable_ip_verification) {
        out.line("disable-ip-verification;");
    }
    if (global.udev_always_use_vnr) {
        out.line("udev-always-use-vnr;");
    }
    number("minor-count", global.minor_count, plain.minor_count);
    number("dialog-refresh", global.dialog_refresh_s, plain.dialog_refresh_s);
    if (global.usage_count != plain.usage_count) {
        out.line(fmt::format("usage-count {};", usage_text(global.usage_count)));
    }
    number("cmd-timeout-short", global.cmd_timeout_short_s, plain.cmd_timeout_short_s);
    number("cmd-timeout-medium", global.cmd_timeout_medium_s, plain.cmd_timeout_medium_s);
    number("cmd-timeout-long", global.cmd_timeout_long_s, plain.cmd_timeout_long_s);
    out.close();
    out.blank();
}

} // namespace

std::string dump_header(const document& doc, bool always_global) {
    writer out;
    out.line(fmt::format("# {}", doc.files.front()->path));
    global_section(out, doc.global, always_global);
    if (doc.common) {
        out.open("common");
        sections(out, *doc.common);
        out.close();
        out.blank();
    }
    return out.take();
}

std::string dump_resource(const resource& owner, const std::string& node_name) {
    writer out;
    out.line(resource_comment(owner, node_name));
    out.line(fmt::format("# defined at {}", owner.start.path_text()));
    out.open(fmt::format("resource {}", config_word(owner.name)));
    if (!owner.template_path.empty()) {
        out.line(fmt::format("template-file {};", config_word(owner.template_path)));
    }
    for (const auto& row : owner.hosts) {
        host(out, *row);
    }
    sections(out, owner);
    out.close();
    out.blank();
    return out.take();
}

} // namespace lockstep::config
