#include "daemon/resource_table.hpp"

#include <optional>

#include "agent/config/local_address.hpp"
#include "agent/config/reader.hpp"
#include "agent/config/resolve.hpp"

namespace lockstep::daemon {

namespace {

bool says(const config::option_list& list, std::string_view option, std::string_view value) {
    const config::option* const found = config::find_last_option(list, option);
    return found != nullptr && found->value == value;
}

// Protocol C is what the engine takes where nothing is said.
bool protects(const config::resource& its) {
    const bool loses =
        says(its.net_options, "protocol", "A") || says(its.net_options, "protocol", "B");
    return !loses && says(its.disk_options, "fencing", "resource-and-stonith");
}

} // namespace

result<std::vector<configured_resource>> read_resources(const std::string& file,
                                                        const std::string& node_name) {
    config::document read;
    config::diagnostics found;
    config::reader reader(read, found);
    if (auto done = reader.read_file(file); !done) {
        return tl::unexpected(done.error());
    }
    config::select_hosts(read, {node_name, config::have_local_address}, found);
    config::expand_common(read);
    std::vector<configured_resource> all;
    for (const auto& each : read.resources) {
        if (each->ignored || each->me == nullptr) {
            continue;
        }
        config::select_peer(*each, std::nullopt, false, found);
        const auto* const peer = each->peer;
        all.push_back({each->name, peer != nullptr ? peer->names : std::vector<std::string>{},
                       protects(*each), says(each->net_options, "allow-two-primaries", "yes")});
    }
    if (!found.valid()) {
        return fail(found.text(), file, "drbdadm dump shows what is read");
    }
    return all;
}

} // namespace lockstep::daemon
