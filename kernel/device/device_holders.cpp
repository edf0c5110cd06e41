// Who uses a block device: for the message that refuses a demotion.
#include <dirent.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cctype>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "kernel/device/loop_device.hpp"

namespace lockstep::device {

namespace {

constexpr int names_max = 4;

struct directory {
    explicit directory(const std::string& path) : handle(::opendir(path.c_str()), ::closedir) {}
    const dirent* next() const { return handle == nullptr ? nullptr : ::readdir(handle.get()); }
    std::unique_ptr<DIR, int (*)(DIR*)> handle;
};

void add(std::string& text, int& count, const std::string& more) {
    if (count < names_max) {
        text += text.empty() ? "" : ", ";
        text += more;
    } else if (count == names_max) {
        text += ", ...";
    }
    ++count;
}

// Lines of mountinfo: ID PARENT MAJOR:MINOR ROOT MOUNTPOINT ... (proc(5)).
void add_mounts(std::string& text, int& count, dev_t device) {
    const std::string wanted =
        std::to_string(::major(device)) + ':' + std::to_string(::minor(device));
    std::ifstream mounts{"/proc/self/mountinfo"};
    for (std::string line; std::getline(mounts, line);) {
        std::istringstream fields{line};
        std::string id;
        std::string parent;
        std::string numbers;
        std::string root;
        std::string place;
        if (fields >> id >> parent >> numbers >> root >> place && numbers == wanted) {
            add(text, count, "mounted on " + place);
        }
    }
}

bool has_open(const std::string& process, dev_t device) {
    const std::string fds = "/proc/" + process + "/fd/";
    const directory list{fds};
    while (const dirent* entry = list.next()) {
        // A name tells what is worth asking for: a file on a dead server would never answer.
        char name[256] = {};
        const std::string link = fds + entry->d_name;
        if (::readlink(link.c_str(), name, sizeof name - 1) <= 0 || name[0] != '/' ||
            (std::strncmp(name, "/dev/", 5) != 0 && std::strstr(name, "drbd") == nullptr)) {
            continue;
        }
        struct stat found = {};
        if (::stat(link.c_str(), &found) == 0 && S_ISBLK(found.st_mode) &&
            found.st_rdev == device) {
            return true;
        }
    }
    return false;
}

void add_processes(std::string& text, int& count, dev_t device) {
    const directory list{"/proc"};
    while (const dirent* entry = list.next()) {
        const std::string process = entry->d_name;
        if (std::isdigit(static_cast<unsigned char>(process[0])) == 0 ||
            !has_open(process, device)) {
            continue;
        }
        std::ifstream file{"/proc/" + process + "/comm"};
        std::string name;
        std::getline(file, name);
        name.append(" (pid ").append(process).append(")");
        add(text, count, name);
    }
}

} // namespace

std::string loop_holders(std::uint64_t device) {
    std::string text;
    int count = 0;
    add_mounts(text, count, device);
    add_processes(text, count, device);
    return text;
}

} // namespace lockstep::device
