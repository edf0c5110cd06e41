// What the user sees and answers. Results go to standard output, remarks and questions to standard
// error, as the original tool has it, because scripts read the one and people the other.
#pragma once

#include <string>
#include <string_view>

#include "kernel/base/error.hpp"

namespace lockstep::drbdmeta {

class console {
public:
    console(bool forced, int verbosity) : forced_(forced), verbosity_(verbosity) {}

    bool forced() const { return forced_; }
    int verbosity() const { return verbosity_; }

    void print(std::string_view text) const;  // standard output, as it is
    void remark(std::string_view text) const; // standard error, as it is

    // Asks for the word "yes". --force answers for the user; without a terminal nobody can, and
    // the answer is no.
    bool confirmed(std::string_view question) const;

    // A percentage on standard error that moves on in place; only for work that takes a while.
    class progress {
    public:
        explicit progress(const console& owner) : owner_(owner) {}
        ~progress();
        progress(const progress&) = delete;
        progress& operator=(const progress&) = delete;
        void show(unsigned long long done, unsigned long long total);

    private:
        const console& owner_;
        unsigned last_percent_ = 0;
    };

private:
    bool forced_;
    int verbosity_;
};

// Ends the program with that exit code; `text` (may be empty when all is said) goes to standard
// error.
tl::unexpected<error> stop(int exit_code, std::string text = {});

// "67 KB", "512 MB": the size as drbdmeta shows it; four digits at most.
std::string pretty_size(unsigned long long kib);

} // namespace lockstep::drbdmeta
