#include "agent/drbdmeta/device_user.hpp"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <vector>

#include <fmt/format.h>

namespace lockstep::drbdmeta {

namespace {

namespace fs = std::filesystem;

std::optional<dev_t> device_of(const std::string& path) {
    struct stat status = {};
    if (::stat(path.c_str(), &status) != 0 || !S_ISBLK(status.st_mode)) {
        return std::nullopt;
    }
    return status.st_rdev;
}

std::string number_text(dev_t device) {
    return fmt::format("{}:{}", major(device), minor(device));
}

// Entries of a directory; none if it can't be read. They may vanish meanwhile.
std::vector<fs::path> entries(const fs::path& directory) {
    std::vector<fs::path> out;
    std::error_code ignored;
    for (fs::directory_iterator at(directory, ignored), end; !ignored && at != end;
         at.increment(ignored)) {
        out.push_back(at->path());
    }
    return out;
}

std::string first_line(const fs::path& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

// Source: proc(5), /proc/pid/mountinfo: the third word is the device, the fifth the place.
std::string mounted_on(const std::string& number) {
    std::ifstream table("/proc/self/mountinfo");
    for (std::string line; std::getline(table, line);) {
        std::istringstream words(line);
        std::string id;
        std::string parent;
        std::string device;
        std::string root;
        std::string place;
        words >> id >> parent >> device >> root >> place;
        if (device == number) {
            return "mounted on " + place;
        }
    }
    return {};
}

std::string used_as_swap(dev_t device) {
    std::ifstream table("/proc/swaps");
    for (std::string line; std::getline(table, line);) {
        if (device_of(line.substr(0, line.find_first_of(" \t"))) == device) {
            return "in use as swap";
        }
    }
    return {};
}

std::string part_of_another(const std::string& number) {
    for (const fs::path& holder : entries(fs::path("/sys/dev/block") / number / "holders")) {
        const std::string name = first_line(holder / "dm/name");
        return fmt::format("a part of {}{}", holder.filename().string(),
                           name.empty() ? name : fmt::format(" ({})", name));
    }
    return {};
}

bool is_number(const fs::path& name) {
    const std::string text = name.filename().string();
    return !text.empty() && std::all_of(text.begin(), text.end(),
                                        [](char digit) { return digit >= '0' && digit <= '9'; });
}

std::string open_in_a_process(dev_t device) {
    for (const fs::path& process : entries("/proc")) {
        if (!is_number(process)) {
            continue;
        }
        for (const fs::path& open : entries(process / "fd")) {
            // A name tells what is worth asking for: a file on a dead server would never answer.
            std::error_code ignored;
            const std::string name = fs::read_symlink(open, ignored).string();
            if (name.starts_with("/dev/") && device_of(open.string()) == device) {
                return fmt::format("open in {} (pid {})", first_line(process / "comm"),
                                   process.filename().string());
            }
        }
    }
    return {};
}

std::string user_of_device(dev_t device) {
    const std::string number = number_text(device);
    std::string user = mounted_on(number);
    if (user.empty()) {
        user = used_as_swap(device);
    }
    if (user.empty()) {
        user = part_of_another(number);
    }
    return user.empty() ? open_in_a_process(device) : user;
}

} // namespace

std::string user_of(const std::string& path) {
    const std::optional<dev_t> device = device_of(path);
    if (!device) {
        return {};
    }
    std::string user = user_of_device(*device);
    for (const fs::path& part : entries(fs::path("/sys/dev/block") / number_text(*device))) {
        if (!user.empty()) {
            break;
        }
        std::error_code ignored;
        if (fs::exists(part / "partition", ignored)) {
            const std::string place = mounted_on(first_line(part / "dev"));
            user = place.empty() ? place
                                 : fmt::format("not free: its partition {} is {}",
                                               part.filename().string(), place);
        }
    }
    return user;
}

} // namespace lockstep::drbdmeta
