#include "agent/drbdsetup/sh_status_text.hpp"

#include <fmt/format.h>

#include "agent/drbdsetup/proc_text.hpp"

namespace lockstep::drbdsetup {

namespace {

bool unconfigured(const control::volume_snapshot& volume) {
    return volume.state.connection == state::connection::standalone &&
           volume.state.disk == state::disk::diskless;
}

constexpr std::string_view nothing_configured =
    "\n_cstate=Unconfigured\n_role=\n_peer=\n_disk=\n_pdsk=\n_flags_susp=\n_flags_aftr_isp=\n"
    "_flags_peer_isp=\n_flags_user_isp=\n_resynced_percent=\n";
constexpr std::string_view paragraph_end = "\n_sh_status_process\n\n\n";

// In single quotes, unless every byte is harmless to a shell.
std::string shell_word(const std::string& text) {
    constexpr std::string_view harmless = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                          "0123456789%+,-./:=@_";
    if (!text.empty() && text.find_first_not_of(harmless) == std::string::npos) {
        return text;
    }
    std::string quoted = "'";
    for (const char c : text) {
        quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    }
    return quoted + "'";
}

std::string_view one(bool value) {
    return value ? "1" : "";
}

std::string percent(const control::volume_snapshot& volume) {
    if (!volume.progress.running) {
        return {};
    }
    const unsigned permille = permille_of(volume.progress);
    return fmt::format("{}.{}", permille / 10, permille % 10);
}

} // namespace

std::string sh_status_unknown(std::uint32_t minor) {
    return fmt::format("_minor={}\n_res_name=\n_volume=-1\n"
                       "_known=NA # not available or not yet created\n{}{}",
                       minor, nothing_configured, paragraph_end);
}

std::string sh_status_text(const control::snapshot& resource,
                           const control::volume_snapshot& volume) {
    const state::volume_state& state = volume.state;
    std::string text = fmt::format("_minor={}\n_res_name={}\n_volume={}\n", volume.minor,
                                   shell_word(resource.resource), volume.volume);
    if (unconfigured(volume) && state.role != state::role::primary) {
        text += fmt::format("_known=Unconfigured\n{}", nothing_configured);
    } else {
        text += fmt::format("_known=Configured\n\n_cstate={}\n_role={}\n_peer={}\n_disk={}\n"
                            "_pdsk={}\n\n_flags_susp={}\n_flags_aftr_isp={}\n_flags_peer_isp={}\n"
                            "_flags_user_isp={}\n\n_resynced_percent={}\n",
                            state::name(state.connection), state::name(state.role),
                            state::name(state.peer_role), state::name(state.disk),
                            state::name(state.peer_disk), one(state.suspended()),
                            one(state.sync_paused_after), one(state.sync_paused_peer),
                            one(state.sync_paused_user), percent(volume));
    }
    return text + std::string(paragraph_end);
}

std::string role_text(const control::volume_snapshot& volume) {
    return unconfigured(volume) ? "Unconfigured\n"
                                : fmt::format("{}/{}\n", state::name(volume.state.role),
                                              state::name(volume.state.peer_role));
}

std::string connection_text(const control::volume_snapshot& volume) {
    return unconfigured(volume) ? "Unconfigured\n"
                                : fmt::format("{}\n", state::name(volume.state.connection));
}

std::string disk_text(const control::volume_snapshot& volume) {
    return unconfigured(volume) ? "Unconfigured\n"
                                : fmt::format("{}/{}\n", state::name(volume.state.disk),
                                              state::name(volume.state.peer_disk));
}

} // namespace lockstep::drbdsetup
