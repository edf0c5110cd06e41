#include "kernel/device/loop_label.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <vector>

namespace lockstep::device {

namespace {

constexpr const char* prefix = "lockstep";

std::string pid_namespace() {
    struct stat found = {};
    return ::stat("/proc/self/ns/pid", &found) == 0 ? std::to_string(found.st_ino) : "0";
}

// Field 22 of /proc/PID/stat, counted behind the parenthesised name, which may hold anything
// (proc(5)). Empty if there is no such process.
std::string start_time(const std::string& pid) {
    std::ifstream file{"/proc/" + pid + "/stat"};
    std::string line;
    std::getline(file, line);
    const std::size_t name_end = line.rfind(')');
    if (name_end == std::string::npos) {
        return {};
    }
    std::istringstream fields{line.substr(name_end + 1)};
    std::string field;
    for (int i = 3; i <= 22; ++i) {
        fields >> field;
    }
    return field;
}

std::vector<std::string> split(const std::string& text) {
    std::vector<std::string> parts;
    std::istringstream stream{text};
    for (std::string part; std::getline(stream, part, ':');) {
        parts.push_back(part);
    }
    return parts;
}

} // namespace

std::string make_loop_label(std::uint32_t minor) {
    static unsigned count = 0;
    const std::string pid = std::to_string(::getpid());
    return std::string(prefix) + ":drbd" + std::to_string(minor) + ':' + pid_namespace() + ':' +
           pid + ':' + start_time(pid) + ':' + std::to_string(++count);
}

bool is_loop_label(const std::string& label) {
    const std::vector<std::string> parts = split(label);
    return parts.size() == 6 && parts[0] == prefix;
}

bool is_label_of_the_dead(const std::string& label) {
    const std::vector<std::string> parts = split(label);
    return is_loop_label(label) && parts[2] == pid_namespace() && start_time(parts[3]) != parts[4];
}

} // namespace lockstep::device
