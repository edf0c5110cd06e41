// A terminal that keeps what is written to it.
#pragma once

#include <mutex>
#include <string>

#include "agent/drbdsetup/console.hpp"

namespace lockstep::drbdsetup {

class kept_console final : public console {
public:
    bool print(std::string_view text) override {
        const std::lock_guard<std::mutex> held(mutex_);
        output_ += text;
        return lines_wanted_ == 0 || --lines_wanted_ > 0;
    }
    void complain(std::string_view text) override {
        const std::lock_guard<std::mutex> held(mutex_);
        errors_ += text;
    }
    bool output_is_terminal() const override { return terminal; }
    bool error_is_terminal() const override { return terminal; }
    std::size_t columns() const override { return terminal ? 80 : 0; }
    int output_descriptor() const override { return -1; }
    int input_descriptor() const override { return input; }

    std::string output() const {
        const std::lock_guard<std::mutex> held(mutex_);
        return output_;
    }
    std::string errors() const {
        const std::lock_guard<std::mutex> held(mutex_);
        return errors_;
    }
    // From now on the reader goes away after so many more lines of events.
    void read_only(int lines) { lines_wanted_ = lines; }

    bool terminal = false;
    int input = -1;

private:
    mutable std::mutex mutex_;
    std::string output_;
    std::string errors_;
    int lines_wanted_ = 0; // 0: all
};

} // namespace lockstep::drbdsetup
