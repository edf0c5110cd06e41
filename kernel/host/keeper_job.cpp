#include "kernel/host/keeper_job.hpp"

#include <utility>

#include "kernel/base/check.hpp"
#include "kernel/host/keeper_message.hpp"
#include "kernel/host/log_record.hpp"

namespace lockstep::host {

keeper_job::keeper_job(std::vector<std::string> arguments, std::vector<owned_fd> fds, int socket,
                       int log)
    : arguments_(std::move(arguments)), fds_(std::move(fds)), socket_(socket), log_(log) {}

const std::string& keeper_job::argument(std::size_t index) const {
    static const std::string none;
    return index < arguments_.size() ? arguments_[index] : none;
}

int keeper_job::fd(std::size_t index) const {
    return index < fds_.size() ? fds_[index].get() : -1;
}

void keeper_job::close_fd(std::size_t index) {
    if (index < fds_.size()) {
        fds_[index].reset();
    }
}

void keeper_job::remember(const std::string& key, const std::string& operation,
                          const std::vector<std::string>& arguments) {
    if (socket_ < 0) {
        return;
    }
    keeper_message message;
    message.what = keeper_message::kind::remember;
    message.texts = {key, operation};
    message.texts.insert(message.texts.end(), arguments.begin(), arguments.end());
    // A keeper that cannot be told could not undo it: then the deed must not be done.
    LOCKSTEP_CHECK(send_message(socket_, message, {}).has_value());
}

void keeper_job::forget(const std::string& key) {
    if (socket_ < 0) {
        return;
    }
    keeper_message message;
    message.what = keeper_message::kind::forget;
    message.texts = {key};
    LOCKSTEP_CHECK(send_message(socket_, message, {}).has_value());
}

void keeper_job::refuse(int errno_value, std::string sentence) {
    error_ = errno_value;
    sentence_ = std::move(sentence);
}

void keeper_job::add_value(std::string value) {
    values_.push_back(std::move(value));
}

void keeper_job::hand_over(owned_fd fd) {
    handed_over_.push_back(std::move(fd));
}

void keeper_job::log(log_severity severity, std::string_view text) const {
    send_log_record(log_, severity, text);
}

} // namespace lockstep::host
