#include "kernel/control/protocol/runtime_directory.hpp"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <memory>

#include <fmt/format.h>

namespace lockstep::control {

namespace {

constexpr const char* variable = "LOCKSTEP_RUNTIME_DIRECTORY";
constexpr const char* default_root = "/run/lockstep";
constexpr int code_minor_exists = 161; // ERR_MINOR_OR_VOLUME_EXISTS

bool is_plain(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

result<> make_directory(const std::string& path) {
    if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) {
        return {};
    }
    return fail_errno(errno, "Can not create the runtime directory", path,
                      fmt::format("Run as root, or set {} to a directory of your own.", variable));
}

std::optional<std::string> read_link(const std::string& path) {
    std::array<char, PATH_MAX> buffer;
    const ssize_t size = ::readlink(path.c_str(), buffer.data(), buffer.size());
    if (size <= 0) {
        return std::nullopt;
    }
    return std::string(buffer.data(), static_cast<std::size_t>(size));
}

// Nothing for a directory that does not exist.
std::vector<std::string> file_names(const std::string& path) {
    std::vector<std::string> found;
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), &::closedir);
    if (!directory) {
        return found;
    }
    while (const dirent* entry = ::readdir(directory.get())) {
        found.emplace_back(entry->d_name);
    }
    return found;
}

} // namespace

std::string encode_name(std::string_view resource) {
    std::string encoded;
    for (const char c : resource) {
        if (is_plain(c) || (c == '.' && !encoded.empty())) {
            encoded += c;
        } else {
            encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
        }
    }
    return encoded;
}

std::optional<std::string> decode_name(std::string_view file_name) {
    std::string decoded;
    for (std::size_t at = 0; at < file_name.size(); ++at) {
        if (file_name[at] != '%') {
            decoded += file_name[at];
            continue;
        }
        if (at + 2 >= file_name.size()) {
            return std::nullopt;
        }
        const int high = hex_digit(file_name[at + 1]);
        const int low = hex_digit(file_name[at + 2]);
        if (high < 0 || low < 0) {
            return std::nullopt;
        }
        decoded += static_cast<char>(high * 16 + low);
        at += 2;
    }
    // Only what encode_name() makes is a name; anything else in the directory is not ours.
    return !decoded.empty() && encode_name(decoded) == file_name ? std::optional(decoded)
                                                                 : std::nullopt;
}

std::string_view name_problem(std::string_view resource) {
    if (resource.empty()) {
        return "a resource name is not empty";
    }
    if (resource.size() > 127) {
        return "a resource name has at most 127 bytes";
    }
    if (resource == "all") {
        return "\"all\" means all resources and can not be the name of one";
    }
    for (const char c : resource) {
        const unsigned char byte = static_cast<unsigned char>(c);
        if (c == '/' || byte <= ' ' || byte == 127) {
            return "a resource name has no '/', no spaces and no control characters";
        }
    }
    return {};
}

runtime_directory::runtime_directory() {
    const char* given = std::getenv(variable);
    root_ = given != nullptr && *given != '\0' ? given : default_root;
}

bool runtime_directory::forbidden() const {
    return ::access((root_ + "/resources").c_str(), R_OK | X_OK) != 0 && errno == EACCES;
}

std::string runtime_directory::resource_directory(std::string_view resource) const {
    return root_ + "/resources/" + encode_name(resource);
}

std::string runtime_directory::control_socket(std::string_view resource) const {
    return resource_directory(resource) + "/control";
}

std::string runtime_directory::minor_link(std::uint32_t minor) const {
    return fmt::format("{}/minors/{}", root_, minor);
}

result<std::string> runtime_directory::prepare(std::string_view resource) const {
    const std::array<std::string, 4> directories = {root_, root_ + "/resources", root_ + "/minors",
                                                    resource_directory(resource)};
    for (const std::string& path : directories) {
        const result<> made = make_directory(path);
        if (!made) {
            return tl::unexpected<error>(made.error());
        }
    }
    return control_socket(resource);
}

void runtime_directory::remove(std::string_view resource) const {
    ::unlink(control_socket(resource).c_str());
    ::rmdir(resource_directory(resource).c_str());
}

result<> runtime_directory::link_minor(std::uint32_t minor, std::string_view resource) const {
    const std::string link = minor_link(minor);
    const std::string target = "../resources/" + encode_name(resource);
    // Twice, because a link that its engine left behind is removed once.
    for (int attempt = 0; attempt < 2; ++attempt) {
        if (::symlink(target.c_str(), link.c_str()) == 0) {
            return {};
        }
        if (errno != EEXIST) {
            return fail_errno(errno, "Can not register the minor", link);
        }
        const std::optional<std::string> owner = resource_of_minor(minor);
        if (owner && *owner == resource) {
            return {};
        }
        struct stat seen;
        if (owner && ::stat(resource_directory(*owner).c_str(), &seen) == 0) {
            return fail("Minor or volume exists already (delete it first)",
                        fmt::format("minor {}", minor),
                        fmt::format("Resource {} has it: drbdsetup down {}, or use another minor.",
                                    *owner, *owner),
                        code_minor_exists);
        }
        ::unlink(link.c_str());
    }
    return fail("Can not register the minor", link, {}, code_minor_exists);
}

void runtime_directory::unlink_minor(std::uint32_t minor, std::string_view resource) const {
    if (resource_of_minor(minor) == std::string(resource)) {
        ::unlink(minor_link(minor).c_str());
    }
}

std::optional<std::string> runtime_directory::resource_of_minor(std::uint32_t minor) const {
    const std::optional<std::string> target = read_link(minor_link(minor));
    if (!target) {
        return std::nullopt;
    }
    const std::size_t slash = target->rfind('/');
    return decode_name(slash == std::string::npos ? *target : target->substr(slash + 1));
}

std::vector<std::string> runtime_directory::resources() const {
    std::vector<std::string> found;
    for (const std::string& file : file_names(root_ + "/resources")) {
        if (const std::optional<std::string> name = decode_name(file)) {
            found.push_back(*name);
        }
    }
    std::sort(found.begin(), found.end());
    return found;
}

std::vector<std::uint32_t> runtime_directory::minors() const {
    std::vector<std::uint32_t> found;
    for (const std::string& file : file_names(root_ + "/minors")) {
        std::uint32_t minor = 0;
        const char* end = file.data() + file.size();
        const auto [stop, problem] = std::from_chars(file.data(), end, minor);
        if (problem == std::errc() && stop == end) {
            found.push_back(minor);
        }
    }
    std::sort(found.begin(), found.end());
    return found;
}

} // namespace lockstep::control
