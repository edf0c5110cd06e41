// The command lines of drbd-proxy-ctl. Source: drbd-utils 8.4, drbdadm -d proxy-up.
#include <fmt/format.h>

#include "agent/drbdadm/backend.hpp"

namespace lockstep::drbdadm {

namespace {

std::string connection_name(const config::resource& owner) {
    return fmt::format("{}-{}-{}", owner.name, fmt::join(owner.peer->proxy->on_hosts, "_"),
                       fmt::join(owner.me->proxy->on_hosts, "_"));
}

std::string endpoint(const std::optional<config::socket_address>& address) {
    return address ? fmt::format("{}:{}", address->host, address->port) : "N/A";
}

} // namespace

command_words backend::proxy_connection(const config::resource& owner) const {
    return {names_.drbd_proxy_ctl, "-c",
            fmt::format("add connection {} {} {} {} {}", connection_name(owner),
                        endpoint(owner.me->proxy->inside), endpoint(owner.peer->proxy->outside),
                        endpoint(owner.me->proxy->outside), endpoint(owner.me->address))};
}

command_words backend::proxy_settings(const config::resource& owner) const {
    const std::string name = connection_name(owner);
    command_words words{names_.drbd_proxy_ctl};
    const auto add = [&](std::string what) {
        words.emplace_back("-c");
        words.push_back(std::move(what));
    };
    for (const config::option& row : owner.me->proxy->options) {
        add(fmt::format("set {} {} {}", row.name, name, row.value.value_or("")));
    }
    std::size_t number = 0;
    for (const config::option& row : owner.me->proxy->plugins) {
        add(fmt::format("set plugin {} {} {}", name, number++, row.name));
    }
    if (number > 0) {
        add(fmt::format("set plugin {} {} END", name, number));
    }
    return words.size() == 1 ? command_words{} : words;
}

command_words backend::proxy_removal(const config::resource& owner) const {
    return {names_.drbd_proxy_ctl, "-c", fmt::format("del connection {}", connection_name(owner))};
}

} // namespace lockstep::drbdadm
