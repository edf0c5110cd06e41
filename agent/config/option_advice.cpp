#include "agent/config/option_advice.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include <fmt/format.h>

#include "agent/config/nearest.hpp"
#include "agent/config/words.hpp"

namespace lockstep::config {

namespace {

constexpr std::array all_sections{&disk_section,    &net_section,      &resource_options_section,
                                  &startup_section, &handlers_section, &proxy_options_section};

bool takes(const option_section& section, const reserved_word& row) {
    const bool has_value =
        std::find(section.values.begin(), section.values.end(), row.id) != section.values.end();
    return has_value || row.id == section.flag || row.id == section.no_flag ||
           row.id == section.delegate || (section.proxy_words && row.in_proxy);
}

bool takes(const option_section& section, std::string_view word) {
    const reserved_word* row = find_word(word);
    return (row != nullptr && takes(section, *row)) ||
           (section.nine && find_word_of_9(*section.nine, word) != nullptr);
}

std::string home_of(std::string_view word) {
    for (const option_section* section : all_sections) {
        if (takes(*section, word)) {
            return fmt::format("'{}' belongs into {} {{ }}", word, section->name);
        }
    }
    return {};
}

std::string advice(std::string_view word, std::span<const std::string_view> known) {
    if (std::string home = home_of(word); !home.empty()) {
        return home;
    }
    const std::string_view meant = nearest(word, known);
    return meant.empty() ? std::string{} : fmt::format("did you mean '{}'?", meant);
}

} // namespace

std::string advice_on(const option_section& section, std::string_view word) {
    std::vector<std::string_view> known;
    for (const reserved_word& row : reserved_words()) {
        if (takes(section, row)) {
            known.push_back(row.text);
        }
    }
    if (section.nine) {
        for (const word_of_9& row : words_of_9(*section.nine)) {
            known.push_back(row.text);
        }
    }
    return advice(word, known);
}

std::string advice_on(std::string_view keywords, std::string_view word) {
    constexpr std::string_view between = " | ";
    std::vector<std::string_view> known;
    while (!keywords.empty()) {
        const std::size_t end = std::min(keywords.find(between), keywords.size());
        known.push_back(keywords.substr(0, end));
        keywords.remove_prefix(std::min(end + between.size(), keywords.size()));
    }
    return advice(word, known);
}

} // namespace lockstep::config
