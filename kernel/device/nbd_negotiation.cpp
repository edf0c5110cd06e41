#include "kernel/device/nbd_negotiation.hpp"

#include <algorithm>
#include <array>
#include <string>

namespace lockstep::device {

namespace {

// An option longer than this is no mistake that is worth waiting for the end of.
constexpr std::uint32_t skip_max = 1U << 20;

std::string_view as_text(const_byte_span bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

const_byte_span as_bytes(std::string_view text) {
    return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

} // namespace

nbd_negotiation::nbd_negotiation(nbd_exports& exports) : exports_(&exports), output_(18) {
    byte_writer greeting{output_};
    greeting.put(nbd::server_magic);
    greeting.put(nbd::option_magic);
    greeting.put<std::uint16_t>(nbd::flag_fixed_newstyle | nbd::flag_no_zeroes);
}

std::size_t nbd_negotiation::receive(const_byte_span bytes) {
    std::size_t used = 0;
    while (output_.size() < output_bytes_max) {
        const auto rest = bytes.subspan(used);
        std::size_t step = 0;
        if (phase_ == phase::greeting) {
            step = receive_flags(rest);
        } else if (phase_ == phase::option) {
            step = receive_option(rest);
        } else if (phase_ == phase::skipping) {
            step = std::min<std::size_t>(skip_, rest.size());
            skip_ -= static_cast<std::uint32_t>(step);
            if (skip_ == 0) {
                phase_ = phase::option;
            }
        } else if (phase_ == phase::ended) {
            return bytes.size();
        }
        used += step;
        if (step == 0) {
            break;
        }
    }
    return used;
}

std::size_t nbd_negotiation::receive_flags(const_byte_span bytes) {
    if (bytes.size() < 4) {
        return 0;
    }
    const auto flags = load_big<std::uint32_t>(bytes.data());
    constexpr std::uint32_t known = nbd::flag_fixed_newstyle | nbd::flag_no_zeroes;
    if ((flags & ~known) != 0) {
        phase_ = phase::ended;
    } else {
        no_zeroes_ = (flags & nbd::flag_no_zeroes) != 0;
        phase_ = phase::option;
    }
    return 4;
}

std::size_t nbd_negotiation::receive_option(const_byte_span bytes) {
    if (bytes.size() < nbd::option_header_bytes) {
        return 0;
    }
    byte_reader header{bytes};
    const auto magic = header.take<std::uint64_t>();
    const auto which = static_cast<nbd::option>(header.take<std::uint32_t>());
    const auto length = header.take<std::uint32_t>();
    if (magic != nbd::option_magic) {
        phase_ = phase::ended;
        return nbd::option_header_bytes;
    }
    if (nbd::option_header_bytes + std::size_t{length} > option_bytes_max) {
        if (length > skip_max || which == nbd::option::export_name) {
            phase_ = phase::ended;
        } else {
            refuse(which, nbd::option_reply::error_too_big, "the option is too long");
            phase_ = phase::skipping;
            skip_ = length;
        }
        return nbd::option_header_bytes;
    }
    if (header.remaining() < length) {
        return 0;
    }
    handle(which, header.take_bytes(length));
    return nbd::option_header_bytes + std::size_t{length};
}

void nbd_negotiation::handle(nbd::option which, const_byte_span data) {
    switch (which) {
    case nbd::option::export_name:
        export_name(data);
        return;
    case nbd::option::abort:
        reply(which, nbd::option_reply::ack);
        phase_ = phase::ended;
        return;
    case nbd::option::list:
        list(data);
        return;
    case nbd::option::info:
    case nbd::option::go:
        info_or_go(which, data);
        return;
    case nbd::option::starttls:
        refuse(which, nbd::option_reply::error_unsupported,
               "this server has no TLS: use its unix socket, or a tunnel");
        return;
    }
    refuse(which, nbd::option_reply::error_unsupported, "this server does not know the option");
}

void nbd_negotiation::list(const_byte_span data) {
    if (!data.empty()) {
        refuse(nbd::option::list, nbd::option_reply::error_invalid, "LIST takes no data");
        return;
    }
    for (std::size_t i = 0; i < exports_->count(); ++i) {
        const std::string name = exports_->name(exports_->at(i));
        std::vector<std::byte> entry(4 + name.size());
        byte_writer writer{entry};
        writer.put(static_cast<std::uint32_t>(name.size()));
        writer.put_bytes(as_bytes(name));
        reply(nbd::option::list, nbd::option_reply::server, entry);
    }
    reply(nbd::option::list, nbd::option_reply::ack);
}

// The old way into the transmission: no error can be told, so an unknown name ends the connection.
void nbd_negotiation::export_name(const_byte_span data) {
    nbd_export* found = data.size() > nbd::name_bytes_max ? nullptr : exports_->find(as_text(data));
    if (found == nullptr) {
        phase_ = phase::ended;
        return;
    }
    std::array<std::byte, 134> answer = {};
    byte_writer writer{answer};
    writer.put(found->properties.size_bytes);
    writer.put(found->transmission_flags());
    const std::size_t size = no_zeroes_ ? writer.written() : answer.size();
    output_.insert(output_.end(), answer.begin(), answer.begin() + static_cast<long>(size));
    chosen_ = found;
    phase_ = phase::transmission;
}

void nbd_negotiation::info_or_go(nbd::option which, const_byte_span data) {
    byte_reader reader{data};
    const auto name_bytes = reader.take<std::uint32_t>();
    const std::string_view name = as_text(reader.take_bytes(name_bytes));
    const auto count = reader.take<std::uint16_t>();
    bool want_name = false;
    bool want_description = false;
    for (std::uint16_t i = 0; i < count && reader.ok(); ++i) {
        const auto wanted = static_cast<nbd::information>(reader.take<std::uint16_t>());
        want_name = want_name || wanted == nbd::information::name;
        want_description = want_description || wanted == nbd::information::description;
    }
    if (!reader.ok() || reader.remaining() != 0 || name.size() > nbd::name_bytes_max) {
        refuse(which, nbd::option_reply::error_invalid,
               "the option's lengths contradict each other");
        return;
    }
    nbd_export* found = exports_->find(name);
    if (found == nullptr) {
        refuse(which, nbd::option_reply::error_unknown,
               "no such export; LIST tells which there are, of those whose resource is Primary");
        return;
    }
    describe(which, *found, want_name, want_description);
    reply(which, nbd::option_reply::ack);
    if (which == nbd::option::go) {
        chosen_ = found;
        phase_ = phase::transmission;
    }
}

// The block sizes are sent asked or unasked: requests must be multiples of the logical block.
void nbd_negotiation::describe(nbd::option which, const nbd_export& what, bool want_name,
                               bool want_description) {
    std::array<std::byte, 12> size = {};
    byte_writer size_writer{size};
    size_writer.put(static_cast<std::uint16_t>(nbd::information::export_size));
    size_writer.put(what.properties.size_bytes);
    size_writer.put(what.transmission_flags());
    reply(which, nbd::option_reply::info, size);

    std::array<std::byte, 14> blocks = {};
    byte_writer blocks_writer{blocks};
    blocks_writer.put(static_cast<std::uint16_t>(nbd::information::block_size));
    blocks_writer.put(what.properties.logical_block_bytes);
    blocks_writer.put(std::uint32_t{4096});
    blocks_writer.put(replica::max_io_bytes);
    reply(which, nbd::option_reply::info, blocks);

    const auto text = [&](nbd::information kind, std::string_view value) {
        std::vector<std::byte> entry(2 + value.size());
        byte_writer writer{entry};
        writer.put(static_cast<std::uint16_t>(kind));
        writer.put_bytes(as_bytes(value));
        reply(which, nbd::option_reply::info, entry);
    };
    if (want_name) {
        text(nbd::information::name, exports_->name(what));
    }
    if (want_description) {
        text(nbd::information::description,
             "replicated volume, minor " + std::to_string(what.properties.minor));
    }
}

void nbd_negotiation::reply(nbd::option to, nbd::option_reply type, const_byte_span data) {
    const std::size_t before = output_.size();
    output_.resize(before + nbd::option_reply_header_bytes + data.size());
    byte_writer writer{byte_span{output_}.subspan(before)};
    writer.put(nbd::option_reply_magic);
    writer.put(static_cast<std::uint32_t>(to));
    writer.put(static_cast<std::uint32_t>(type));
    writer.put(static_cast<std::uint32_t>(data.size()));
    writer.put_bytes(data);
}

void nbd_negotiation::refuse(nbd::option to, nbd::option_reply type, std::string_view why) {
    reply(to, type, as_bytes(why));
}

} // namespace lockstep::device
