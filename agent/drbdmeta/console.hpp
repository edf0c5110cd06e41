// What the user sees and answers. Results go to standard output, remarks and questions to standard
// error, as the original tool has it, because scripts read the one and people the other.
#pragma once

#include <chrono>
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

    // How far a long piece of work is, on standard error and in place: see progress_text().
    class progress {
    public:
        explicit progress(const console& owner) : owner_(owner) {}
        ~progress();
        progress(const progress&) = delete;
        progress& operator=(const progress&) = delete;
        void show(unsigned long long bytes_done, unsigned long long bytes_in_all);

    private:
        const console& owner_;
        const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
        std::string last_;
        bool finished_ = false;
    };

private:
    bool forced_;
    int verbosity_;
};

// Ends the program with that exit code; `text` (may be empty when all is said) goes to standard
// error.
tl::unexpected<error> stop(int exit_code, std::string text = {});

// "37%"; after a second also how fast it goes and how long it will take: "37%, 118 MB/s, 0:04
// left".
std::string progress_text(unsigned long long bytes_done, unsigned long long bytes_in_all,
                          std::chrono::milliseconds elapsed);

// "67 KB", "512 MB": the size as drbdmeta shows it; four digits at most.
std::string pretty_size(unsigned long long kib);

} // namespace lockstep::drbdmeta
