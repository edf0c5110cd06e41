// Quoting for drbd.conf, XML and the shell.
#pragma once

#include <string>
#include <string_view>

namespace lockstep::config {

// As it is if it is one word of drbd.conf of at most 80 characters, else in double quotes.
std::string config_word(std::string_view text);

std::string xml_text(std::string_view text);

// A backslash before everything but letters, digits and %+-./:=@_
std::string shell_word(std::string_view text);

} // namespace lockstep::config
