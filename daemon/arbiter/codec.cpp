#include "daemon/arbiter/codec.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "kernel/base/crc32c.hpp"

namespace lockstep::arbiter {

namespace {

constexpr std::array<std::byte, 4> magic = {std::byte{'L'}, std::byte{'S'}, std::byte{'T'},
                                            std::byte{'P'}};
constexpr std::size_t head_bytes = 12;

// --- the two directions: a field is named once, in fields() below, for both ---

class writer {
public:
    template <class Integer>
    void number(Integer value) {
        std::array<std::byte, sizeof(Integer)> bytes{};
        store_big(bytes.data(), value);
        out_.insert(out_.end(), bytes.begin(), bytes.end());
    }
    void flag(bool value) { number(static_cast<std::uint8_t>(value)); }
    void text(const std::string& value) {
        number(static_cast<std::uint16_t>(value.size()));
        const auto bytes = std::as_bytes(std::span(value));
        out_.insert(out_.end(), bytes.begin(), bytes.end());
    }
    template <class Items, class Each>
    void list(const Items& items, Each each) {
        number(static_cast<std::uint32_t>(items.size()));
        for (const auto& item : items) {
            each(item);
        }
    }
    std::vector<std::byte> take() { return std::move(out_); }

private:
    std::vector<std::byte> out_;
};

class reader {
public:
    explicit reader(const_byte_span bytes) : from_(bytes) {}

    template <class Integer>
    void number(Integer& value) {
        value = from_.take<Integer>();
    }
    void flag(bool& value) {
        const auto taken = from_.take<std::uint8_t>();
        value = taken == 1;
        good_ &= taken <= 1;
    }
    void text(std::string& value) {
        const auto size = from_.take<std::uint16_t>();
        good_ &= size <= name_bytes_max;
        const auto bytes = good_ ? from_.take_bytes(size) : const_byte_span{};
        value.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
    // Calls `each` as often as the list says there are entries.
    template <class Each>
    void list(Each each) {
        const auto count = from_.take<std::uint32_t>();
        good_ &= count <= entries_max;
        for (std::uint32_t i = 0; i < count && good(); ++i) {
            each();
        }
    }
    void refuse() { good_ = false; }
    bool good() const { return good_ && from_.ok(); }
    bool done() const { return good() && from_.remaining() == 0; }

private:
    byte_reader from_;
    bool good_ = true;
};

void fields(writer& to, const vote_list& value) {
    to.list(value, [&](const auto& each) {
        to.number(each.first);
        to.number(each.second);
    });
}
void fields(reader& from, vote_list& value) {
    from.list([&] {
        node_id node = 0;
        std::uint32_t votes = 0;
        from.number(node);
        from.number(votes);
        value[node] = votes;
    });
}

void fields(writer& to, const node_set& value) {
    to.list(value, [&](node_id each) { to.number(each); });
}
void fields(reader& from, node_set& value) {
    from.list([&] {
        node_id node = 0;
        from.number(node);
        value.insert(node);
    });
}

template <class Codec, class Version>
void version_fields(Codec& with, Version& value) {
    with.number(value.view);
    with.number(value.counter);
}

template <class Codec, class Head>
void head_fields(Codec& with, Head& value) {
    version_fields(with, value.at);
    with.number(value.incarnation);
    with.number(value.lineage);
}

template <class Codec, class Record>
void cluster_fields(Codec& with, Record& value) {
    head_fields(with, value);
    fields(with, value.nodes);
    fields(with, value.before);
}

void primary(writer& to, const std::optional<node_id>& value) {
    to.flag(value.has_value());
    to.number(value.value_or(0));
}
void primary(reader& from, std::optional<node_id>& value) {
    bool there = false;
    node_id node = 0;
    from.flag(there);
    from.number(node);
    value = there ? std::optional(node) : std::nullopt;
}

template <class Codec, class Record>
void resource_fields(Codec& with, Record& value) {
    head_fields(with, value);
    with.flag(value.removed);
    with.number(value.epoch);
    primary(with, value.primary);
    fields(with, value.in_sync);
}

void resources(writer& to, const std::map<std::string, resource_record>& value) {
    to.list(value, [&](const auto& each) {
        to.text(each.first);
        resource_fields(to, each.second);
    });
}
void resources(reader& from, std::map<std::string, resource_record>& value) {
    from.list([&] {
        std::string name;
        from.text(name);
        resource_fields(from, value[name]);
    });
}

template <class Codec, class State>
void state_fields(Codec& with, State& value) {
    with.number(value.promised);
    with.flag(value.votes);
    cluster_fields(with, value.cluster);
    resources(with, value.resources);
}

void nonces(writer& to, const std::map<node_id, std::uint64_t>& value) {
    to.list(value, [&](const auto& each) {
        to.number(each.first);
        to.number(each.second);
    });
}
void nonces(reader& from, std::map<node_id, std::uint64_t>& value) {
    from.list([&] {
        node_id node = 0;
        std::uint64_t nonce = 0;
        from.number(node);
        from.number(nonce);
        value[node] = nonce;
    });
}

void entries(writer& to, const std::vector<acknowledged::entry>& value) {
    to.list(value, [&](const acknowledged::entry& each) {
        to.flag(each.cluster);
        to.text(each.resource);
        to.number(each.counter);
        to.number(each.lineage);
    });
}
void entries(reader& from, std::vector<acknowledged::entry>& value) {
    from.list([&] {
        acknowledged::entry& each = value.emplace_back();
        from.flag(each.cluster);
        from.text(each.resource);
        from.number(each.counter);
        from.number(each.lineage);
    });
}

// --- one overload for each kind of change and of message ---

template <class Codec, class Value>
void change_fields(Codec& with, Value& value) {
    using kind = std::remove_const_t<Value>;
    if constexpr (std::is_same_v<kind, create_resource>) {
        with.number(value.incarnation);
    } else if constexpr (std::is_same_v<kind, found_set>) {
        with.number(value.member);
    } else if constexpr (std::is_same_v<kind, leave_set> || std::is_same_v<kind, join_set>) {
        with.number(value.node);
    } else if constexpr (std::is_same_v<kind, claim>) {
        with.flag(value.alone);
    } else if constexpr (std::is_same_v<kind, set_nodes>) {
        fields(with, value.nodes);
    }
}

// The alternative of a variant is told by its index, one byte.
template <class Variant, class Fields>
void alternative(writer& to, const Variant& value, Fields write) {
    to.number(static_cast<std::uint8_t>(value.index()));
    std::visit(write, value);
}

template <class Variant, class Fields, std::size_t... Index>
void emplace(Variant& value, std::size_t index, Fields read, std::index_sequence<Index...>) {
    ((index == Index ? read(value.template emplace<Index>()) : void()), ...);
}

template <class Variant, class Fields>
void alternative(reader& from, Variant& value, Fields read) {
    std::uint8_t index = 0;
    from.number(index);
    if (index >= std::variant_size_v<Variant>) {
        from.refuse();
        return;
    }
    emplace(value, index, read, std::make_index_sequence<std::variant_size_v<Variant>>());
}

template <class Codec, class Value>
void message_fields(Codec& with, Value& value) {
    using kind = std::remove_const_t<Value>;
    if constexpr (std::is_same_v<kind, present>) {
        with.number(value.nonce);
    } else if constexpr (std::is_same_v<kind, hello>) {
        nonces(with, value.nonces);
        state_fields(with, value.state);
        fields(with, value.excused);
        with.flag(value.steady);
    } else if constexpr (std::is_same_v<kind, promised> || std::is_same_v<kind, votes_again>) {
        with.number(value.view);
    } else if constexpr (std::is_same_v<kind, acknowledged>) {
        with.number(value.view);
        entries(with, value.records);
    } else if constexpr (std::is_same_v<kind, excuse>) {
        with.number(value.node);
    } else if constexpr (std::is_same_v<kind, outdate_request> ||
                         std::is_same_v<kind, outdate_confirmed>) {
        with.text(value.resource);
        version_fields(with, value.at);
    } else {
        static_assert(std::is_same_v<kind, proposal>);
        version_fields(with, value.base);
        with.flag(value.cluster);
        with.text(value.resource);
        alternative(with, value.what, [&](auto& each) { change_fields(with, each); });
    }
}

// --- the frame ---

std::vector<std::byte> framed(char what, std::vector<std::byte> body) {
    std::vector<std::byte> out(head_bytes + body.size() + 4);
    byte_writer to(out);
    to.put_bytes(magic);
    to.put(static_cast<std::uint8_t>(what));
    to.put(codec_format);
    to.put(std::uint16_t{0});
    to.put(static_cast<std::uint32_t>(body.size()));
    to.put_bytes(body);
    to.put(crc32c(const_byte_span(out).first(head_bytes + body.size())));
    return out;
}

result<const_byte_span> unframed(char what, const_byte_span bytes) {
    const char* const name = what == 'M' ? "message of a daemon" : "state of the arbiter";
    if (bytes.size() < head_bytes + 4) {
        return fail(
            fmt::format("{}: {} bytes, at least {} expected", name, bytes.size(), head_bytes + 4));
    }
    byte_reader from(bytes);
    const auto begins = from.take_bytes(magic.size());
    const auto kind = from.take<std::uint8_t>();
    if (!std::equal(begins.begin(), begins.end(), magic.begin()) ||
        kind != static_cast<std::uint8_t>(what)) {
        return fail(fmt::format("{}: does not begin as one", name));
    }
    const auto format = from.take<std::uint8_t>();
    if (format != codec_format || from.take<std::uint16_t>() != 0) {
        return fail(
            fmt::format("{}: format {}, this version knows {}", name, format, codec_format));
    }
    const std::size_t body = from.take<std::uint32_t>();
    if (body != bytes.size() - head_bytes - 4) {
        return fail(fmt::format("{}: {} bytes of content announced, {} there", name, body,
                                bytes.size() - head_bytes - 4));
    }
    const auto content = from.take_bytes(body);
    if (from.take<std::uint32_t>() != crc32c(bytes.first(head_bytes + body))) {
        return fail(fmt::format("{}: checksum does not match", name));
    }
    return content;
}

} // namespace

std::vector<std::byte> encode(const message& what) {
    writer to;
    alternative(to, what, [&](const auto& each) { message_fields(to, each); });
    return framed('M', to.take());
}

result<message> decode_message(const_byte_span bytes) {
    const auto body = unframed('M', bytes);
    if (!body) {
        return tl::unexpected(body.error());
    }
    reader from(*body);
    message out;
    alternative(from, out, [&](auto& each) { message_fields(from, each); });
    if (!from.done()) {
        return fail(fmt::format("message of a daemon: kind {} does not end where its bytes do, or "
                                "holds what cannot be",
                                out.index()));
    }
    return out;
}

std::vector<std::byte> encode(const ledger_state& state) {
    writer to;
    state_fields(to, state);
    return framed('S', to.take());
}

result<ledger_state> decode_state(const_byte_span bytes) {
    const auto body = unframed('S', bytes);
    if (!body) {
        return tl::unexpected(body.error());
    }
    reader from(*body);
    ledger_state out;
    state_fields(from, out);
    if (!from.done()) {
        return fail(
            "state of the arbiter: it does not end where its bytes do, or holds what cannot "
            "be");
    }
    return out;
}

} // namespace lockstep::arbiter
