#include "agent/config/nearest.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace lockstep::config {

namespace {

constexpr std::size_t word_length_max = 64;

// Optimal string alignment distance, row by row.
std::size_t slips(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before(b.size() + 1);
    std::vector<std::size_t> last(b.size() + 1);
    std::vector<std::size_t> now(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) {
        last[j] = j;
    }
    for (std::size_t i = 1; i <= a.size(); ++i) {
        now[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t changed = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            now[j] = std::min({last[j] + 1, now[j - 1] + 1, changed});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                now[j] = std::min(now[j], before[j - 2] + 1);
            }
        }
        before.swap(last);
        last.swap(now);
    }
    return last[b.size()];
}

} // namespace

std::string_view nearest(std::string_view word, std::span<const std::string_view> known) {
    if (word.empty() || word.size() > word_length_max) {
        return {};
    }
    // A third of the word may be wrong; more is another word.
    std::size_t fewest = word.size() / 3 + 1;
    std::string_view found;
    for (const std::string_view candidate : known) {
        const std::size_t count = slips(word, candidate);
        if (count < fewest) {
            fewest = count;
            found = candidate;
        } else if (count == fewest) {
            found = {};
        }
    }
    return found;
}

} // namespace lockstep::config
