// A fixed number of objects, made once. Taking and giving back allocates nothing; when none is
// left, take() says so and the caller waits (backpressure).
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "kernel/base/check.hpp"

namespace lockstep::replica {

// T is default-constructible and has reset(), which brings it back to that state.
template <class T>
class object_pool {
public:
    explicit object_pool(std::size_t count) : objects_(new T[count]), count_(count) {
        free_.reserve(count);
        for (std::size_t index = count; index > 0; --index) {
            free_.push_back(&objects_[index - 1]);
        }
    }

    T* take() {
        if (free_.empty()) {
            return nullptr;
        }
        T* object = free_.back();
        free_.pop_back();
        return object;
    }

    void give_back(T& object) {
        LOCKSTEP_CHECK(free_.size() < count_);
        object.reset();
        free_.push_back(&object);
    }

    // Objects are told apart by their place.
    std::size_t index_of(const T& object) const {
        return static_cast<std::size_t>(&object - objects_.get());
    }
    T* at(std::size_t index) const { return index < count_ ? &objects_[index] : nullptr; }

    std::size_t available() const { return free_.size(); }
    std::size_t in_use() const { return count_ - free_.size(); }

private:
    std::unique_ptr<T[]> objects_;
    std::size_t count_;
    std::vector<T*> free_;
};

} // namespace lockstep::replica
