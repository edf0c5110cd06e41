#include "agent/drbdmeta/last_known.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include "agent/drbdmeta/console.hpp"

namespace lockstep::drbdmeta {

namespace {

constexpr const char* state_directory = "/var/lib/drbd";

tl::unexpected<error> trouble(const char* action, const std::string& path) {
    return stop(1, fmt::format("{} ({}) failed: {}\n", action, path, std::strerror(errno)));
}

} // namespace

std::string last_known_path(unsigned minor) {
    return fmt::format("{}/drbd-minor-{}.lkbd", state_directory, minor);
}

std::string last_known_text(const last_known& value) {
    std::string text = fmt::format("{}\t{}\n", value.size, value.name);
    if (value.device_uuid != 0) {
        text += fmt::format("uuid:\t{:016X}\n", value.device_uuid);
    }
    return text;
}

std::optional<last_known> parse_last_known(const std::string& text) {
    std::istringstream in(text);
    last_known value;
    if (!(in >> value.size)) {
        return {};
    }
    in >> value.name;
    std::string key;
    std::string digits;
    if (in >> key >> digits && key == "uuid:") {
        value.device_uuid = std::strtoull(digits.c_str(), nullptr, 16);
    }
    return value;
}

result<std::optional<last_known>> load_last_known(unsigned minor) {
    const std::string path = last_known_path(minor);
    std::ifstream in(path);
    if (!in) {
        if (errno == ENOENT) {
            return std::optional<last_known>();
        }
        return trouble("reading the last known device", path);
    }
    std::stringstream text;
    text << in.rdbuf();
    auto value = parse_last_known(text.str());
    if (!value) {
        return stop(1, fmt::format("lk_bdev_load({}): parse error\n", path));
    }
    return value;
}

result<> save_last_known(unsigned minor, const last_known& value) {
    const std::string path = last_known_path(minor);
    ::mkdir(state_directory, 0700);
    // Beside it first: neither a full disk nor a crash takes what is known.
    const std::string fresh = path + ".new";
    std::FILE* file = std::fopen(fresh.c_str(), "we");
    if (file == nullptr) {
        return trouble("writing the last known device", path);
    }
    const std::string text = last_known_text(value);
    bool good = std::fwrite(text.data(), 1, text.size(), file) == text.size();
    good = std::fflush(file) == 0 && good;
    good = ::fsync(fileno(file)) == 0 && good;
    good = std::fclose(file) == 0 && good;
    good = good && ::rename(fresh.c_str(), path.c_str()) == 0;
    if (!good) {
        const auto failed = trouble("writing the last known device", path);
        ::unlink(fresh.c_str());
        return failed;
    }
    return {};
}

result<> delete_last_known(unsigned minor) {
    const std::string path = last_known_path(minor);
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
        return trouble("deleting the last known device", path);
    }
    return {};
}

} // namespace lockstep::drbdmeta
