#include "agent/config/reader.hpp"

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <fcntl.h>
#include <glob.h>
#include <unistd.h>

#include <fmt/format.h>

#include "agent/config/parser.hpp"

namespace lockstep::config {

namespace {

constexpr int deepest_include = 10;
constexpr int exec_error = 20;
// Far above any configuration; an include of a device must not eat the memory.
constexpr std::size_t largest_file = std::size_t{16} << 20;

class file_descriptor {
public:
    explicit file_descriptor(int fd) : fd_(fd) {}
    ~file_descriptor() {
        if (fd_ > STDIN_FILENO) {
            ::close(fd_);
        }
    }
    file_descriptor(const file_descriptor&) = delete;
    file_descriptor& operator=(const file_descriptor&) = delete;
    int get() const { return fd_; }

private:
    int fd_;
};

result<std::string> read_all(int fd, const std::string& name) {
    std::string text;
    char buffer[16384];
    while (true) {
        const ssize_t got = ::read(fd, buffer, sizeof buffer);
        if (got == 0) {
            return text;
        }
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return fail_errno(errno, fmt::format("Can not read '{}'", name));
        }
        text.append(buffer, static_cast<std::size_t>(got));
        if (text.size() > largest_file) {
            return fail(fmt::format("'{}' is larger than 16 MiB: no configuration", name));
        }
    }
}

// The error's code is the errno value.
result<std::string> read_path(const std::string& path, const std::string& name) {
    const file_descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    if (fd.get() < 0) {
        const int reason = errno;
        auto failed = fail_errno(reason, fmt::format("Can not open '{}'", name));
        failed.value().code = reason;
        return failed;
    }
    return read_all(fd.get(), name);
}

bool is_pattern(const std::string& name) {
    return name.find_first_of("?*[") != std::string::npos;
}

std::string without_magic(const std::string& directory) {
    std::string out;
    for (const char c : directory) {
        if (c == '?' || c == '*' || c == '[' || c == '\\') {
            out += '\\';
        }
        out += c;
    }
    return out;
}

// Sorted; relative names are relative to the directory, as they were written.
result<std::vector<std::string>> expand(const std::string& directory, const std::string& pattern) {
    const bool relative = pattern.front() != '/';
    const std::string whole = relative ? without_magic(directory) + pattern : pattern;
    glob_t found{};
    const int failed = ::glob(whole.c_str(), 0, nullptr, &found);
    std::vector<std::string> names;
    for (std::size_t i = 0; failed == 0 && i < found.gl_pathc; ++i) {
        const std::string name = found.gl_pathv[i];
        names.push_back(relative ? name.substr(directory.size()) : name);
    }
    ::globfree(&found);
    if (failed != 0 && failed != GLOB_NOMATCH) {
        return fail(fmt::format("Can not expand '{}'", pattern));
    }
    return names;
}

std::string directory_of(const std::string& path) {
    return path.substr(0, path.rfind('/') + 1);
}

// A file is known by its real path, so that two names of one file are read once.
bool first_time(parse_state& state, const std::string& path) {
    char real[PATH_MAX];
    const char* known = ::realpath(path.c_str(), real);
    return state.seen.insert(known == nullptr ? path : known).second;
}

void parse_into(parse_state& state, const std::string& name, const std::string& path,
                std::string_view text) {
    state.doc.files.push_back(std::make_unique<source_file>(source_file{name, path}));
    parser(state, *state.doc.files.back(), text).parse_top_level();
}

} // namespace

std::string absolute_path(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    const std::string last = slash == std::string::npos ? path : path.substr(slash + 1);
    char real[PATH_MAX];
    if (::realpath(directory.c_str(), real) == nullptr) {
        return path;
    }
    const std::string base = real;
    return base == "/" ? "/" + last : base + "/" + last;
}

void parser::parse_include() {
    const std::string pattern = expect_string();
    expect(';');
    if (state_.stopped || pattern.empty()) {
        return;
    }
    const auto names = expand(directory_of(file_.path), pattern);
    if (!names) {
        return stop(statement_, names.error().what);
    }
    if (names->empty() && !is_pattern(pattern)) {
        state_.diag.error(statement_, fmt::format("Failed to open include file '{}'.", pattern));
    }
    for (const std::string& name : *names) {
        include_file(name, is_pattern(pattern));
    }
}

void parser::include_file(const std::string& name, bool by_pattern) {
    if (state_.depth >= deepest_include) {
        return stop(statement_, "Includes nested too deeply");
    }
    const std::string path =
        absolute_path(name.front() == '/' ? name : directory_of(file_.path) + name);
    if (!first_time(state_, path)) {
        return;
    }
    const auto text = read_path(path, name);
    if (!text) {
        // One that vanished between the expansion and now was never meant to be read.
        if (!by_pattern || text.error().code != ENOENT) {
            state_.diag.error(statement_, fmt::format("Failed to open include file '{}': {}", name,
                                                      text.error().what));
        }
        return;
    }
    ++state_.depth;
    parse_into(state_, name, path, *text);
    --state_.depth;
}

// template-file "FILE": its common {} stands in for that of the configuration.
void parser::parse_template_file(resource& owner) {
    claim_once("template-file statement", owner.name + ":template-file");
    const std::string name = expect_string();
    expect(';');
    if (state_.stopped || name.empty()) {
        return;
    }
    const std::string path =
        absolute_path(name.front() == '/' ? name : directory_of(file_.path) + name);
    const auto text = read_path(path, name);
    if (!text) {
        state_.diag.error(statement_, fmt::format("Failed to open template file '{}': {}", name,
                                                  text.error().what));
        return;
    }
    state_.doc.files.push_back(std::make_unique<source_file>(source_file{name, path}));
    // Nothing in it competes with what the other files define.
    parse_state apart{state_.doc, state_.diag, false, {}, {}, {}, state_.depth, false};
    owner.template_path = path;
    parser(apart, *state_.doc.files.back(), *text).parse_template(owner);
    state_.stopped = apart.stopped;
}

void parser::parse_template(resource& owner) {
    next();
    statement_ = here();
    if (word() != key::common) {
        return expected("common");
    }
    expect('{');
    owner.template_common = parse_resource("common", true);
    if (!state_.stopped && next().kind != token_kind::end) {
        expected("end of file");
    }
}

void reader::exclude(const std::string& name) {
    first_time(*state_, absolute_path(name));
}

reader::reader(document& into, diagnostics& found)
    : state_(std::make_unique<parse_state>(parse_state{into, found, false, {}, {}, {}, 0, false})) {
}

reader::~reader() = default;

result<> reader::read_file(const std::string& name) {
    const bool from_stdin = name == "-";
    auto text = from_stdin ? read_all(STDIN_FILENO, "STDIN") : read_path(name, name);
    if (!text) {
        text.error().code = exec_error;
        return tl::unexpected(text.error());
    }
    const std::string shown = from_stdin ? "STDIN" : name;
    read_text(shown, from_stdin ? shown : absolute_path(name), *text);
    return {};
}

void reader::read_text(const std::string& name, const std::string& path, std::string_view text) {
    first_time(*state_, path);
    parse_into(*state_, name, path, text);
}

position reader::place_of_address(const socket_address& address) const {
    return state_->everywhere.find("IP", address.host + ":" + address.port).value_or(position{});
}

std::unique_ptr<document> parse_show(const std::string& name, std::string_view text,
                                     diagnostics& found) {
    auto doc = std::make_unique<document>();
    doc->files.push_back(std::make_unique<source_file>(source_file{name, name}));
    parse_state state{*doc, found, true, {}, {}, {}, 0, false};
    parser one(state, *doc->files.back(), text);
    while (one.parse_shown_resource()) {
    }
    return doc;
}

} // namespace lockstep::config
