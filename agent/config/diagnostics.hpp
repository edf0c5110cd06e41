// Places in configuration files, and what was found wrong there.
#pragma once

#include <string>
#include <vector>

namespace lockstep::config {

// A file that was read: the name that messages use (as it was given, or as a glob expanded it)
// and the absolute path that `dump` prints.
struct source_file {
    std::string name;
    std::string path;
};

// `file` lives as long as the document that was parsed from it; null stands for no place.
struct position {
    const source_file* file = nullptr;
    int line = 0;

    std::string text() const;      // "name:line"
    std::string path_text() const; // "/absolute/path:line"
};

enum class severity : unsigned char { warning, error };

struct diagnostic {
    config::severity severity;
    std::string text; // complete, starts with the place where there is one; no line end
};

// What a run collects. Errors make the configuration invalid (drbdadm's exit code 10); parsing
// goes on after those that do not disturb the grammar, so that one run shows several.
class diagnostics {
public:
    void warn(std::string text);
    void error(std::string text);
    void warn(const position& at, const std::string& text);
    void error(const position& at, const std::string& text);

    // How something is written today that is accepted as it is; only for who asks (`hints`).
    void hint(const position& at, const std::string& text);

    bool valid() const { return valid_; }
    const std::vector<diagnostic>& all() const { return all_; }
    std::string text() const; // one message a line
    const std::vector<std::string>& hints() const { return hints_; }

private:
    std::vector<diagnostic> all_;
    std::vector<std::string> hints_;
    bool valid_ = true;
};

} // namespace lockstep::config
