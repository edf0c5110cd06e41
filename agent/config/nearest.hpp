// What somebody who mistyped a word may have meant.
#pragma once

#include <span>
#include <string_view>

namespace lockstep::config {

// The one of `known` that is the fewest slips of a finger away: a letter left out, doubled, wrong,
// or two swapped. Empty if none is near enough to be worth a guess, or two are as near.
std::string_view nearest(std::string_view word, std::span<const std::string_view> known);

} // namespace lockstep::config
