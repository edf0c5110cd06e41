#include "kernel/engine_settings.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <functional>
#include <sstream>
#include <utility>

#include "kernel/control/binding/option_changes.hpp"

namespace lockstep::engine {

namespace {

constexpr int invalid_request = 162;

auto refuse(const std::string& what, const std::string& remedy = {}) {
    return fail(what, "lockstep-engine", remedy, invalid_request);
}

struct option {
    const char* name;
    const char* argument; // null: a flag
    const char* text;
    std::function<bool(settings&, const std::string&)> set;
};

bool set_number(std::uint32_t& to, const std::string& text, std::uint32_t least,
                std::uint32_t most) {
    const char* const end = text.data() + text.size();
    std::uint32_t value = 0;
    const auto [stop, problem] = std::from_chars(text.data(), end, value);
    if (problem != std::errc() || stop != end || value < least || value > most) {
        return false;
    }
    to = value;
    return true;
}

bool set_path(std::string& to, const std::string& text) {
    to = text;
    return !text.empty() && text[0] == '/';
}

const std::vector<option>& table() {
    static const std::vector<option> options = {
        {"helper", "PATH", "program that runs handlers (drbdadm); \"disabled\" runs none",
         [](settings& to, const std::string& text) {
             to.helper = text;
             return text == "disabled" || set_path(to.helper, text);
         }},
        {"helper-limit", "SECONDS", "a handler that takes longer is killed; 0: no limit (300)",
         [](settings& to, const std::string& text) {
             return set_number(to.helper_limit_s, text, 0, 86'400);
         }},
        {"log", "FILE", "log file instead of syslog",
         [](settings& to, const std::string& text) {
             to.log = text;
             return text == "syslog" || set_path(to.log, text);
         }},
        {"log-level", "LEVEL", "error, warning, notice, info (the default) or debug",
         [](settings& to, const std::string& text) {
             to.log_level = text;
             return text == "error" || text == "warning" || text == "notice" || text == "info" ||
                    text == "debug";
         }},
        {"device-directory", "PATH", "where drbdN and drbd/by-res are made (/dev)",
         [](settings& to, const std::string& text) { return set_path(to.device_directory, text); }},
        {"no-device-nodes", nullptr, "volumes can be reached by NBD only",
         [](settings& to, const std::string&) {
             to.device_nodes = false;
             return true;
         }},
        {"nbd-listen", "ADDRESS:PORT", "NBD over TCP besides the unix socket; for trusted networks",
         [](settings& to, const std::string& text) {
             to.nbd_listen = text;
             return !text.empty();
         }},
        {"files", nullptr, "regular files may be backing devices (for tests)",
         [](settings& to, const std::string&) {
             to.files_as_disks = true;
             return true;
         }},
        {"restart", nullptr, "after a crash of the engine run \"drbdadm up RESOURCE\"",
         [](settings& to, const std::string&) {
             to.restart = true;
             return true;
         }},
        {"peer-buffers", "MIB", "memory for data from the peer and resync (6)",
         [](settings& to, const std::string& text) {
             return set_number(to.peer_buffers_mib, text, 4, 1024);
         }},
        {"client-buffers", "MIB", "memory for data of local clients (6)",
         [](settings& to, const std::string& text) {
             return set_number(to.client_buffers_mib, text, 4, 1024);
         }},
        {"busy-wait", "MICROSECONDS", "look so long for what comes next before sleeping (0)",
         [](settings& to, const std::string& text) {
             return set_number(to.busy_wait_us, text, 0, 100'000);
         }},
        {"cpu-latency", "MICROSECONDS",
         "what idle processors may take to wake up while there is much to do; \"off\": whatever "
         "they take; \"auto\" (the default): 0 in a virtual machine, else \"off\"",
         [](settings& to, const std::string& text) {
             return host::set_cpu_latency(to.cpu_latency, text);
         }},
        {"enable-faults", "MASK",
         "disk errors on purpose: 1 metadata write, 2 read, 4 resync write, 8 read, 16 data write, "
         "32 read; the sum of those wanted",
         [](settings& to, const std::string& text) {
             return set_number(to.faults.kinds, text, 0, host::fault_settings::kinds_all);
         }},
        {"fault-rate", "PERCENT", "of such requests fail (0)",
         [](settings& to, const std::string& text) {
             return set_number(to.faults.rate, text, 0, 100);
         }},
        {"fault-devs", "MASK", "1 for minor 0, 2 for minor 1, 4 for minor 2, ...; 0: all (0)",
         [](settings& to, const std::string& text) {
             return set_number(to.faults.minors, text, 0, ~std::uint32_t{0});
         }},
    };
    return options;
}

// Our own drbdadm if this is an installed engine, else the system's.
std::string default_helper() {
    std::array<char, 4096> path = {};
    const ssize_t size = ::readlink("/proc/self/exe", path.data(), path.size() - 1);
    std::string text(path.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
    for (int levels = 0; levels < 3 && !text.empty(); ++levels) { // PREFIX/lib/lockstep/PROGRAM
        text.erase(text.rfind('/'));
    }
    for (const std::string& place : {text + "/sbin/drbdadm", std::string("/usr/sbin/drbdadm")}) {
        if (::access(place.c_str(), X_OK) == 0) {
            return place;
        }
    }
    return "/sbin/drbdadm";
}

std::vector<std::string> words_of_environment() {
    std::vector<std::string> words;
    const char* const given = std::getenv("LOCKSTEP_ENGINE_OPTIONS");
    std::istringstream from(given == nullptr ? "" : given);
    for (std::string word; from >> word;) {
        words.push_back(word);
    }
    return words;
}

result<> apply(settings& to, const std::string& word,
               std::vector<control::option_setting>& others) {
    const std::size_t equals = word.find('=');
    const std::string name = word.substr(2, equals == std::string::npos ? equals : equals - 2);
    const bool has_value = equals != std::string::npos;
    const std::string value = has_value ? word.substr(equals + 1) : "";
    for (const option& one : table()) {
        if (name != one.name) {
            continue;
        }
        if (has_value != (one.argument != nullptr) || !one.set(to, value)) {
            return refuse("\"" + word + "\" is not valid: " + one.text,
                          std::string("write --") + name +
                              (one.argument != nullptr ? std::string("=") + one.argument : ""));
        }
        return {};
    }
    others.push_back({name, value});
    return {};
}

} // namespace

result<settings> parse_settings(const std::vector<std::string>& words) {
    settings made;
    std::vector<control::option_setting> others;
    std::vector<std::string> all = words_of_environment();
    all.insert(all.end(), words.begin(), words.end());
    for (const std::string& word : all) {
        if (word.rfind("--", 0) == 0) {
            if (auto applied = apply(made, word, others); !applied) {
                return tl::unexpected(applied.error());
            }
        } else if (made.resource.empty()) {
            made.resource = word;
        } else {
            return refuse("\"" + word + "\" is one argument too many");
        }
    }
    auto options = control::options_from<options::resource_options>(others);
    if (!options) {
        return tl::unexpected(options.error());
    }
    made.options = *options;
    if (made.helper.empty()) {
        made.helper = default_helper();
    }
    return made;
}

std::string usage() {
    std::string text = "usage: lockstep-engine RESOURCE [--OPTION=VALUE ...]\n"
                       "Started by drbdsetup new-resource. $LOCKSTEP_ENGINE_OPTIONS may hold\n"
                       "options as well; $LOCKSTEP_RUNTIME_DIRECTORY is where its sockets are.\n"
                       "Besides the options of drbdsetup resource-options:\n";
    for (const option& one : table()) {
        std::string name = std::string("  --") + one.name;
        name += one.argument != nullptr ? std::string("=") + one.argument : "";
        name.resize(std::max<std::size_t>(name.size() + 1, 28), ' ');
        text += name + one.text + "\n";
    }
    return text;
}

} // namespace lockstep::engine
