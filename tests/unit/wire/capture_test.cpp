// Every DRBD packet in every capture of the in-kernel DRBD decodes, encodes back to the same bytes,
// and keeps the rules that packets have among each other.
#include <algorithm>
#include <deque>
#include <filesystem>
#include <fmt/format.h>
#include <map>
#include <optional>
#include <set>

#include "kernel/base/crc32c.hpp"
#include "kernel/wire/bitmap_transfer.hpp"
#include "kernel/wire/payloads.hpp"
#include "kernel/wire/run_length.hpp"
#include "support/drbd_capture.hpp"
#include "support/payload_types.hpp"
#include "support/plain_bits.hpp"

// Last: its macro fail() must not meet the function of that name.
#include "unit/cmocka.hpp"

namespace lockstep {

namespace {

using support::drbd_packet;
using support::plain_bits;
using wire::command;

struct capture {
    std::string name;
    std::vector<drbd_packet> packets;
};

// Reads them once; a capture that does not decode fails the test that asks first.
const std::vector<capture>& captures() {
    static const std::vector<capture> all = [] {
        std::vector<capture> out;
        for (const auto& path : support::captures_in(LOCKSTEP_UNPACKED_FIXTURES "/wire")) {
            auto packets = support::read_drbd_capture(path);
            if (!packets) {
                print_error("%s\n", packets.error().text().c_str());
                fail();
            }
            out.push_back({std::filesystem::path(path).stem().string(), std::move(*packets)});
        }
        return out;
    }();
    return all;
}

const capture& named(std::string_view name) {
    const auto& all = captures();
    const auto found =
        std::find_if(all.begin(), all.end(), [name](const auto& c) { return c.name == name; });
    assert_true(found != all.end());
    return *found;
}

std::string at(const capture& file, const drbd_packet& packet) {
    return fmt::format("{} at {:.4f} s: {}", file.name, packet.seconds, name(packet.head.code));
}

template <class X>
X decoded(const capture& file, const drbd_packet& packet) {
    const auto bytes = wire::carries_data(packet.head.code) ? packet.fixed_part()
                                                            : const_byte_span(packet.payload);
    auto value = wire::decode<X>(packet.head.code, bytes, packet.rules);
    if (!value) {
        print_error("%s: %s\n", at(file, packet).c_str(), value.error().text().c_str());
        fail();
    }
    return *value;
}

template <class X>
void check_encodes_back(const capture& file, const drbd_packet& packet) {
    const auto value = decoded<X>(file, packet);
    const auto behind = packet.payload.size() - packet.fixed_bytes;
    std::array<std::byte, wire::small_packet_bytes_max> buffer{};
    const auto size =
        wire::encode_packet(buffer, packet.rules, packet.head.volume, packet.head.code, value,
                            static_cast<std::uint32_t>(behind));
    auto expected = packet.raw_header;
    expected.insert(expected.end(), packet.fixed_part().begin(), packet.fixed_part().end());
    if (!std::ranges::equal(const_byte_span(buffer).first(size), expected)) {
        print_error("%s: encodes to other bytes\n", at(file, packet).c_str());
        fail();
    }
}

void check_header_encodes_back(const capture& file, const drbd_packet& packet) {
    std::array<std::byte, wire::header_bytes_max> buffer{};
    byte_writer to(buffer);
    const auto head =
        wire::make_header(packet.rules, packet.head.volume, packet.head.code, packet.head.length);
    wire::encode_header(to, head);
    if (!std::ranges::equal(const_byte_span(buffer).first(to.written()), packet.raw_header)) {
        print_error("%s: header encodes to other bytes\n", at(file, packet).c_str());
        fail();
    }
}

void every_captured_packet_encodes_back_to_its_bytes(void**) {
    std::size_t packets = 0;
    std::set<command> seen;
    for (const auto& file : captures()) {
        for (const auto& packet : file.packets) {
            check_header_encodes_back(file, packet);
            support::with_payload_type(packet.head.code, [&](auto type) {
                using X = typename decltype(type)::type;
                if constexpr (std::is_same_v<X, support::no_payload>) {
                    assert_int_equal(packet.payload.size(), 0);
                } else if constexpr (std::is_same_v<X, support::bitmap_payload>) {
                    // See every_captured_bitmap_decodes_and_encodes_back.
                } else if constexpr (std::is_same_v<X, support::unused_payload>) {
                    fail();
                } else {
                    check_encodes_back<X>(file, packet);
                }
            });
            seen.insert(packet.head.code);
            ++packets;
        }
    }
    assert_int_equal(captures().size(), 39);
    assert_int_equal(packets, 8645);
    assert_int_equal(seen.size(), 44);
}

void captures_cover_all_versions_that_they_are_named_after(void**) {
    for (const auto& [name, version] :
         std::map<std::string, std::uint32_t>{{"hostpeer-v86", 86},
                                              {"hostpeer-v88", 88},
                                              {"hostpeer-v89", 89},
                                              {"hostpeer-v95", 95},
                                              {"hostpeer-v99", 99},
                                              {"hostpeer-v100", 100},
                                              {"hostpeer-source-v95", 95},
                                              {"hostpeer-source-v101", 101},
                                              {"initial-sync-c", 101}}) {
        assert_int_equal(named(name).packets.back().rules.version, version);
    }
    assert_int_equal(named("hostpeer-v101-nofeatures").packets.back().rules.features, 0);
}

// What one node has sent of its bitmap, and what is known for the comparison.
struct bitmap_of_node {
    std::optional<wire::bitmap_transfer> transfer;
    plain_bits bits{0};
    std::vector<std::pair<const drbd_packet*, std::uint64_t>> parts; // packet, bit it starts at
};

// Both nodes' bits are counted over the smaller disk.
std::uint64_t bits_from_sizes(const std::map<std::uint32_t, wire::sizes>& sizes) {
    std::uint64_t sectors = ~std::uint64_t{0};
    for (const auto& [node, value] : sizes) {
        for (const auto limit : {value.disk, value.user}) {
            sectors = limit != 0 ? std::min(sectors, limit) : sectors;
        }
    }
    return (sectors + 7) / 8;
}

void receive_plain(const capture& file, const drbd_packet& packet, bitmap_of_node& node) {
    auto& transfer = *node.transfer;
    const auto good = transfer.check_plain(packet.payload.size());
    if (!good) {
        print_error("%s: %s\n", at(file, packet).c_str(), good.error().what.c_str());
        fail();
    }
    for (std::size_t i = 0; i < packet.payload.size() / 8; ++i) {
        node.bits.words()[transfer.next_word() + i] |=
            load_little<std::uint64_t>(packet.payload.data() + i * 8);
    }
    transfer.passed_plain();
}

void receive_compressed(const capture& file, const drbd_packet& packet, bitmap_of_node& node) {
    auto& transfer = *node.transfer;
    auto decoder = transfer.decode_runs(packet.payload);
    assert_true(decoder.has_value());
    for (;;) {
        const auto run = decoder->next();
        if (!run) {
            print_error("%s: %s\n", at(file, packet).c_str(), run.error().what.c_str());
            fail();
        }
        if (!*run) {
            break;
        }
        for (std::uint64_t i = 0; (*run)->set && i < (*run)->count; ++i) {
            node.bits.set((*run)->first + i);
        }
    }
    transfer.passed_runs(decoder->next_bit());
}

// Walks the decoded bits as a sender does, and compares each packet.
void check_bitmap_encodes_back(const capture& file, bitmap_of_node& node) {
    for (const auto& [packet, start] : node.parts) {
        std::vector<std::byte> payload;
        if (packet->head.code == command::compressed_bitmap) {
            payload.resize(wire::lengths(command::compressed_bitmap, packet->rules).maximum);
            const auto part =
                wire::encode_runs(payload, start, node.transfer->bit_count(), node.bits);
            payload.resize(part.payload_bytes);
        } else {
            payload.resize(packet->payload.size());
            for (std::size_t i = 0; i < payload.size() / 8; ++i) {
                store_little(payload.data() + i * 8, node.bits.words()[start / 64 + i]);
            }
        }
        if (!std::ranges::equal(payload, packet->payload)) {
            print_error("%s: encodes to other bytes\n", at(file, *packet).c_str());
            fail();
        }
    }
}

// One exchange: the source's bitmap with the weight that its UUIDS announced, then the target's
// answer, which is the union.
struct bitmap_exchange {
    std::map<std::uint32_t, bitmap_of_node> nodes;
    std::uint32_t source = 0;
    std::size_t finished = 0;
};

constexpr std::uint32_t host_probe = 0x0a4d0001; // answers with zeros instead of the union

void check_exchange(const capture& file, bitmap_exchange& exchange, std::uint64_t announced) {
    const auto& source = exchange.nodes.at(exchange.source);
    if (exchange.source != host_probe && source.bits.weight() != announced) {
        print_error("%s: bitmap of %u bits, UUIDS said %u\n", file.name.c_str(),
                    static_cast<unsigned>(source.bits.weight()), static_cast<unsigned>(announced));
        fail();
    }
    for (auto& [node, bitmap] : exchange.nodes) {
        check_bitmap_encodes_back(file, bitmap);
        assert_true(node == host_probe || bitmap.bits.includes(source.bits));
    }
}

std::size_t check_bitmaps(const capture& file) {
    std::map<std::uint32_t, wire::sizes> sizes;
    std::map<std::uint32_t, wire::uuids> uuids;
    bitmap_exchange exchange;
    std::size_t exchanges = 0;
    for (const auto& packet : file.packets) {
        if (packet.head.code == command::sizes) {
            sizes[packet.from] = decoded<wire::sizes>(file, packet);
        } else if (packet.head.code == command::uuids) {
            uuids[packet.from] = decoded<wire::uuids>(file, packet);
        }
        const bool compressed = packet.head.code == command::compressed_bitmap;
        if (!compressed && packet.head.code != command::bitmap) {
            continue;
        }
        auto& node = exchange.nodes[packet.from];
        if (!node.transfer) {
            exchange.source = exchange.nodes.size() == 1 ? packet.from : exchange.source;
            node.transfer.emplace(bits_from_sizes(sizes), packet.rules);
            node.bits = plain_bits(node.transfer->bit_count());
        }
        node.parts.emplace_back(&packet, node.transfer->next_bit());
        (compressed ? receive_compressed : receive_plain)(file, packet, node);
        exchange.finished += node.transfer->done() ? 1 : 0;
        if (exchange.finished == 2) {
            check_exchange(file, exchange, uuids[exchange.source].bits_set);
            exchange = {};
            ++exchanges;
        }
    }
    assert_true(exchange.nodes.empty());
    return exchanges;
}

void every_captured_bitmap_decodes_and_encodes_back(void**) {
    std::size_t exchanges = 0;
    for (const auto& file : captures()) {
        exchanges += check_bitmaps(file);
    }
    assert_true(exchanges >= 21);
}

// What the two nodes have under way.
struct link_rules {
    struct write {
        std::uint32_t size = 0;
    };

    std::map<std::tuple<std::uint32_t, std::uint64_t, std::uint64_t>, write> writes;
    std::map<std::uint32_t, std::uint32_t> epoch;    // writes since the last barrier, by sender
    std::map<std::uint32_t, std::uint32_t> sequence; // last sequence number, by sender
    std::map<std::uint32_t, std::deque<std::pair<wire::barrier, std::uint32_t>>> barriers;
    bool conflicts = false; // an epoch with one is never acknowledged by the in-kernel DRBD
};

void note_write(const capture& file, const drbd_packet& packet, link_rules& link,
                std::uint64_t sector, std::uint64_t id, std::uint32_t sequence,
                std::uint32_t size) {
    link.writes[{packet.from, id, sector}] = {size};
    ++link.epoch[packet.from];
    if (sequence <= link.sequence[packet.from]) {
        print_error("%s: sequence %u after %u\n", at(file, packet).c_str(), sequence,
                    link.sequence[packet.from]);
        fail();
    }
    link.sequence[packet.from] = sequence;
}

void check_write_ack(const capture& file, const drbd_packet& packet, const link_rules& link) {
    const auto ack = decoded<wire::block_ack>(file, packet);
    const auto answers = [&](const auto& entry) {
        const auto& [from, id, sector] = entry.first;
        return from != packet.from && id == ack.block_id && sector == ack.sector &&
               entry.second.size == ack.size_bytes;
    };
    if (std::none_of(link.writes.begin(), link.writes.end(), answers)) {
        print_error("%s: acknowledges nothing that was written\n", at(file, packet).c_str());
        fail();
    }
}

void check_barrier_ack(const capture& file, const drbd_packet& packet, link_rules& link) {
    const auto ack = decoded<wire::barrier_ack>(file, packet);
    for (auto& [sender, waiting] : link.barriers) {
        if (sender == packet.from || waiting.empty()) {
            continue;
        }
        while (link.conflicts && waiting.size() > 1 && waiting.front().first.number != ack.number) {
            waiting.pop_front();
        }
        assert_true(waiting.front().first.number == ack.number);
        assert_int_equal(waiting.front().second, ack.set_size);
        waiting.pop_front();
        return;
    }
    print_error("%s: no barrier waits\n", at(file, packet).c_str());
    fail();
}

void check_rules(const capture& file, const drbd_packet& packet, link_rules& link) {
    switch (packet.head.code) {
    case command::initial_data:
        link = {};
        return;
    case command::data: {
        const auto head = decoded<wire::data_header>(file, packet);
        note_write(file, packet, link, head.sector, head.block_id, head.sequence,
                   static_cast<std::uint32_t>(packet.data().size()));
        return;
    }
    case command::trim:
    case command::zeroes: {
        const auto head = decoded<wire::discard>(file, packet);
        note_write(file, packet, link, head.sector, head.block_id, head.sequence, head.size_bytes);
        return;
    }
    case command::recv_ack:
    case command::write_ack:
        check_write_ack(file, packet, link);
        return;
    case command::superseded:
    case command::retry_write:
        link.conflicts = true;
        check_write_ack(file, packet, link);
        return;
    case command::barrier:
        link.barriers[packet.from].emplace_back(decoded<wire::barrier>(file, packet),
                                                link.epoch[packet.from]);
        link.epoch[packet.from] = 0;
        return;
    case command::barrier_ack:
        check_barrier_ack(file, packet, link);
        return;
    default:
        return;
    }
}

void captured_acks_barriers_and_sequences_fit_the_writes(void**) {
    for (const auto& file : captures()) {
        link_rules link;
        for (const auto& packet : file.packets) {
            check_rules(file, packet, link);
        }
    }
}

void digest_stands_between_fixed_part_and_data(void**) {
    std::size_t digests = 0;
    const auto& file = named("writes-integrity-crc32c");
    for (const auto& packet : file.packets) {
        if (packet.digest_bytes == 0) {
            continue;
        }
        assert_int_equal(packet.digest_bytes, 4);
        const auto digest = load_little<std::uint32_t>(packet.payload.data() + packet.fixed_bytes);
        assert_int_equal(digest, crc32c(packet.data()));
        ++digests;
    }
    assert_int_equal(digests, 40);
}

} // namespace

} // namespace lockstep

int main() {
    using namespace lockstep;
    const CMUnitTest tests[] = {
        cmocka_unit_test(every_captured_packet_encodes_back_to_its_bytes),
        cmocka_unit_test(captures_cover_all_versions_that_they_are_named_after),
        cmocka_unit_test(every_captured_bitmap_decodes_and_encodes_back),
        cmocka_unit_test(captured_acks_barriers_and_sequences_fit_the_writes),
        cmocka_unit_test(digest_stands_between_fixed_part_and_data),
    };
    return cmocka_run_group_tests_name("wire captures", tests, nullptr, nullptr);
}
