#include "kernel/host/fault_injection.hpp"

#include <array>

namespace lockstep::host {

namespace {

constexpr std::array<std::string_view, 6> kind_names = {
    "Meta-data write", "Meta-data read", "Resync write", "Resync read", "Data write", "Data read"};

// Its bit in fault_settings::kinds.
std::size_t kind_of(const replica::disk_request& request) {
    const bool reads = request.op == replica::disk_request::operation::read;
    const std::size_t first = request.device == replica::backing::metadata ? 0
                              : request.resync                             ? 2
                                                                           : 4;
    return first + (reads ? 1 : 0);
}

} // namespace

void fault_injection::set_minor(replica::volume_number volume, std::uint32_t minor) {
    const bool meant =
        settings_.minors == 0 || (minor < 32 && (settings_.minors >> minor & 1U) != 0);
    if (meant) {
        spared_.erase(volume);
    } else {
        spared_.insert(volume);
    }
}

std::optional<std::string_view> fault_injection::strike(const replica::disk_request& request,
                                                        std::uint64_t random) {
    if (request.op == replica::disk_request::operation::flush) {
        return {}; // of no kind, as in DRBD
    }
    const std::size_t kind = kind_of(request);
    const bool meant = (settings_.kinds >> kind & 1U) != 0 && spared_.count(request.volume) == 0;
    if (!meant || random % 100 >= settings_.rate) {
        return {};
    }
    ++count_;
    return kind_names.at(kind);
}

} // namespace lockstep::host
