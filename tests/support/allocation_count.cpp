#include "support/allocation_count.hpp"

#include <cstdlib>
#include <new>

namespace {

std::size_t allocations = 0;
bool (*counts)() = nullptr;

} // namespace

std::size_t lockstep::support::allocation_count() {
    return allocations;
}

void lockstep::support::count_allocations_while(bool (*condition)()) {
    counts = condition;
}

void* operator new(std::size_t size) {
    allocations += counts == nullptr || counts() ? 1 : 0;
    if (void* const memory = std::malloc(size > 0 ? size : 1)) {
        return memory;
    }
    throw std::bad_alloc();
}

void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}
