#include "support/drbd_capture.hpp"

#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <map>
#include <optional>

#include "kernel/wire/payloads.hpp"

namespace lockstep::support {

namespace {

constexpr std::uint16_t drbd_port = 7789;

// One direction of one TCP connection.
struct direction {
    wire::packet_stream stream{wire::socket_kind::fresh};
    wire::socket_kind socket = wire::socket_kind::fresh;
    std::vector<std::byte> unread; // bytes that came, from the header that is being read on
    std::vector<std::byte> data;
    bool agreed = false; // the stream follows the agreed rules
};

using direction_key = std::pair<endpoint, endpoint>;

class splitter {
public:
    explicit splitter(std::string path) : path_(std::move(path)) {
        rules_.version = wire::version_max;
        rules_.features = wire::feature::all;
    }

    result<> add(const tcp_bytes& part) {
        const direction_key key{part.from, part.to};
        if (part.begins) {
            fresh_[key] = fresh_[{part.to, part.from}] = true;
            for (const auto& way : {key, direction_key{part.to, part.from}}) {
                directions_.erase(way);
                sockets_.erase(way);
            }
            return {};
        }
        auto& way = directions_[key];
        way.unread.insert(way.unread.end(), part.bytes.begin(), part.bytes.end());
        return split(key, way, part.seconds);
    }

    std::vector<drbd_packet> take() { return std::move(packets_); }

private:
    // A direction whose beginning was captured is fresh until INITIAL_DATA or INITIAL_META has been
    // seen in either direction; of any other the first packet tells.
    bool find_socket(const direction_key& key, direction& way) {
        if (way.socket != wire::socket_kind::fresh) {
            return true;
        }
        const auto known = sockets_.find(key);
        if (fresh_.contains(key)) {
            if (known != sockets_.end()) {
                way.socket = known->second;
                way.stream.restart(way.socket);
            }
            return true;
        }
        if (way.unread.size() < wire::header_bytes_max) {
            return false;
        }
        const auto head = wire::decode_header(way.unread, rules_);
        way.socket = head && wire::belongs_on(head->code, wire::socket_kind::meta)
                         ? wire::socket_kind::meta
                         : wire::socket_kind::data;
        way.stream.restart(way.socket);
        way.stream.set_rules(rules_);
        way.agreed = true;
        return true;
    }

    // The data connection changes to the agreed rules after CONNECTION_FEATURES of both, the meta
    // connection, which is silent until then, with its first packet after INITIAL_META.
    void apply_agreement(direction& way) {
        const bool meta = way.socket == wire::socket_kind::meta;
        const bool sent_features = way.socket == wire::socket_kind::data && way.agreed;
        if (way.stream.between_packets() && (meta || sent_features)) {
            way.stream.set_rules(rules_);
        }
    }

    result<> split(const direction_key& key, direction& way, double seconds) {
        if (!find_socket(key, way)) {
            return {};
        }
        for (;;) {
            apply_agreement(way);
            way.stream.set_digest_bytes(digests_[key.first.address]);
            auto one = take_one(way);
            if (!one) {
                return fail(one.error().what, fmt::format("{} at {:.4f} s", path_, seconds));
            }
            if (!*one) {
                return {};
            }
            (*one)->seconds = seconds;
            (*one)->from = key.first.address;
            if (auto good = learn(key, way, **one); !good) {
                return good;
            }
            packets_.push_back(std::move(**one));
        }
    }

    // A whole packet or nothing: the stream sees the bytes only when the packet is complete, so
    // that its rules can be changed before each packet.
    result<std::optional<drbd_packet>> take_one(direction& way) {
        const auto& rules = way.stream.rules();
        if (way.unread.size() < rules.header_bytes()) {
            return std::nullopt;
        }
        const auto head = wire::decode_header(way.unread, rules);
        if (!head) {
            return tl::unexpected(head.error());
        }
        const auto total = head->bytes() + head->length;
        if (way.unread.size() < total) {
            return std::nullopt;
        }
        auto packet = through_stream(way, const_byte_span(way.unread).first(total));
        if (packet) {
            way.unread.erase(way.unread.begin(),
                             way.unread.begin() + static_cast<std::ptrdiff_t>(total));
        }
        return packet;
    }

    result<std::optional<drbd_packet>> through_stream(direction& way, const_byte_span bytes) {
        drbd_packet out;
        out.socket = way.socket;
        out.rules = way.stream.rules();
        const auto whole = bytes;
        auto step = way.stream.take(bytes);
        if (!step) {
            return tl::unexpected(step.error());
        }
        out.head = way.stream.head();
        const auto raw = whole.first(out.head.bytes());
        out.raw_header.assign(raw.begin(), raw.end());
        out.payload.assign(way.stream.payload().begin(), way.stream.payload().end());
        out.fixed_bytes = out.payload.size();
        if (*step == wire::packet_stream::step::data) {
            out.fixed_bytes = way.stream.data_fixed_part().size();
            out.digest_bytes = way.stream.data_digest().size();
            way.data.resize(way.stream.data_bytes());
            way.stream.place_data(way.data);
            step = way.stream.take(bytes);
            out.payload.insert(out.payload.end(), way.data.begin(), way.data.end());
        }
        if (!bytes.empty()) {
            return fail("the stream left bytes of a whole packet");
        }
        return out;
    }

    result<> learn(const direction_key& key, direction& way, const drbd_packet& packet) {
        switch (packet.head.code) {
        case wire::command::initial_data:
            features_.clear();
            digests_.clear();
            return learn_socket(key, way, wire::socket_kind::data);
        case wire::command::initial_meta:
            return learn_socket(key, way, wire::socket_kind::meta);
        case wire::command::connection_features:
            way.agreed = true;
            return learn_features(packet);
        case wire::command::protocol:
        case wire::command::protocol_update:
            return learn_digest(packet);
        default:
            return {};
        }
    }

    result<> learn_socket(const direction_key& key, direction& way, wire::socket_kind socket) {
        sockets_[key] = sockets_[{key.second, key.first}] = socket;
        way.socket = socket;
        way.stream.restart(socket);
        return {};
    }

    result<> learn_features(const drbd_packet& packet) {
        const auto offer =
            wire::decode<wire::connection_features>(packet.head.code, packet.payload, packet.rules);
        if (!offer) {
            return tl::unexpected(offer.error());
        }
        features_[packet.from] = *offer;
        if (features_.size() == 2) {
            const auto agreed = wire::agree(features_.begin()->second, features_.rbegin()->second);
            if (!agreed) {
                return tl::unexpected(agreed.error());
            }
            rules_ = *agreed;
        }
        return {};
    }

    result<> learn_digest(const drbd_packet& packet) {
        const auto settings =
            wire::decode<wire::connection_settings>(packet.head.code, packet.payload, packet.rules);
        if (!settings) {
            return tl::unexpected(settings.error());
        }
        digests_[packet.from] = digest_bytes_of(settings->integrity.view());
        return {};
    }

    std::string path_;
    wire::protocol rules_;
    std::map<direction_key, bool> fresh_;
    std::map<direction_key, wire::socket_kind> sockets_;
    std::map<direction_key, direction> directions_;
    std::map<std::uint32_t, wire::connection_features> features_;
    std::map<std::uint32_t, std::size_t> digests_;
    std::vector<drbd_packet> packets_;
};

} // namespace

result<std::vector<drbd_packet>> read_drbd_capture(const std::string& path) {
    const auto parts = read_tcp_capture(path, drbd_port);
    if (!parts) {
        return tl::unexpected(parts.error());
    }
    splitter split(path);
    for (const auto& part : *parts) {
        if (auto good = split.add(part); !good) {
            return tl::unexpected(good.error());
        }
    }
    return split.take();
}

std::size_t digest_bytes_of(std::string_view algorithm) {
    static constexpr std::pair<std::string_view, std::size_t> sizes[] = {
        {"crc32c", 4}, {"md5", 16}, {"sha1", 20}, {"sha256", 32}, {"sha512", 64}};
    const auto* const found =
        std::find_if(std::begin(sizes), std::end(sizes),
                     [algorithm](const auto& entry) { return entry.first == algorithm; });
    return found == std::end(sizes) ? 0 : found->second;
}

std::vector<std::string> captures_in(const std::string& directory) {
    std::vector<std::string> out;
    std::error_code problem;
    for (const auto& entry : std::filesystem::directory_iterator(directory, problem)) {
        if (entry.path().extension() == ".pcap") {
            out.push_back(entry.path().string());
        }
    }
    std::sort(out.begin(), out.end());
    return out;
}

} // namespace lockstep::support
