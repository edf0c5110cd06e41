// Reads drbd.conf files into a document.
//
// The language is that of DRBD 8.4, which includes 8.3's (syncer {}, no-… flags, protocol outside
// of net {}), and of DRBD 9 what a resource of two nodes can use: node-id, connection {} with
// hosts or one path, connection-mesh {}, its options. Everything is brought to the form of 8.4.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "agent/config/diagnostics.hpp"
#include "agent/config/tree.hpp"
#include "kernel/base/error.hpp"

namespace lockstep::config {

struct parse_state;

class reader {
public:
    // Both must outlive the reader.
    reader(document& into, diagnostics& found);
    ~reader();
    reader(const reader&) = delete;
    reader& operator=(const reader&) = delete;

    // Reads a file and what it includes; "-" is standard input. A second call adds to the same
    // document (`--config-to-test`). Fails, with drbdadm's exit code, only if the file itself
    // cannot be read; what is wrong inside goes to the diagnostics.
    result<> read_file(const std::string& name);

    // The same for text in memory; `path` is what messages and `dump` call it, and includes are
    // relative to its directory.
    void read_text(const std::string& name, const std::string& path, std::string_view text);

    // A file that is not read where a later one includes it (`--config-to-exclude`).
    void exclude(const std::string& name);

    // Where an address was given, for messages.
    position place_of_address(const socket_address& address) const;

private:
    std::unique_ptr<parse_state> state_;
};

// Parses what `drbdsetup show` printed, of 8.4 or 9, into one resource a block. Nothing is checked
// for uniqueness or completeness. Errors go to `found`.
std::unique_ptr<document> parse_show(const std::string& name, std::string_view text,
                                     diagnostics& found);

// The absolute form of a path whose last component need not exist; symbolic links in the
// directories are resolved.
std::string absolute_path(const std::string& path);

} // namespace lockstep::config
