// Where engines can be found: $LOCKSTEP_RUNTIME_DIRECTORY, or /run/lockstep.
//
//   resources/NAME/control   the engine's socket, mode 0600
//   minors/N                 symbolic link to ../resources/NAME
//
// NAME is the resource's name with every byte but letters, digits, '-', '_', and '.' after the
// first place written as %XX, so that no name can leave the directory. The links are a hint: a
// client believes what the engine itself says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/error.hpp"

namespace lockstep::control {

class runtime_directory {
public:
    // The environment's, or the default.
    runtime_directory();
    explicit runtime_directory(std::string root) : root_(std::move(root)) {}

    const std::string& root() const { return root_; }
    // It is there, and this user may not look into it.
    bool forbidden() const;
    std::string resource_directory(std::string_view resource) const;
    std::string control_socket(std::string_view resource) const;
    std::string minor_link(std::uint32_t minor) const;

    // Makes the directories of a resource, 0700 for root and resources, and says where the socket
    // belongs.
    result<std::string> prepare(std::string_view resource) const;
    // Removes the socket and the directory of a resource; nothing else must be in it.
    void remove(std::string_view resource) const;

    // Fails if another resource has the minor ("Minor or volume exists already", code 161), unless
    // that resource has no directory any more.
    result<> link_minor(std::uint32_t minor, std::string_view resource) const;
    void unlink_minor(std::uint32_t minor, std::string_view resource) const;
    std::optional<std::string> resource_of_minor(std::uint32_t minor) const;

    // Names of all resources that have a directory, sorted. A missing directory is no resources.
    std::vector<std::string> resources() const;
    // All minors that have a link, sorted.
    std::vector<std::uint32_t> minors() const;

private:
    std::string root_;
};

std::string encode_name(std::string_view resource);
std::optional<std::string> decode_name(std::string_view file_name);

// Why a resource cannot have this name; empty if it can. DRBD takes names that are not empty, have
// no '/', and are not "all"; ours are also printable and at most 127 bytes.
std::string_view name_problem(std::string_view resource);

} // namespace lockstep::control
