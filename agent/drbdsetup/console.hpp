// Where a command's words go. The program writes to its standard output and error; tests keep
// them.
#pragma once

#include <cstddef>
#include <string_view>

namespace lockstep::drbdsetup {

class console {
public:
    virtual ~console() = default;

    // False if nobody reads any more: a command that goes on for ever ends then.
    virtual bool print(std::string_view text) = 0;
    virtual void complain(std::string_view text) = 0;

    virtual bool output_is_terminal() const = 0;
    virtual bool error_is_terminal() const = 0;
    // Of the terminal; 0 if lines may have any length.
    virtual std::size_t columns() const = 0;
    // To notice that the reader of standard output has gone; -1 if it cannot go.
    virtual int output_descriptor() const = 0;
    // Standard input, for events2 --poll; -1 if there is none.
    virtual int input_descriptor() const = 0;
};

// The process's own.
console& standard_console();

} // namespace lockstep::drbdsetup
