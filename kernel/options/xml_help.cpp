#include "kernel/options/xml_help.hpp"

#include <fmt/format.h>

namespace lockstep::options {

namespace {

std::string element(const option_row& row) {
    switch (row.kind) {
    case kind::number: {
        std::string out =
            fmt::format("\t<option name=\"{}\" type=\"numeric\">\n"
                        "\t\t<min>{}</min>\n\t\t<max>{}</max>\n"
                        "\t\t<default>{}</default>\n"
                        "\t\t<unit_prefix>{}</unit_prefix>\n",
                        row.name, row.min, row.max, number_of(row, row.default_text), row.scale);
        if (!row.unit.empty()) {
            out += fmt::format("\t\t<unit>{}</unit>\n", row.unit);
        }
        return out + "\t</option>\n";
    }
    case kind::boolean:
        return fmt::format("\t<option name=\"{}\" type=\"boolean\">\n"
                           "\t\t<default>{}</default>\n\t</option>\n",
                           row.name, row.default_text);
    case kind::word: {
        std::string out = fmt::format("\t<option name=\"{}\" type=\"handler\">\n", row.name);
        for (const word_value& entry : row.words) {
            out += fmt::format("\t\t<handler>{}</handler>\n", entry.word);
        }
        return out + "\t</option>\n";
    }
    case kind::text:
        break;
    }
    return fmt::format("\t<option name=\"{}\" type=\"string\">\n\t</option>\n", row.name);
}

} // namespace

std::string xml_help(section where, bool only_at_run_time) {
    std::string out;
    for (const option_row& row : rows(where)) {
        if (row.at_run_time || !only_at_run_time) {
            out += element(row);
        }
    }
    return out;
}

} // namespace lockstep::options
