#include "agent/config/diagnostics.hpp"

#include <fmt/format.h>

namespace lockstep::config {

std::string position::text() const {
    return file == nullptr ? std::string{} : fmt::format("{}:{}", file->name, line);
}

std::string position::path_text() const {
    return file == nullptr ? std::string{} : fmt::format("{}:{}", file->path, line);
}

void diagnostics::warn(std::string text) {
    all_.push_back({severity::warning, std::move(text)});
}

void diagnostics::error(std::string text) {
    valid_ = false;
    all_.push_back({severity::error, std::move(text)});
}

void diagnostics::warn(const position& at, const std::string& text) {
    warn(fmt::format("{}: {}", at.text(), text));
}

void diagnostics::error(const position& at, const std::string& text) {
    error(fmt::format("{}: {}", at.text(), text));
}

void diagnostics::hint(const position& at, const std::string& text) {
    hints_.push_back(fmt::format("{}: {}", at.text(), text));
}

std::string diagnostics::text() const {
    std::string out;
    for (const diagnostic& entry : all_) {
        out += entry.text;
        out += '\n';
    }
    return out;
}

} // namespace lockstep::config
