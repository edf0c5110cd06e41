// Indented lines, as all dumps are made of; private to this room.
#pragma once

#include <string>
#include <string_view>

#include "agent/config/tree.hpp"

namespace lockstep::config {

class writer {
public:
    explicit writer(unsigned depth = 0) : depth_(depth) {}

    void line(std::string_view text);
    void open(std::string_view head); // "net" prints "net {"
    void close();
    // A name padded to column 24, one blank and a value of at least three characters.
    void pair(std::string_view name, std::string_view value);
    // A name padded to 16 characters whatever the indentation, one blank and the value.
    void wide_pair(std::string_view name, std::string_view value);
    void enter() { ++depth_; }
    void leave() { --depth_; }
    void blank() { text_ += '\n'; }
    unsigned depth() const { return depth_; }
    std::string take() { return std::move(text_); }

private:
    std::string text_;
    unsigned depth_;
};

// "ipv4 10.0.0.1:7788", "ipv6 [::1]:7788"
std::string address_text(const socket_address& address);

// "name {", an option a line, "}"; nothing without options.
void options_section(writer& out, std::string_view name, const option_list& list);
void option_lines(writer& out, const option_list& list);
// "# resource r0 on alpha: not ignored, not stacked"
std::string resource_comment(const resource& owner, const std::string& node_name);

// Startup options with those that are kept apart from the list.
option_list startup_options(const resource& owner);

} // namespace lockstep::config
