#include "support/tcp_capture.hpp"

#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <utility>

namespace lockstep::support {

namespace {

struct frame {
    double seconds;
    const_byte_span bytes;
};

struct segment {
    endpoint from;
    endpoint to;
    std::uint32_t sequence = 0;
    bool syn = false;
    bool ack = false;
    const_byte_span bytes;
};

// The file header says by its magic how its numbers are written.
struct pcap_form {
    bool swapped = false;
    double fraction = 1e-6;
};

std::optional<pcap_form> form_of(const_byte_span file) {
    if (file.size() < 24) {
        return std::nullopt;
    }
    switch (load_little<std::uint32_t>(file.data())) {
    case 0xa1b2c3d4:
        return pcap_form{false, 1e-6};
    case 0xa1b23c4d:
        return pcap_form{false, 1e-9};
    case 0xd4c3b2a1:
        return pcap_form{true, 1e-6};
    case 0x4d3cb2a1:
        return pcap_form{true, 1e-9};
    default:
        return std::nullopt;
    }
}

std::vector<frame> frames_of(const_byte_span file, const pcap_form& form) {
    constexpr std::uint32_t link_ethernet = 1;
    const auto number = [&](std::size_t at) {
        const auto value = load_little<std::uint32_t>(file.data() + at);
        return form.swapped ? byte_swap(value) : value;
    };
    std::vector<frame> out;
    if (number(20) != link_ethernet) {
        return out;
    }
    for (std::size_t at = 24; file.size() - at >= 16;) {
        const std::size_t length = number(at + 8);
        if (length > file.size() - at - 16) {
            break;
        }
        out.push_back({number(at) + number(at + 4) * form.fraction, file.subspan(at + 16, length)});
        at += 16 + length;
    }
    return out;
}

std::optional<segment> segment_of(const_byte_span ethernet) {
    byte_reader from(ethernet);
    from.take_bytes(12);
    if (from.take<std::uint16_t>() != 0x0800) {
        return std::nullopt;
    }
    const auto ip = from.rest();
    byte_reader header(ip);
    const std::size_t header_size = std::size_t{4} * (header.take<std::uint8_t>() & 15U);
    header.take<std::uint8_t>();
    const std::size_t total = header.take<std::uint16_t>();
    header.take_bytes(5);
    const auto transport = header.take<std::uint8_t>();
    header.take<std::uint16_t>();
    segment out;
    out.from.address = header.take<std::uint32_t>();
    out.to.address = header.take<std::uint32_t>();
    if (!header.ok() || transport != 6 || total > ip.size() || header_size > total) {
        return std::nullopt;
    }
    const auto tcp = ip.subspan(header_size, total - header_size);
    byte_reader fields(tcp);
    out.from.port = fields.take<std::uint16_t>();
    out.to.port = fields.take<std::uint16_t>();
    out.sequence = fields.take<std::uint32_t>();
    fields.take<std::uint32_t>();
    const auto flags = fields.take<std::uint16_t>();
    const std::size_t tcp_header = std::size_t{4} * (flags >> 12);
    if (!fields.ok() || tcp_header > tcp.size()) {
        return std::nullopt;
    }
    out.syn = (flags & 2) != 0;
    out.ack = (flags & 16) != 0;
    out.bytes = tcp.subspan(tcp_header);
    return out;
}

// One direction of one connection.
class assembly {
public:
    std::vector<std::byte> add(const segment& part) {
        if (part.syn) {
            next_ = part.sequence + 1;
            early_.clear();
            return {};
        }
        if (!next_) {
            next_ = part.sequence;
        }
        if (!part.bytes.empty()) {
            auto& kept = early_[part.sequence];
            if (kept.size() < part.bytes.size()) {
                kept.assign(part.bytes.begin(), part.bytes.end());
            }
        }
        return take_ready();
    }

private:
    std::vector<std::byte> take_ready() {
        std::vector<std::byte> out;
        for (auto at = early_.begin(); at != early_.end();) {
            const std::uint32_t known = *next_ - at->first; // bytes of it that came already
            if (known >= 0x80000000) {
                ++at;
                continue;
            }
            const auto& bytes = at->second;
            if (known < bytes.size()) {
                out.insert(out.end(), bytes.begin() + known, bytes.end());
                *next_ += static_cast<std::uint32_t>(bytes.size()) - known;
            }
            early_.erase(at);
            at = early_.begin();
        }
        return out;
    }

    std::optional<std::uint32_t> next_;
    std::map<std::uint32_t, std::vector<std::byte>> early_;
};

std::vector<std::byte> whole_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
}

} // namespace

result<std::vector<tcp_bytes>> read_tcp_capture(const std::string& path, std::uint16_t port) {
    const auto file = whole_file(path);
    const auto form = form_of(file);
    if (!form) {
        return fail("not a pcap file", path);
    }
    const auto frames = frames_of(file, *form);
    std::map<std::pair<endpoint, endpoint>, assembly> directions;
    std::vector<tcp_bytes> out;
    for (const auto& captured : frames) {
        const auto part = segment_of(captured.bytes);
        if (!part || (part->from.port != port && part->to.port != port)) {
            continue;
        }
        const double seconds = captured.seconds - frames.front().seconds;
        if (part->syn && !part->ack) {
            directions.erase({part->from, part->to});
            directions.erase({part->to, part->from});
            out.push_back({seconds, part->from, part->to, true, {}});
        }
        auto bytes = directions[{part->from, part->to}].add(*part);
        if (!bytes.empty()) {
            out.push_back({seconds, part->from, part->to, false, std::move(bytes)});
        }
    }
    return out;
}

} // namespace lockstep::support
