#include <fmt/format.h>

#include "agent/config/dump.hpp"
#include "agent/config/escape.hpp"
#include "agent/config/writer.hpp"

namespace lockstep::config {

namespace {

void option_elements(writer& out, const option_list& list) {
    for (const option& row : list) {
        if (row.value) {
            out.line(fmt::format("<option name=\"{}\" value=\"{}\"/>", xml_text(row.name),
                                 row.verbatim ? *row.value : xml_text(*row.value)));
        } else {
            out.line(fmt::format("<option name=\"{}\"/>", xml_text(row.name)));
        }
    }
}

void section_element(writer& out, std::string_view name, const option_list& list,
                     const option_list& plugins = {}) {
    if (list.empty() && plugins.empty()) {
        return;
    }
    out.line(fmt::format("<section name=\"{}\">", name));
    out.enter();
    option_elements(out, list);
    section_element(out, "plugin", plugins);
    out.leave();
    out.line("</section>");
}

void section_elements(writer& out, const resource& owner) {
    section_element(out, "options", owner.resource_options);
    section_element(out, "net", owner.net_options);
    section_element(out, "disk", owner.disk_options);
    section_element(out, "startup", startup_options(owner));
    section_element(out, "proxy", owner.proxy_options, owner.proxy_plugins);
    section_element(out, "handlers", owner.handlers);
}

void volume_element(writer& out, const volume& row) {
    out.line(fmt::format("<volume vnr=\"{}\">", row.number));
    out.enter();
    section_element(out, "disk", row.disk_options);
    out.line(fmt::format("<device minor=\"{}\">{}</device>", row.minor.value_or(0),
                         xml_text(row.device.value_or(""))));
    out.line(fmt::format("<disk>{}</disk>", xml_text(row.disk.value_or(""))));
    if (row.meta_index == "flexible") {
        out.line(fmt::format("<meta-disk>{}</meta-disk>", xml_text(*row.meta_disk)));
    } else if (row.meta_index == "internal") {
        out.line("<meta-disk>internal</meta-disk>");
    } else if (row.meta_disk) {
        out.line(fmt::format("<meta-disk index=\"{}\">{}</meta-disk>", row.meta_index.value_or(""),
                             xml_text(*row.meta_disk)));
    }
    out.leave();
    out.line("</volume>");
}

std::string address_element(std::string_view name, const socket_address& address) {
    return fmt::format("<{} family=\"{}\" port=\"{}\">{}</{}>", name, address.family, address.port,
                       address.host, name);
}

void proxy_element(writer& out, const proxy_section& proxy) {
    out.line(fmt::format("<proxy hostname=\"{}\">",
                         xml_text(fmt::format("{}", fmt::join(proxy.on_hosts, " ")))));
    out.enter();
    if (proxy.inside) {
        out.line(address_element("inside", *proxy.inside));
    }
    if (proxy.outside) {
        out.line(address_element("outside", *proxy.outside));
    }
    section_element(out, "options", proxy.options, proxy.plugins);
    out.leave();
    out.line("</proxy>");
}

void host_element(writer& out, const host_section& host) {
    out.line(host.by_address ? std::string("<host floating=\"1\">")
                             : fmt::format("<host name=\"{}\">", xml_text(host.names_text())));
    out.enter();
    section_element(out, "options", host.resource_options);
    for (const volume& row : host.volumes) {
        volume_element(out, row);
    }
    if (host.address) {
        out.line(address_element("address", *host.address));
    }
    if (host.proxy) {
        proxy_element(out, *host.proxy);
    }
    out.leave();
    out.line("</host>");
}

void global_element(writer& out, const global_options& global) {
    if (global.minor_count == 0 && !global.disable_ip_verification &&
        global.dialog_refresh_s == default_globals.dialog_refresh_s) {
        return;
    }
    out.line("<global>");
    out.enter();
    if (global.disable_ip_verification) {
        out.line("<disable-ip-verification/>");
    }
    if (global.minor_count != 0) {
        out.line(fmt::format("<minor-count count=\"{}\"/>", global.minor_count));
    }
    if (global.dialog_refresh_s != default_globals.dialog_refresh_s) {
        out.line(fmt::format("<dialog-refresh refresh=\"{}\"/>", global.dialog_refresh_s));
    }
    out.leave();
    out.line("</global>");
}

} // namespace

std::string dump_xml_header(const document& doc) {
    writer out;
    out.line(fmt::format("<config file=\"{}\">", xml_text(doc.files.front()->path)));
    out.enter();
    global_element(out, doc.global);
    if (doc.common) {
        out.line("<common>");
        out.enter();
        section_elements(out, *doc.common);
        out.leave();
        out.line("</common>");
    }
    return out.take();
}

std::string dump_xml_resource(const resource& owner) {
    writer out(1);
    out.line(fmt::format("<resource name=\"{}\" conf-file-line=\"{}\">", xml_text(owner.name),
                         xml_text(owner.start.path_text())));
    out.enter();
    if (!owner.template_path.empty()) {
        out.line(fmt::format("<template file=\"{}\"/>", xml_text(owner.template_path)));
    }
    for (const auto& host : owner.hosts) {
        host_element(out, *host);
    }
    section_elements(out, owner);
    out.leave();
    out.line("</resource>");
    return out.take();
}

std::string dump_xml_footer() {
    return "</config>\n";
}

} // namespace lockstep::config
