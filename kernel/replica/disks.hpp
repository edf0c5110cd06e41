// Attach, detach, and what becomes of a disk that fails.
//
//   on-io-error            data error                            metadata error
//   pass_on                Inconsistent, the block's bit set     Failed -> Diskless
//   call-local-io-error    handler local-io-error, Failed -> Diskless
//   detach                 Failed -> Diskless
//
// A disk that does not answer within disk-timeout is dropped whatever on-io-error says, as `detach
// --force` does: what it has under way is answered as failed at once, and keeps its memory until
// the device gives it back.
//
// In each case the request is tried on the peer; only without one the error goes up.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "kernel/base/error.hpp"
#include "kernel/options/options.hpp"
#include "kernel/replica/resource.hpp"

namespace lockstep::replica {

struct attach_job;
class machinery;
struct volume;
class local_disk;

class disk_management {
public:
    enum class failed_operation : std::uint8_t { read, write, flush };

    explicit disk_management(machinery& all) : all_(all) {}

    void attach(volume& target, const disk_properties& properties,
                const options::disk_options& options, on_outcome done);
    void detach(volume& target, bool force, on_outcome done);

    void io_error(volume& target, failed_operation what, std::uint64_t sector, int error);
    void metadata_error(volume& target, std::string_view what, int error);
    // The oldest request is older than disk-timeout: the disk is dropped without waiting for it.
    void timed_out(volume& target);

    // The state has become Failed.
    void disk_failed(volume& target);
    // Failed, and nothing is under way any more: to Diskless.
    void maybe_release(volume& target);

private:
    void let_waiting_begin(attach_job& job);
    void fail_attach(volume& target, const error& why);
    void give_up_attach(volume& target, const std::string& why);
    void superblock_read(volume& target, int error);
    bool fits_generation(volume& target);
    bool prepare(volume& target);
    void read_bitmap(volume& target);
    void bitmap_chunk_read(volume& target, int error);
    void bitmap_loaded(volume& target);
    void metadata_stored(volume& target, bool stored);
    void finish_attach(volume& target);
    void lean_on_peer(volume& target, std::function<void()> then);
    void store_before_detach(volume& target);

    machinery& all_;
};

} // namespace lockstep::replica
