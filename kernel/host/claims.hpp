// What a resource has for itself on this node: minors, addresses, backing devices. Claimed across
// processes by locks on files in the runtime directory, which the kernel drops however the holder
// ends. Claims of disks come on top of O_EXCL, which cannot tell two slots of one metadata device.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "kernel/base/error.hpp"
#include "kernel/base/owned_fd.hpp"

namespace lockstep::host {

class claims {
public:
    // directory: made if missing. holder: the resource's name, for the messages of others.
    claims(std::string directory, std::string holder)
        : directory_(std::move(directory)), holder_(std::move(holder)) {}

    enum class mode : std::uint8_t { exclusive, shared };

    // key: any text, such as "minor-0" or "disk-block:7:3". A claim that is already ours is taken
    // again without effect. The error names who has it, and carries `code`.
    result<> take(std::string_view key, int code, mode how = mode::exclusive);
    void release(std::string_view key);
    const std::string& directory() const { return directory_; }
    // The lock's descriptor, for somebody who is to hold the claim as well; -1 if it is not ours.
    int descriptor(std::string_view key) const;

private:
    std::string path_of(std::string_view key) const;

    std::string directory_;
    std::string holder_;
    std::map<std::string, owned_fd, std::less<>> held_;
};

} // namespace lockstep::host
