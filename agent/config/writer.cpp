#include "agent/config/writer.hpp"

#include <fmt/format.h>

#include "agent/config/escape.hpp"

namespace lockstep::config {

namespace {

constexpr unsigned indent_width = 4;
constexpr unsigned value_column = 24;

} // namespace

void writer::line(std::string_view text) {
    text_ += fmt::format("{:{}}{}\n", "", depth_ * indent_width, text);
}

void writer::open(std::string_view head) {
    line(fmt::format("{} {{", head));
    ++depth_;
}

void writer::close() {
    --depth_;
    line("}");
}

void writer::pair(std::string_view name, std::string_view value) {
    const unsigned indent = depth_ * indent_width;
    const unsigned width = indent < value_column ? value_column - indent : 0;
    line(fmt::format("{:<{}} {:>3};", name, width, value));
}

void writer::wide_pair(std::string_view name, std::string_view value) {
    line(fmt::format("{:<16} {};", name, value));
}

std::string address_text(const socket_address& address) {
    return address.family == "ipv6"
               ? fmt::format("{} [{}]:{}", address.family, address.host, address.port)
               : fmt::format("{} {}:{}", address.family, address.host, address.port);
}

void option_lines(writer& out, const option_list& list) {
    for (const option& row : list) {
        if (!row.value) {
            out.line(row.name + ";");
        } else {
            out.pair(row.name, row.verbatim ? *row.value : config_word(*row.value));
        }
    }
}

void options_section(writer& out, std::string_view name, const option_list& list) {
    if (!list.empty()) {
        out.open(name);
        option_lines(out, list);
        out.close();
    }
}

std::string resource_comment(const resource& owner, const std::string& node_name) {
    return fmt::format("# resource {} on {}: {}, {}", config_word(owner.name), node_name,
                       owner.ignored ? "ignored" : "not ignored",
                       owner.stacked ? "stacked" : "not stacked");
}

option_list startup_options(const resource& owner) {
    option_list out = owner.startup_options;
    if (owner.stacked_timeouts) {
        option row;
        row.name = "stacked-timeouts";
        out.push_back(std::move(row));
    }
    if (!owner.become_primary_on.empty()) {
        option row;
        row.name = "become-primary-on";
        row.value = fmt::format("{}", fmt::join(owner.become_primary_on, " "));
        row.verbatim = true;
        out.push_back(std::move(row));
    }
    return out;
}

} // namespace lockstep::config
