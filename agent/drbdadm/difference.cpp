#include "agent/drbdadm/difference.hpp"

#include <algorithm>

#include "agent/config/local_address.hpp"
#include "kernel/options/table.hpp"

namespace lockstep::drbdadm {

namespace {

using config::option_list;
using options::option_row;

std::string_view value_in(const option_list& list, const option_row& row) {
    const config::option* found = config::find_last_option(list, row.name);
    return found == nullptr || !found->value ? row.default_text : std::string_view(*found->value);
}

bool same_option(const option_list& wanted, const option_list& running, const option_row& row) {
    return options::same_value(row, value_in(wanted, row), value_in(running, row));
}

// Of those that can change while the object lives.
bool same_options(options::section where, const option_list& wanted, const option_list& running) {
    const auto all = options::rows(where);
    return std::all_of(all.begin(), all.end(), [&](const option_row& row) {
        return !row.at_run_time || same_option(wanted, running, row);
    });
}

bool same_disk_option(const config::volume& wanted, const config::volume& running,
                      std::string_view name) {
    return same_option(wanted.disk_options, running.disk_options,
                       *options::find(options::section::disk, name));
}

bool has_disk(const config::volume& row) {
    return row.disk && !row.diskless();
}

bool same_place(const config::volume& wanted, const config::volume& running) {
    if (!has_disk(wanted) || !has_disk(running)) {
        return has_disk(wanted) == has_disk(running);
    }
    if (wanted.disk != running.disk || wanted.internal_metadata() != running.internal_metadata()) {
        return false;
    }
    return wanted.internal_metadata() || wanted.meta_disk == running.meta_disk;
}

volume_difference compare_volume(const config::volume& wanted, const config::volume& running) {
    volume_difference out;
    out.wanted = &wanted;
    out.running = &running;
    out.add_minor = wanted.minor != running.minor;
    out.remove_minor = out.add_minor;
    // The segment limit is fixed while attached.
    const bool attach_anew =
        !same_place(wanted, running) || out.add_minor ||
        (has_disk(wanted) && !same_disk_option(wanted, running, "max-bio-bvecs"));
    if (attach_anew) {
        out.attach = has_disk(wanted);
        out.detach = has_disk(running);
        return out;
    }
    if (has_disk(wanted)) {
        out.resize = !same_disk_option(wanted, running, "size");
        out.disk_options =
            !same_options(options::section::disk, wanted.disk_options, running.disk_options);
    }
    return out;
}

volume_difference new_volume(const config::volume& wanted) {
    volume_difference out;
    out.wanted = &wanted;
    out.add_minor = true;
    out.attach = has_disk(wanted);
    return out;
}

volume_difference old_volume(const config::volume& running) {
    volume_difference out;
    out.running = &running;
    out.detach = has_disk(running);
    out.remove_minor = true;
    return out;
}

// Both lists are sorted by number.
std::vector<volume_difference> compare_volumes(const std::vector<config::volume>& wanted,
                                               const std::vector<config::volume>& running) {
    std::vector<volume_difference> out;
    auto left = wanted.begin();
    auto right = running.begin();
    while (left != wanted.end() || right != running.end()) {
        if (left == wanted.end() || (right != running.end() && right->number < left->number)) {
            out.push_back(old_volume(*right++));
        } else if (right == running.end() || left->number < right->number) {
            out.push_back(new_volume(*left++));
        } else {
            out.push_back(compare_volume(*left++, *right++));
        }
    }
    return out;
}

const config::socket_address* peer_address(const config::resource& owner) {
    if (owner.me->proxy && owner.me->proxy->inside) {
        return &*owner.me->proxy->inside;
    }
    return owner.peer != nullptr && owner.peer->address ? &*owner.peer->address : nullptr;
}

bool same_endpoint(const config::socket_address* a, const config::socket_address* b) {
    if (a == nullptr || b == nullptr) {
        return a == b;
    }
    return config::same_address(*a, *b) && a->port == b->port;
}

bool same_endpoints(const config::resource& wanted, const config::resource& running) {
    if (running.peer == nullptr) {
        return wanted.peer == nullptr;
    }
    const auto own = [](const config::resource& owner) {
        return owner.me->address ? &*owner.me->address : nullptr;
    };
    return same_endpoint(own(wanted), own(running)) &&
           same_endpoint(peer_address(wanted), peer_address(running));
}

} // namespace

bool resource_difference::nothing() const {
    return !new_resource && !resource_options && !disconnect && !connect && !net_options &&
           std::all_of(volumes.begin(), volumes.end(), [](const volume_difference& row) {
               return !row.detach && !row.remove_minor && !row.add_minor && !row.attach &&
                      !row.disk_options && !row.resize;
           });
}

resource_difference compare(const config::resource& wanted, const config::resource* running) {
    resource_difference out;
    if (running == nullptr) {
        out.new_resource = true;
        out.connect = true;
        out.volumes = compare_volumes(wanted.me->volumes, {});
        return out;
    }
    static const std::vector<config::volume> none;
    out.volumes =
        compare_volumes(wanted.me->volumes, running->me == nullptr ? none : running->me->volumes);
    out.resource_options = !same_options(options::section::resource, wanted.resource_options,
                                         running->resource_options);
    out.connect = running->me == nullptr || !same_endpoints(wanted, *running);
    out.disconnect = out.connect && running->me != nullptr && running->peer != nullptr;
    out.net_options =
        !out.connect && running->peer != nullptr &&
        !same_options(options::section::net, wanted.net_options, running->net_options);
    return out;
}

} // namespace lockstep::drbdadm
