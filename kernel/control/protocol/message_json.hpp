// Parts of messages as JSON. Included by the sources of this room only.
#pragma once

#include "kernel/control/protocol/event.hpp"
#include "kernel/control/protocol/json_fields.hpp"
#include "kernel/control/protocol/snapshot.hpp"

namespace lockstep::control {

result<event> event_from_json(const json& object);
json to_json(const snapshot& value);
result<snapshot> snapshot_from_json(const json& object);

} // namespace lockstep::control
