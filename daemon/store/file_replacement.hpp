// A file in a directory, replaced as a whole: who reads it sees what it held before or all of the
// new content, whatever dies meanwhile.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kernel/base/bytes.hpp"
#include "kernel/base/error.hpp"

namespace lockstep::daemon {

// Durable when it returns. `directory` is an open one, `place` what messages call it.
result<> replace_file(int directory, const std::string& place, const std::string& name,
                      const_byte_span content);
// None if there is no such file; one of more than `most` bytes is an error.
result<std::optional<std::vector<std::byte>>> read_file(int directory, const std::string& place,
                                                        const std::string& name, std::size_t most);

} // namespace lockstep::daemon
