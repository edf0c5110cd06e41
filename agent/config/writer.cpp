#include "agent/config/writer.hpp"

#include <fmt/format.h>

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
