// Conversion between the typed structs and text: one binding a row, and nothing else knows both
// a name and a member.
#include <algorithm>
#include <array>
#include <type_traits>

#include <fmt/format.h>

#include "kernel/base/check.hpp"
#include "kernel/options/table.hpp"

namespace lockstep::options {

namespace {

// How one option is kept in the struct T: as a number (booleans and words too) or as a string.
template <class T>
struct binding {
    std::string_view name;
    std::int64_t (*load)(const T&);
    void (*store)(T&, std::int64_t);
    std::string T::*string = nullptr;
};

template <class M>
struct member_of;
template <class T, class M>
struct member_of<M T::*> {
    using owner = T;
    using type = M;
};

template <auto Member>
constexpr auto bind(std::string_view name) {
    using T = typename member_of<decltype(Member)>::owner;
    using M = typename member_of<decltype(Member)>::type;
    if constexpr (std::is_same_v<M, std::string>) {
        return binding<T>{name, nullptr, nullptr, Member};
    } else {
        return binding<T>{
            name, [](const T& from) { return static_cast<std::int64_t>(from.*Member); },
            [](T& into, std::int64_t value) { into.*Member = static_cast<M>(value); }, nullptr};
    }
}

constexpr std::array disk_bindings{
    bind<&disk_options::size_sectors>("size"),
    bind<&disk_options::max_bio_bvecs>("max-bio-bvecs"),
    bind<&disk_options::on_io_error>("on-io-error"),
    bind<&disk_options::fencing>("fencing"),
    bind<&disk_options::disk_barrier>("disk-barrier"),
    bind<&disk_options::disk_flushes>("disk-flushes"),
    bind<&disk_options::disk_drain>("disk-drain"),
    bind<&disk_options::md_flushes>("md-flushes"),
    bind<&disk_options::resync_rate_kib>("resync-rate"),
    bind<&disk_options::resync_after>("resync-after"),
    bind<&disk_options::al_extents>("al-extents"),
    bind<&disk_options::al_updates>("al-updates"),
    bind<&disk_options::discard_zeroes_if_aligned>("discard-zeroes-if-aligned"),
    bind<&disk_options::disable_write_same>("disable-write-same"),
    bind<&disk_options::c_plan_ahead_ds>("c-plan-ahead"),
    bind<&disk_options::c_delay_target_ds>("c-delay-target"),
    bind<&disk_options::c_fill_target_sectors>("c-fill-target"),
    bind<&disk_options::c_max_rate_kib>("c-max-rate"),
    bind<&disk_options::c_min_rate_kib>("c-min-rate"),
    bind<&disk_options::disk_timeout_ds>("disk-timeout"),
    bind<&disk_options::read_balancing>("read-balancing"),
    bind<&disk_options::rs_discard_granularity>("rs-discard-granularity"),
};

constexpr std::array net_bindings{
    bind<&net_options::protocol>("protocol"),
    bind<&net_options::timeout_ds>("timeout"),
    bind<&net_options::max_epoch_size>("max-epoch-size"),
    bind<&net_options::max_buffers>("max-buffers"),
    bind<&net_options::unplug_watermark>("unplug-watermark"),
    bind<&net_options::connect_int_s>("connect-int"),
    bind<&net_options::ping_int_s>("ping-int"),
    bind<&net_options::sndbuf_size>("sndbuf-size"),
    bind<&net_options::rcvbuf_size>("rcvbuf-size"),
    bind<&net_options::ko_count>("ko-count"),
    bind<&net_options::allow_two_primaries>("allow-two-primaries"),
    bind<&net_options::cram_hmac_alg>("cram-hmac-alg"),
    bind<&net_options::shared_secret>("shared-secret"),
    bind<&net_options::after_sb_0pri>("after-sb-0pri"),
    bind<&net_options::after_sb_1pri>("after-sb-1pri"),
    bind<&net_options::after_sb_2pri>("after-sb-2pri"),
    bind<&net_options::always_asbp>("always-asbp"),
    bind<&net_options::rr_conflict>("rr-conflict"),
    bind<&net_options::ping_timeout_ds>("ping-timeout"),
    bind<&net_options::data_integrity_alg>("data-integrity-alg"),
    bind<&net_options::tcp_cork>("tcp-cork"),
    bind<&net_options::on_congestion>("on-congestion"),
    bind<&net_options::congestion_fill_sectors>("congestion-fill"),
    bind<&net_options::congestion_extents>("congestion-extents"),
    bind<&net_options::csums_alg>("csums-alg"),
    bind<&net_options::csums_after_crash_only>("csums-after-crash-only"),
    bind<&net_options::verify_alg>("verify-alg"),
    bind<&net_options::use_rle>("use-rle"),
    bind<&net_options::socket_check_timeout_ds>("socket-check-timeout"),
};

constexpr std::array resource_bindings{
    bind<&resource_options::cpu_mask>("cpu-mask"),
    bind<&resource_options::on_no_data_accessible>("on-no-data-accessible"),
};

// Numbers, booleans and words all become a number in the struct.
std::int64_t value_of(const option_row& row, std::string_view normal) {
    switch (row.kind) {
    case kind::number:
        return number_of(row, normal);
    case kind::boolean:
        return normal == "yes" ? 1 : 0;
    default:
        break;
    }
    const auto found = std::find_if(row.words.begin(), row.words.end(),
                                    [&](const auto& entry) { return entry.word == normal; });
    LOCKSTEP_CHECK(found != row.words.end());
    return found->value;
}

std::string text_of(const option_row& row, std::int64_t value) {
    switch (row.kind) {
    case kind::number:
        return row.scale == '1' ? std::to_string(value) : fmt::format("{}{}", value, row.scale);
    case kind::boolean:
        return value != 0 ? "yes" : "no";
    default:
        break;
    }
    const auto found = std::find_if(row.words.begin(), row.words.end(),
                                    [&](const auto& entry) { return entry.value == value; });
    LOCKSTEP_CHECK(found != row.words.end());
    return std::string(found->word);
}

template <class T, std::size_t Size>
const binding<T>& binding_of(const std::array<binding<T>, Size>& all, std::string_view name) {
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const auto& entry) { return entry.name == name; });
    LOCKSTEP_CHECK(found != all.end());
    return *found;
}

template <class T, std::size_t Size>
result<> set_in(const std::array<binding<T>, Size>& all, section where, T& into,
                std::string_view name, std::string_view text) {
    const option_row* row = find(where, name);
    if (row == nullptr) {
        return fail(fmt::format("{} is not an option of {}", name, section_name(where)), {},
                    "drbdsetup xml-help lists the options of each command", 10);
    }
    auto normal = normalise(*row, text);
    if (!normal) {
        return tl::unexpected(normal.error());
    }
    const binding<T>& to = binding_of(all, name);
    if (to.string != nullptr) {
        into.*to.string = std::move(*normal);
    } else {
        to.store(into, value_of(*row, *normal));
    }
    return {};
}

template <class T, std::size_t Size>
std::string get_from(const std::array<binding<T>, Size>& all, section where, const T& from,
                     std::string_view name) {
    const option_row* row = find(where, name);
    LOCKSTEP_CHECK(row != nullptr);
    const binding<T>& source = binding_of(all, name);
    return source.string != nullptr ? from.*source.string : text_of(*row, source.load(from));
}

template <class T>
std::vector<setting> settings_of(section where, const T& from) {
    std::vector<setting> out;
    for (const option_row& row : rows(where)) {
        std::string text = get(from, row.name);
        const bool is_default = text == row.default_text;
        out.push_back({&row, std::move(text), is_default});
    }
    return out;
}

std::vector<setting> without_defaults(std::vector<setting> all) {
    std::erase_if(all, [](const setting& entry) { return entry.is_default; });
    return all;
}

} // namespace

result<> set(disk_options& into, std::string_view name, std::string_view text) {
    return set_in(disk_bindings, section::disk, into, name, text);
}

result<> set(net_options& into, std::string_view name, std::string_view text) {
    return set_in(net_bindings, section::net, into, name, text);
}

result<> set(resource_options& into, std::string_view name, std::string_view text) {
    return set_in(resource_bindings, section::resource, into, name, text);
}

std::string get(const disk_options& from, std::string_view name) {
    return get_from(disk_bindings, section::disk, from, name);
}

std::string get(const net_options& from, std::string_view name) {
    return get_from(net_bindings, section::net, from, name);
}

std::string get(const resource_options& from, std::string_view name) {
    return get_from(resource_bindings, section::resource, from, name);
}

std::vector<setting> settings(const disk_options& from) {
    return settings_of(section::disk, from);
}

std::vector<setting> settings(const net_options& from) {
    return settings_of(section::net, from);
}

std::vector<setting> settings(const resource_options& from) {
    return settings_of(section::resource, from);
}

std::vector<setting> changed(const disk_options& from) {
    return without_defaults(settings(from));
}

std::vector<setting> changed(const net_options& from) {
    return without_defaults(settings(from));
}

std::vector<setting> changed(const resource_options& from) {
    return without_defaults(settings(from));
}

} // namespace lockstep::options
