// Prints the table of options, a line each: section, name, what becomes of it.
#include <cstdio>
#include <string>

#include "kernel/options/table.hpp"

int main() {
    using namespace lockstep::options;
    for (const section where : {section::disk, section::net, section::resource}) {
        for (const option_row& row : rows(where)) {
            const char* const what = row.effect == effect::acts               ? "acts"
                                     : row.effect == effect::meaningless_here ? "no-effect"
                                                                              : "refused";
            std::printf("%s\t%s\t%s\n", std::string(section_name(where)).c_str(),
                        std::string(row.name).c_str(), what);
        }
    }
}
