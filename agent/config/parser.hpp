// The recursive-descent parser behind reader.hpp; private to this room.
#pragma once

#include <initializer_list>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/config/lexer.hpp"
#include "agent/config/reader.hpp"
#include "agent/config/tree.hpp"
#include "agent/config/unique.hpp"
#include "agent/config/words.hpp"
#include "kernel/options/table.hpp"

namespace lockstep::config {

// What all files of one document share.
struct parse_state {
    document& doc;
    diagnostics& diag;
    bool from_show = false; // the text is output of drbdsetup
    unique_register everywhere;
    unique_register in_resource;
    std::set<std::string> seen; // absolute paths of the files read
    int depth = 0;              // of includes
    // Set by an error after which the rest means nothing: every token from then on is the end.
    bool stopped = false;
};

// Which words a section of options takes.
struct option_section {
    std::string_view name; // for messages
    std::span<const key> values;
    std::optional<key> flag;
    std::optional<key> no_flag;
    std::optional<key> delegate;
    std::optional<section_9> nine;
    bool proxy_words = false;
};

class parser {
public:
    parser(parse_state& state, const source_file& file, std::string_view text)
        : state_(state), file_(file), lexer_(text) {}

    void parse_top_level();
    // One `resource NAME { … }` of `drbdsetup show`; false at the end of the text.
    bool parse_shown_resource();

private:
    // parser.cpp: tokens and errors
    const token& next();
    key word() const; // of the current token
    bool is_string() const;
    void expected(std::string_view what, const std::string& advice = {});
    void unreadable(); // the current token is a broken string
    void stop(const position& at, const std::string& text);
    void expect(char punctuation);
    std::string expect_string();
    std::string expect_number();
    std::string expect_value(); // string or number
    std::vector<std::string> host_names(char delimiter);
    position here() const { return {&file_, lexer_.line()}; }
    unsigned bounded(const std::string& text, std::string_view name, unsigned min, unsigned max);
    void claim(unique_register& where, const std::string& what, const std::string& name);
    void claim_once(const std::string& what, const std::string& name);
    bool unknown(std::string_view what); // expected() "A | B" with advice, then false

    // parser.cpp: the top level
    void parse_global();
    bool parse_global_statement();
    void parse_usage_count();
    void parse_skip();
    void parse_include();
    void include_file(const std::string& name, bool by_pattern);
    void parse_template_file(resource& owner);
    void parse_template(resource& owner); // the file's own text
    void parse_new_resource();
    bool parse_required_version();

    // parse_options.cpp
    option_list parse_option_block(const option_section& section, resource& owner);
    bool parse_option(const option_section& section, resource& owner, option_list& into);
    bool unknown_option(const option_section& section); // expected() with advice, then false
    void parse_flag(option& row);
    bool parse_word_of_9(const option_section& section, option_list& into);
    bool parse_delegate(resource& owner);
    void parse_plugins(option_list& into);
    void parse_syncer(resource& owner);
    void parse_syncer_option(resource& owner, const reserved_word& row);
    option parse_valued(const reserved_word& row);
    void check_value(option& row, key kind);
    void check_table_value(option& row, key kind);
    void warn_if_meaningless(const option& row, key kind);
    void warn_if_clamped(const option& row, const options::option_row& known);

    // parse_host.cpp
    socket_address parse_plain_address();
    socket_address parse_address(const std::vector<std::string>& on_hosts);
    void parse_proxy(host_section& host);
    void parse_device(const std::vector<std::string>& on_hosts, volume& into);
    void parse_device_name(volume& into);
    void parse_meta_disk(volume& into);
    void check_device_name(const volume& row);
    bool parse_volume_statement(const std::vector<std::string>& on_hosts, volume& into);
    void parse_disk_statement(volume& into);
    volume parse_volume(const std::vector<std::string>& on_hosts, bool stacked);
    unsigned parse_volume_number();
    volume& implicit_volume(std::vector<volume>& all);
    void add_volume(std::vector<volume>& all, volume row, const std::string& where);
    void parse_host_body(resource& owner, host_section& host);
    bool parse_host_statement(resource& owner, host_section& host);
    void parse_host_address(const resource& owner, host_section& host, bool alternate);
    void parse_on(resource& owner);
    void parse_shown_host(resource& owner, bool remote);
    void parse_floating(resource& owner);
    void parse_stacked(resource& owner);
    bool parse_stacked_statement(resource& owner, host_section& host);
    host_section& add_host(resource& owner, std::vector<std::string> names);

    // parse_resource.cpp
    std::unique_ptr<resource> parse_resource(std::string name, bool is_common);
    bool parse_resource_statement(resource& owner, bool is_common);
    bool parse_resource_section(resource& owner);
    void parse_resource_disk(resource& owner);
    void parse_protocol(resource& owner);
    void finish_resource(resource& owner, int start_line, bool is_common);
    void inherit_volumes(const resource& owner, host_section& host);
    void apply_peer_options(resource& owner);
    void apply_connection_hosts(resource& owner);
    void apply_connection(resource& owner);
    void check_complete(const resource& owner, const host_section& host);
    void missing(const resource& owner, const host_section& host, std::string_view word);
    void compare_volumes(const resource& owner);
    void compare_node_ids(const resource& owner);

    // parse_nine.cpp
    bool parse_statement_of_9(resource& owner);
    void parse_connection(resource& owner);
    bool parse_connection_statement(resource& owner, unsigned& hosts, unsigned& paths);
    void parse_connection_options(const option_section& section);
    bool parse_path_statement(resource& owner, unsigned& hosts);
    void parse_connection_host();
    void parse_connection_volume();
    void parse_mesh(resource& owner);
    void merge(option_list& into, option_list from);
    void replace(option_list& into, option_list from);
    host_section& shown_host(resource& owner, bool remote);

    parse_state& state_;
    const source_file& file_;
    lexer lexer_;
    token token_;
    position statement_; // where the statement being parsed began
    // volume N { disk { … } } of this resource's connection {}; its volumes may come later.
    struct peer_options {
        unsigned volume;
        option_list list;
        position at;
    };
    std::vector<peer_options> peer_options_;
    // The hosts of its connection {} or path {}; their sections may come later, too.
    struct connection_host {
        std::string name;
        std::optional<socket_address> address;
        std::optional<std::string> port;
        position at;
    };
    std::vector<connection_host> connection_hosts_;
    resource connection_; // the options of its connection {}
};

// The sections of options, shared by the files above.
extern const option_section disk_section;
extern const option_section net_section;
extern const option_section resource_options_section;
extern const option_section startup_section;
extern const option_section handlers_section;
extern const option_section proxy_options_section;

std::string join(const std::vector<std::string>& names, std::string_view separator);

} // namespace lockstep::config
