// Doubly linked lists through hooks in the elements: no allocation, removal in constant time. An
// element inherits one list_hook<Tag> for each list that it can be in at the same time.
#pragma once

#include <cstddef>

#include "kernel/base/check.hpp"

namespace lockstep::replica {

template <class Tag>
struct list_hook {
    list_hook* previous = nullptr;
    list_hook* following = nullptr;

    bool linked() const { return previous != nullptr; }
};

template <class T, class Tag>
class intrusive_list {
public:
    using hook = list_hook<Tag>;

    intrusive_list() { root_.previous = root_.following = &root_; }
    intrusive_list(const intrusive_list&) = delete;
    intrusive_list& operator=(const intrusive_list&) = delete;

    bool empty() const { return root_.following == &root_; }
    std::size_t size() const { return size_; }
    T* front() const { return empty() ? nullptr : element(root_.following); }
    T* back() const { return empty() ? nullptr : element(root_.previous); }
    // The element behind `item`, or null.
    T* after(T& item) const {
        hook* next = static_cast<hook&>(item).following;
        return next == &root_ ? nullptr : element(next);
    }

    void push_back(T& item) { insert_before(root_, item); }
    void push_front(T& item) { insert_before(*root_.following, item); }

    void remove(T& item) {
        hook& link = item;
        LOCKSTEP_CHECK(link.linked());
        link.previous->following = link.following;
        link.following->previous = link.previous;
        link.previous = link.following = nullptr;
        --size_;
    }

    T* pop_front() {
        T* item = front();
        if (item != nullptr) {
            remove(*item);
        }
        return item;
    }

    // Takes all of `other`, in order, behind what is here.
    void append(intrusive_list& other) {
        while (T* item = other.pop_front()) {
            push_back(*item);
        }
    }

private:
    static T* element(hook* link) { return static_cast<T*>(link); }

    void insert_before(hook& position, T& item) {
        hook& link = item;
        LOCKSTEP_CHECK(!link.linked());
        link.previous = position.previous;
        link.following = &position;
        position.previous->following = &link;
        position.previous = &link;
        ++size_;
    }

    hook root_;
    std::size_t size_ = 0;
};

} // namespace lockstep::replica
