#include "daemon/status.hpp"

#include <set>

#include <nlohmann/json.hpp>

#include "daemon/explain.hpp"

namespace lockstep::daemon {

namespace {

using json = nlohmann::json;

json resource_of(arbiter::arbiter& all, const std::string& name,
                 const std::map<std::string, arbiter::engine_facts>& engines) {
    json its = {{"name", name}};
    if (const auto* const record = all.book().committed_resource(name)) {
        its["record"] = {{"view", record->at.view},
                         {"counter", record->at.counter},
                         {"epoch", record->epoch},
                         {"primary", record->primary ? json(*record->primary) : json(nullptr)},
                         {"in-sync", record->in_sync}};
    }
    if (const auto found = engines.find(name); found != engines.end()) {
        const arbiter::engine_facts& engine = found->second;
        its["engine"] = {{"running", engine.running},
                         {"primary", engine.primary},
                         {"up-to-date", engine.up_to_date},
                         {"connected", engine.connected},
                         {"peer-up-to-date", engine.peer_up_to_date}};
    }
    if (const auto* const served = all.resource(name)) {
        its["waits-for"] = word(served->waits_for());
        its["explanation"] = sentence(served->waits_for());
    }
    return its;
}

} // namespace

std::string status_text(arbiter::arbiter& all, const corosync::cluster_settings& cluster,
                        const std::optional<corosync::membership_view>& membership,
                        const std::map<std::string, arbiter::engine_facts>& engines) {
    json text = {{"node", cluster.self},
                 {"members", all.book().members()},
                 {"majority", all.book().open()},
                 {"view", all.book().view()},
                 {"votes", all.book().state().votes}};
    if (membership) {
        text["corosync"] = {{"quorate", membership->quorate}, {"nodes", membership->nodes}};
    }
    if (const auto* const record = all.book().committed_cluster()) {
        text["nodes"] = json::array();
        for (const auto& [node, votes] : record->nodes) {
            const auto* const known = cluster.find(node);
            text["nodes"].push_back({{"id", node},
                                     {"name", known != nullptr ? known->name : std::string()},
                                     {"votes", votes},
                                     {"here", all.book().members().contains(node)}});
        }
    }
    std::set<std::string> names;
    for (const auto& [name, record] : all.book().state().resources) {
        if (!record.removed) {
            names.insert(name);
        }
    }
    for (const auto& [name, engine] : engines) {
        names.insert(name);
    }
    text["resources"] = json::array();
    for (const std::string& name : names) {
        text["resources"].push_back(resource_of(all, name, engines));
    }
    return text.dump(-1, ' ', false, json::error_handler_t::replace);
}

} // namespace lockstep::daemon
