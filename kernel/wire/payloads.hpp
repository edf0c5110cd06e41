// All payload structures.
#pragma once

#include "kernel/wire/handshake_payloads.hpp" // IWYU pragma: export
#include "kernel/wire/io_payloads.hpp"        // IWYU pragma: export
#include "kernel/wire/state_payloads.hpp"     // IWYU pragma: export
