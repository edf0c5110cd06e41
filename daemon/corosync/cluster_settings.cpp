#include "daemon/corosync/cluster_settings.hpp"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <set>

#include <corosync/cmap.h>
#include <fmt/format.h>

#include "daemon/corosync/outcome.hpp"

namespace lockstep::corosync {

namespace {

// corosync's map of keys, open.
class open_map {
public:
    open_map() : outcome_(cmap_initialize(&handle_)) {}
    ~open_map() {
        if (outcome_ == CS_OK) {
            cmap_finalize(handle_);
        }
    }
    open_map(const open_map&) = delete;
    open_map& operator=(const open_map&) = delete;

    int outcome() const { return outcome_; }

    // None: there is no such key. What else goes wrong is kept for failure().
    std::optional<std::string> text(const std::string& key) {
        char* found = nullptr;
        const int code = cmap_get_string(handle_, key.c_str(), &found);
        if (code != CS_OK) {
            note(key, code);
            return std::nullopt;
        }
        const std::unique_ptr<char, decltype(&std::free)> owned(found, std::free);
        return std::string(found);
    }
    std::optional<std::uint32_t> number(const std::string& key) {
        std::uint32_t found = 0;
        const int code = cmap_get_uint32(handle_, key.c_str(), &found);
        if (code != CS_OK) {
            note(key, code);
            return std::nullopt;
        }
        return found;
    }
    // Corosync keeps these as bytes.
    bool flag(const std::string& key) {
        std::uint8_t found = 0;
        const int code = cmap_get_uint8(handle_, key.c_str(), &found);
        note(key, code);
        return code == CS_OK && found != 0;
    }

    // The places of the nodes that are listed, in order.
    std::set<std::uint32_t> places() {
        std::set<std::uint32_t> out;
        cmap_iter_handle_t iteration = 0;
        const int code = cmap_iter_init(handle_, node_prefix, &iteration);
        if (code != CS_OK) {
            note(node_prefix, code);
            return out;
        }
        char key[CMAP_KEYNAME_MAXLEN + 1];
        while (cmap_iter_next(handle_, iteration, key, nullptr, nullptr) == CS_OK) {
            out.insert(
                static_cast<std::uint32_t>(std::strtoul(key + node_prefix_size, nullptr, 10)));
        }
        cmap_iter_finalize(handle_, iteration);
        return out;
    }

    const std::string& failure() const { return failure_; }

private:
    static constexpr char node_prefix[] = "nodelist.node.";
    static constexpr std::size_t node_prefix_size = sizeof node_prefix - 1;

    void note(const std::string& key, int code) {
        if (code != CS_OK && code != CS_ERR_NOT_EXIST && failure_.empty()) {
            failure_ = fmt::format("{}: {}", key, outcome_text(code));
        }
    }

    cmap_handle_t handle_ = 0;
    int outcome_;
    std::string failure_;
};

constexpr const char* file = "/etc/corosync/corosync.conf";

cluster_node read_node(open_map& map, std::uint32_t place) {
    const std::string key = fmt::format("nodelist.node.{}.", place);
    cluster_node out;
    out.id = map.number(key + "nodeid").value_or(0);
    out.name = map.text(key + "name").value_or("");
    out.address = map.text(key + "ring0_addr").value_or("");
    out.votes = map.number(key + "quorum_votes").value_or(1);
    return out;
}

quorum_options read_quorum(open_map& map) {
    quorum_options out;
    out.provider = map.text("quorum.provider").value_or("");
    out.two_node = map.flag("quorum.two_node");
    out.wait_for_all = map.flag("quorum.wait_for_all");
    out.last_man_standing = map.flag("quorum.last_man_standing");
    out.auto_tie_breaker = map.flag("quorum.auto_tie_breaker");
    out.allow_downscale = map.flag("quorum.allow_downscale");
    out.device = map.text("quorum.device.model").value_or("");
    return out;
}

result<> check(const cluster_settings& settings, bool has_place) {
    if (settings.nodes.empty()) {
        return fail("corosync has no list of nodes", file,
                    "write a nodelist with the nodeid and ring0_addr of each node");
    }
    if (!has_place) {
        return fail("this node is not in corosync's list of nodes", file,
                    "give it a node section whose ring0_addr is an address of this node");
    }
    for (const auto& each : settings.nodes) {
        if (each.id == 0) {
            return fail(fmt::format("the node {} has no nodeid",
                                    each.name.empty() ? each.address : each.name),
                        file, "give each node of the nodelist a nodeid, and restart corosync");
        }
    }
    return {};
}

} // namespace

const cluster_node* cluster_settings::find(arbiter::node_id id) const {
    const auto found = std::find_if(nodes.begin(), nodes.end(),
                                    [id](const cluster_node& each) { return each.id == id; });
    return found == nodes.end() ? nullptr : &*found;
}

result<cluster_settings> read_cluster_settings() {
    open_map map;
    if (map.outcome() != CS_OK) {
        return fail("can't read corosync's settings: " + outcome_text(map.outcome()), "libcmap",
                    "start corosync on this node, or wait until it has started");
    }
    cluster_settings out;
    out.name = map.text("totem.cluster_name").value_or("");
    const auto own = map.number("nodelist.local_node_pos");
    for (const auto place : map.places()) {
        out.nodes.push_back(read_node(map, place));
        if (own == place) {
            out.self = out.nodes.back().id;
        }
    }
    auto token = map.number("runtime.config.totem.token");
    if (!token) {
        token = map.number("totem.token");
    }
    out.token = std::chrono::milliseconds(token.value_or(0));
    out.quorum = read_quorum(map);
    if (!map.failure().empty()) {
        return fail("can't read corosync's settings", map.failure(),
                    "see what corosync-cmapctl says on this node");
    }
    if (auto good = check(out, own.has_value()); !good) {
        return tl::unexpected(good.error());
    }
    return out;
}

} // namespace lockstep::corosync
