// The engines of this node: which there are, and which one a command is for.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "agent/drbdsetup/engine_client.hpp"
#include "kernel/control/protocol/runtime_directory.hpp"

namespace lockstep::drbdsetup {

// Codes of refusals that drbdsetup itself can say (linux/drbd.h, enum drbd_ret_code).
constexpr int code_minor_invalid = 127;
constexpr int code_permission = 152;
constexpr int code_resource_unknown = 158;
constexpr int code_minor_exists = 161;
constexpr int code_invalid_request = 162;

using client_pointer = std::unique_ptr<engine_client>;

// One engine's answer, or why there is none.
struct sighting {
    std::string resource;
    result<control::snapshot> state;
};

class engines {
public:
    explicit engines(control::runtime_directory where) : where_(std::move(where)) {}

    const control::runtime_directory& where() const { return where_; }

    // Errors: 158 without an engine.
    result<client_pointer> of_resource(const std::string& name) const;
    // Errors: 127 if no engine has the minor.
    result<client_pointer> of_minor(std::uint32_t minor) const;
    // Addresses normalised. Errors: 162 if no engine has this connection; one that does not answer
    // is in the way only of what no other engine has.
    result<client_pointer> of_connection(const std::string& local, const std::string& peer) const;

    // Every engine that runs, by resource name. One that runs and does not answer is an entry with
    // an error; what an engine that has died left behind is not listed.
    std::vector<sighting> look_at_all() const;
    // Names of all resources with something in the runtime directory.
    std::vector<std::string> names() const { return where_.resources(); }

private:
    control::runtime_directory where_;
};

} // namespace lockstep::drbdsetup
