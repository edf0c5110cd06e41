// The commands behind resource_target, one function each. Included by the sources of this room
// only.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "kernel/control/binding/resource_target.hpp"

namespace lockstep::control {

reply to_reply(const replica::outcome& end);
reply to_reply(const error& problem);
reply refusal(int code, std::string text, std::string remedy);

class resource_target::commands {
public:
    commands(replica::resource& resource, surroundings& around, std::function<void()> observed)
        : resource_(resource), around_(around), observed_(std::move(observed)) {}

    snapshot look() const;
    void run(const request& what, on_reply done);
    void disk_released(replica::volume_number volume);

private:
    // A volume by the minor of the request; nothing if there is none.
    std::optional<replica::volume_status> volume_of(const request& what) const;

    void run_on_volume(const request& what, replica::volume_number volume, on_reply done);
    void new_minor(const request& what, const on_reply& done);
    void del_minor(const replica::volume_status& volume, const on_reply& done);
    void del_resource(const on_reply& done);
    void attach(const request& what, const replica::volume_status& volume, const on_reply& done);
    void opened(const request& what, replica::volume_number volume,
                const options::disk_options& options, const result<replica::disk_properties>& disk,
                const on_reply& done);
    void resize(const request& what, replica::volume_number volume, const on_reply& done);
    void connect(const request& what, const on_reply& done);
    void disconnect(bool force, const on_reply& done);
    void disk_options(const request& what, const replica::volume_status& volume,
                      const on_reply& done);
    void net_options(const request& what, const on_reply& done);
    void resource_options(const request& what, const on_reply& done);

    // `down`, one step after the other; the first that is refused ends it.
    void down(const on_reply& done);
    // Nothing is waited for, and nothing refused.
    void force_down(const on_reply& done);
    void detach(const request& what, replica::volume_number volume, on_reply done);
    void down_link(const on_reply& done);
    void down_disks(std::uint32_t from, const on_reply& done);
    void down_minors(const on_reply& done);

    replica::on_outcome answering(on_reply done) const;

    replica::resource& resource_;
    surroundings& around_;
    std::function<void()> observed_;
    std::map<std::uint32_t, volume_place> places_;
    std::set<replica::volume_number> creating_;
    std::map<std::uint32_t, std::string> opening_; // disks, by volume number
    std::set<std::uint32_t> diskless_by_intention_;
    std::string local_address_;
    std::string peer_address_;
    // Set before there is a connection, as 8.3's syncer does; connect's own settings override them.
    std::vector<option_setting> net_to_come_;
};

} // namespace lockstep::control
