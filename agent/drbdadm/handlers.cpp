#include "agent/drbdadm/handlers.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <unistd.h>

#include <fmt/format.h>

#include "agent/config/local_address.hpp"

namespace lockstep::drbdadm {

namespace {

// What the shell does itself, so that no file of that name need exist.
constexpr std::array<std::string_view, 24> shell_words{
    "if",  "for",  "while", "until", "case",  "{",    "!",      ":",
    ".",   "cd",   "echo",  "eval",  "exec",  "exit", "false",  "export",
    "set", "test", "true",  "trap",  "umask", "wait", "printf", "["};

int program_not_found() {
    return 127;
} // as the shell has it

// An exit code of fence-peer.
constexpr int disk_is_inconsistent_or_worse = 3;

bool is_assignment(std::string_view word) {
    const std::size_t equals = word.find('=');
    return equals != std::string_view::npos && equals > 0 &&
           std::all_of(
               word.begin(), word.begin() + static_cast<std::ptrdiff_t>(equals),
               [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; });
}

bool is_plain(std::string_view word) {
    return std::all_of(word.begin(), word.end(), [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '/' || c == '.' ||
               c == '_' || c == '-' || c == '+';
    });
}

// Where the shell finds it; empty: nowhere.
std::string find_program(const std::string& program) {
    if (program.find('/') != std::string::npos) {
        return ::access(program.c_str(), X_OK) == 0 ? program : std::string{};
    }
    const char* path = ::getenv("PATH");
    std::string_view rest = path == nullptr ? "/usr/sbin:/usr/bin:/sbin:/bin" : path;
    while (!rest.empty()) {
        const std::size_t end = std::min(rest.find(':'), rest.size());
        std::string file = fmt::format("{}/{}", rest.substr(0, end), program);
        if (end > 0 && ::access(file.c_str(), X_OK) == 0) {
            return file;
        }
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return {};
}

bool can_be_run(const std::string& program) {
    return !find_program(program).empty();
}

// Whether the command, or the program that it starts, knows why it is called: whoever reads a
// variable has its name somewhere.
bool knows_reasons(const std::string& command) {
    constexpr std::string_view variable = "DRBD_FENCE_REASON";
    if (command.find(variable) != std::string::npos) {
        return true;
    }
    const std::string program = find_program(handler_program(command));
    std::ifstream file(program, std::ios::binary);
    const std::string content{std::istreambuf_iterator<char>(file), {}};
    return content.find(variable) != std::string::npos;
}

// The engine ends what takes too long, and all that was started by it.
bool caller_limits_time() {
    const char* limit = ::getenv("LOCKSTEP_HANDLER_LIMIT");
    return limit != nullptr && std::string_view(limit) == "engine";
}

// Since 8.3.2 the engine says which peer it is about.
const config::host_section* peer_of(const config::resource& owner) {
    const char* address = ::getenv("DRBD_PEER_ADDRESS");
    const char* family = ::getenv("DRBD_PEER_AF");
    if (owner.peer != nullptr || address == nullptr || family == nullptr) {
        return owner.peer;
    }
    const config::socket_address wanted{family, address, {}};
    for (const auto& host : owner.hosts) {
        if (host->address && config::same_address(*host->address, wanted)) {
            return host.get();
        }
    }
    return nullptr;
}

void add_peer(std::vector<std::string>& out, const config::resource& owner) {
    const config::host_section* peer = peer_of(owner);
    if (peer == nullptr || !peer->address) {
        return;
    }
    out.push_back("DRBD_PEER_AF=" + peer->address->family);
    out.push_back("DRBD_PEER_ADDRESS=" + peer->address->host);
    out.push_back("DRBD_PEER=" + (peer->names.empty() ? std::string{} : peer->names.front()));
    out.push_back("DRBD_PEERS=" + peer->names_text());
}

// A bit for each node whose data is up to date, as DRBD 9 has it. The engine says who; it knows no
// node-ids.
void add_up_to_date_nodes(std::vector<std::string>& out, const std::string& own,
                          const std::string& peer) {
    const char* who = ::getenv("LOCKSTEP_UP_TO_DATE");
    if (who == nullptr) {
        return;
    }
    const auto bit = [](const std::string& id) {
        return std::uint64_t{1} << (std::strtoul(id.c_str(), nullptr, 10) & 63U);
    };
    const std::string_view named(who);
    std::uint64_t mask = 0;
    mask |= named.find("me") != std::string_view::npos ? bit(own) : 0;
    mask |= named.find("peer") != std::string_view::npos ? bit(peer) : 0;
    out.push_back(fmt::format("UP_TO_DATE_NODES={:#x}", mask));
}

void add_node_ids(std::vector<std::string>& out, const config::resource& owner) {
    for (const auto& host : owner.hosts) {
        if (host->node_id) {
            out.push_back(fmt::format("DRBD_NODE_ID_{}={}", *host->node_id, host->names_text()));
        }
    }
    if (owner.me->node_id) {
        out.push_back("DRBD_MY_NODE_ID=" + *owner.me->node_id);
    }
    const config::host_section* peer = peer_of(owner);
    if (peer != nullptr && peer->node_id && owner.me->node_id) {
        out.push_back("DRBD_PEER_NODE_ID=" + *peer->node_id);
        add_up_to_date_nodes(out, *owner.me->node_id, *peer->node_id);
    }
}

void add_volume(std::vector<std::string>& out, const subject& what) {
    if (what.row != nullptr) {
        out.push_back(fmt::format("DRBD_MINOR={}", what.row->minor.value_or(0)));
        out.push_back(fmt::format("DRBD_VOLUME={}", what.row->number));
        out.push_back("DRBD_LL_DISK=" + what.row->disk.value_or("none"));
        return;
    }
    if (::getenv("LOCKSTEP_RESOURCE") != nullptr) {
        return; // the engine has named a volume of its own, with its variables
    }
    std::vector<std::string> minors;
    minors.reserve(what.owner->me->volumes.size());
    for (const config::volume& row : what.owner->me->volumes) {
        minors.push_back(std::to_string(row.minor.value_or(0)));
    }
    out.push_back(fmt::format("DRBD_MINOR={}", fmt::join(minors, " ")));
}

} // namespace

std::vector<std::string> handler_environment(const session& run, const subject& what) {
    std::vector<std::string> out;
    add_peer(out, *what.owner);
    add_node_ids(out, *what.owner);
    add_volume(out, what);
    out.push_back("DRBD_RESOURCE=" + what.owner->name);
    out.push_back("DRBD_CONF=" + run.config_path);
    return out;
}

std::string handler_program(const std::string& command) {
    std::string_view rest = command;
    while (true) {
        rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
        std::string_view word = rest.substr(0, rest.find_first_of(" \t"));
        if (is_assignment(word)) {
            rest.remove_prefix(word.size());
            continue;
        }
        word = word.substr(0, word.find_first_of(";&|<>"));
        const bool known =
            std::find(shell_words.begin(), shell_words.end(), word) != shell_words.end();
        return known || !is_plain(word) ? std::string{} : std::string(word);
    }
}

std::vector<std::string> missing_handler_programs(const config::resource& owner) {
    std::vector<std::string> out;
    for (const config::option& row : owner.handlers) {
        const std::string program = handler_program(row.value.value_or(""));
        if (!program.empty() && !can_be_run(program)) {
            out.push_back(fmt::format("{}: in resource {}: the program of handler {}, '{}', does "
                                      "not exist or cannot be executed",
                                      row.at.text(), owner.name, row.name, program));
        }
    }
    return out;
}

int run_handler(const session& run, const subject& what, const std::string& verb) {
    const bool about_disk = verb == "fence-disk";
    const std::string name = about_disk ? "fence-peer" : verb;
    const config::option* row = config::find_option(what.owner->handlers, name);
    // One that knows no reasons would take the peer for the culprit. Without it the engine goes on
    // as DRBD does: the disk in question is known to be gone.
    if (about_disk && (row == nullptr || !knows_reasons(*row->value))) {
        return disk_is_inconsistent_or_worse;
    }
    if (row == nullptr) {
        return 0;
    }
    const std::string program = handler_program(*row->value);
    if (!program.empty() && !run.dry() && !can_be_run(program)) {
        fmt::print(stderr,
                   "{}: handler {} of resource {} can not be run: '{}' does not exist or is not "
                   "executable\nInstall it, or correct handlers {{ {} }}.\n",
                   row->at.text(), name, what.owner->name, program, name);
        return program_not_found();
    }
    run_request call;
    call.words = {"/bin/sh", "-c", *row->value};
    call.patience = caller_limits_time() ? patience::forever : patience::extended;
    call.resource = what.owner->name;
    call.own_group = !caller_limits_time();
    call.environment = handler_environment(run, what);
    return run.runner.run(call).code;
}

} // namespace lockstep::drbdadm
