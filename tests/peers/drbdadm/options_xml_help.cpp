// Prints our option table as `drbdsetup xml-help attach|connect|new-resource|disk-options|…` would.
#include <cstdio>
#include <string_view>

#include "kernel/options/xml_help.hpp"

int main(int argc, char** argv) {
    using namespace lockstep::options;
    struct command {
        std::string_view name;
        section where;
        bool only_at_run_time;
    };
    constexpr command commands[] = {
        {"attach", section::disk, false},           {"disk-options", section::disk, true},
        {"connect", section::net, false},           {"net-options", section::net, true},
        {"new-resource", section::resource, false}, {"resource-options", section::resource, true},
    };
    for (const command& entry : commands) {
        if (argc == 2 && entry.name == argv[1]) {
            std::fputs(xml_help(entry.where, entry.only_at_run_time).c_str(), stdout);
            return 0;
        }
    }
    return 3;
}
