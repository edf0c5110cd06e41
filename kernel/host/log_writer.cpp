#include "kernel/host/log_writer.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <deque>
#include <string_view>

#include "kernel/base/owned_fd.hpp"
#include "kernel/host/log_record.hpp"

namespace lockstep::host {

namespace {

constexpr int facility_daemon = 3 << 3;
constexpr std::array<const char*, 8> severity_names = {"emerg",   "alert",  "crit", "error",
                                                       "warning", "notice", "info", "debug"};

std::string formatted_time(const char* format) {
    timespec now = {};
    clock_gettime(CLOCK_REALTIME, &now);
    tm parts = {};
    localtime_r(&now.tv_sec, &parts);
    std::array<char, 64> text = {};
    const std::size_t size = strftime(text.data(), text.size(), format, &parts);
    return {text.data(), size};
}

class log_file {
public:
    explicit log_file(std::string path) : path_(std::move(path)) {}

    bool write_line(const std::string& line) {
        if (!is_current()) {
            fd_.reset(::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640));
        }
        if (!fd_.valid()) {
            return false;
        }
        std::string_view rest = line;
        while (!rest.empty()) {
            const ssize_t count = ::write(fd_.get(), rest.data(), rest.size());
            if (count < 0 && errno != EINTR) {
                take_back(line.size() - rest.size());
                return false;
            }
            rest.remove_prefix(count > 0 ? static_cast<std::size_t>(count) : 0);
        }
        return true;
    }

private:
    bool is_current() const {
        struct stat named = {};
        struct stat open = {};
        return fd_.valid() && ::stat(path_.c_str(), &named) == 0 &&
               ::fstat(fd_.get(), &open) == 0 && named.st_ino == open.st_ino &&
               named.st_dev == open.st_dev;
    }

    // A line that did not fit on the disk leaves no half of it. Where nothing can be taken back, a
    // pipe say, the half stays.
    void take_back(std::size_t bytes) {
        struct stat now = {};
        if (bytes == 0 || ::fstat(fd_.get(), &now) != 0 || !S_ISREG(now.st_mode)) {
            return;
        }
        if (::ftruncate(fd_.get(), now.st_size - static_cast<off_t>(bytes)) != 0) {
            fd_.reset();
        }
    }

    std::string path_;
    owned_fd fd_;
};

class syslog_socket {
public:
    explicit syslog_socket(std::string path) : path_(std::move(path)) {}

    bool send_line(const std::string& line) {
        // A restarted syslog daemon has a new socket: once more, with a new connection.
        return try_send(line) || (connect_again() && try_send(line));
    }

private:
    bool try_send(const std::string& line) {
        return fd_.valid() && ::send(fd_.get(), line.data(), line.size(), MSG_NOSIGNAL) >= 0;
    }

    bool connect_again() {
        sockaddr_un to = {};
        to.sun_family = AF_UNIX;
        if (path_.size() >= sizeof to.sun_path) {
            return false;
        }
        std::memcpy(to.sun_path, path_.c_str(), path_.size() + 1);
        fd_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        if (!fd_.valid() ||
            ::connect(fd_.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
            fd_.reset();
        }
        return fd_.valid();
    }

    std::string path_;
    owned_fd fd_;
};

class writer {
public:
    explicit writer(const log_writer_settings& settings)
        : settings_(settings), to_syslog_(settings.target == "syslog"),
          file_(to_syslog_ ? settings.fallback : settings.target), syslog_(settings.syslog_socket) {
    }

    // What can't be written now is written later, in order; of too much of it the oldest is lost.
    void line(unsigned severity, const std::string& text) {
        waiting_.push_back(made(severity, text));
        if (waiting_.size() > waiting_max) {
            waiting_.pop_front();
            ++lost_;
        }
        if (late_ != 0 &&
            put(made(4, "the log could not be written: " + std::to_string(late_) +
                            " lines come late, " + std::to_string(lost_) + " were lost"))) {
            late_ = lost_ = 0;
        }
        while (late_ == 0 && !waiting_.empty() && put(waiting_.front())) {
            waiting_.pop_front();
        }
        late_ = waiting_.size();
    }

private:
    static constexpr std::size_t waiting_max = 1024;

    struct record {
        std::string for_syslog;
        std::string for_file;
    };

    record made(unsigned severity, const std::string& text) const {
        record out;
        if (to_syslog_) {
            out.for_syslog = "<" + std::to_string(facility_daemon | severity) + ">" +
                             formatted_time("%b %e %H:%M:%S ") + settings_.name + "[" +
                             std::to_string(engine_) + "]: " + text;
        }
        out.for_file = formatted_time("%Y-%m-%dT%H:%M:%S%z ") + settings_.name + " " +
                       severity_names[severity] + ": " + text + "\n";
        return out;
    }

    bool put(const record& line) {
        if (to_syslog_ && syslog_.send_line(line.for_syslog)) {
            return true;
        }
        const bool has_file = !to_syslog_ || !settings_.fallback.empty();
        return has_file && file_.write_line(line.for_file);
    }

    log_writer_settings settings_;
    bool to_syslog_;
    log_file file_;
    syslog_socket syslog_;
    pid_t engine_ = getppid(); // its children's lines are its lines
    std::deque<record> waiting_;
    std::uint64_t late_ = 0; // of those that wait now
    std::uint64_t lost_ = 0;
};

} // namespace

void write_log(int socket, const log_writer_settings& settings) {
    writer to(settings);
    std::array<char, log_text_max + 1> record = {};
    for (;;) {
        const ssize_t size = ::recv(socket, record.data(), record.size(), 0);
        if (size == 0 || (size < 0 && errno != EINTR)) {
            return;
        }
        if (size > 0) {
            const auto severity = static_cast<unsigned char>(record[0]) & 7U;
            to.line(severity, std::string(record.data() + 1, static_cast<std::size_t>(size - 1)));
        }
    }
}

} // namespace lockstep::host
