#include "kernel/replica/promotion.hpp"

#include <memory>

#include "kernel/replica/machinery.hpp"

namespace lockstep::replica {

using state::connection;
using state::disk;
using state::role;
using state::verdict;

namespace {

// One attempt to become Primary, from the first question to the stored identifiers.
class promotion : public std::enable_shared_from_this<promotion> {
public:
    promotion(machinery& all, bool force, on_outcome done)
        : all_(all), force_(force), done_(std::move(done)) {}

    void begin() {
        if (all_.common.role == role::primary) {
            done_(outcome_of(verdict::nothing_to_do));
            return;
        }
        wanted_ = wanted_.with(role::primary);
        // A dead peer is found out now, and not by a refusal that it can't give.
        auto self = shared_from_this();
        all_.keepalive.ping([self](bool) { self->all_.defer([self] { self->attempt(); }); });
    }

private:
    // What the former Primary has sent, and told its users to be safe, may still be on its way to
    // the disk, or wait for it: what our users do comes behind that.
    void attempt() {
        auto self = shared_from_this();
        auto left = std::make_shared<std::size_t>(all_.volumes.size());
        if (*left == 0) {
            ask_for_role();
        }
        for (auto& [number, each] : all_.volumes) {
            all_.peers.when_written(*each, [self, left] {
                if (--*left == 0) {
                    self->ask_for_role();
                }
            });
        }
    }

    void ask_for_role() {
        auto self = shared_from_this();
        const auto heard = [self](outcome result) { self->judged(std::move(result)); };
        if (volume* target = forced_volume()) {
            all_.commands.change_volume(*target, wanted_.with(disk::up_to_date), heard);
        } else {
            all_.commands.change_resource(wanted_, heard);
        }
    }

    // The first volume whose disk --force has to declare good.
    volume* forced_volume() const {
        if (!forcing_) {
            return nullptr;
        }
        for (auto& [number, each] : all_.volumes) {
            if (needs_force(*each)) {
                return each.get();
            }
        }
        return nullptr;
    }

    static bool needs_force(const volume& target) {
        return target.state.disk >= disk::inconsistent && target.state.disk < disk::up_to_date &&
               target.state.peer_disk < disk::up_to_date;
    }

    void judged(outcome result) {
        if (result.ok) {
            if (forced_volume() != nullptr) {
                attempt();
                return;
            }
            promoted();
            return;
        }
        const auto code = static_cast<verdict>(result.code);
        if (++tries_ > 8) {
            done_(std::move(result));
            return;
        }
        switch (code) {
        case verdict::no_up_to_date_disk:
            if (force_ && !forcing_) {
                forcing_ = true;
                if (forced_volume() != nullptr) {
                    attempt();
                    return;
                }
            }
            if (any_consistent() && !asked_) {
                ask(std::move(result), true);
                return;
            }
            break;
        case verdict::primary_needs_peer:
            if (!asked_) {
                ask(std::move(result), false);
                return;
            }
            break;
        case verdict::two_primaries:
            if (!waited_) {
                waited_ = true;
                wait_and_retry();
                return;
            }
            break;
        default:
            break;
        }
        done_(std::move(result));
    }

    bool any_consistent() const {
        for (const auto& [number, each] : all_.volumes) {
            if (each->state.disk == disk::consistent) {
                return true;
            }
        }
        return false;
    }

    void ask(outcome refusal, bool for_own_disk) {
        asked_ = true;
        auto self = shared_from_this();
        all_.fencing.ask([self, refusal, for_own_disk](bool peer_is_out) {
            if (!peer_is_out && self->all_.is_connected()) {
                self->attempt(); // it has come back, and can be asked itself
                return;
            }
            if (!peer_is_out && !self->force_) {
                self->done_(refusal);
                return;
            }
            if (!peer_is_out) {
                self->all_.log(log_level::warning, "Forced into split brain situation!");
                self->wanted_ = self->wanted_.with_peer(disk::outdated);
            }
            if (for_own_disk) {
                // Nobody has newer data: what is Consistent is UpToDate.
                self->wanted_ = self->wanted_.with(disk::up_to_date);
            }
            self->attempt();
        });
    }

    void wait_and_retry() {
        // The other Primary may be found dead within a ping.
        auto self = shared_from_this();
        retry_ = std::make_unique<timer>(all_.clock, [self] {
            self->all_.defer([self] {
                self->retry_.reset();
                self->attempt();
            });
        });
        retry_->arm(all_.now() + deciseconds(all_.net.ping_timeout_ds + 1));
    }

    void promoted() {
        all_.handshake.set_discard_my_data(false);
        if (forcing_) {
            all_.log(log_level::warning, "Forced to consider local data as UpToDate!");
        }
        for (auto& [number, each] : all_.volumes) {
            if (each->disk == nullptr || each->state.disk < disk::inconsistent) {
                continue;
            }
            local_disk& own = *each->disk;
            if (state::promotion_makes_generation(each->state, own.generation(), forcing_)) {
                all_.states.make_new_generation(*each);
            } else {
                own.set_generation(state::with_role(own.generation(), role::primary));
                each->effective_generation = own.super.uuids.current;
            }
            if (forcing_ && each->connected()) {
                all_.states.send_uuids(*each);
            }
            all_.states.send_state(*each);
        }
        store_all(all_, done_);
    }

public:
    // Reports success when every volume's superblock is durable.
    static void store_all(machinery& all, const on_outcome& done) {
        auto left = std::make_shared<std::size_t>(1);
        auto failed = std::make_shared<bool>(false);
        const auto one_less = [left, failed, done](bool stored) {
            *failed = *failed || !stored;
            if (--*left == 0) {
                outcome result;
                if (*failed) {
                    result.info.emplace_back("the metadata of a volume could not be stored; its "
                                             "disk is being detached");
                }
                done(result);
            }
        };
        for (auto& [number, each] : all.volumes) {
            if (each->disk != nullptr && each->state.disk >= disk::inconsistent) {
                ++*left;
                each->disk->store_superblock(one_less);
            }
        }
        one_less(true);
    }

private:
    machinery& all_;
    bool force_;
    on_outcome done_;
    state::state_change wanted_;
    bool forcing_ = false;
    bool asked_ = false;
    bool waited_ = false;
    unsigned tries_ = 0;
    std::unique_ptr<timer> retry_;
};

} // namespace

void promote(machinery& all, bool force, on_outcome done) {
    std::make_shared<promotion>(all, force, std::move(done))->begin();
}

static void become_secondary(machinery& all, const on_outcome& done) {
    all.commands.change_resource(
        state::state_change{}.with(role::secondary), [&all, done](outcome result) {
            all.demoting = false;
            if (!result.ok) {
                done(std::move(result));
                return;
            }
            for (auto& [number, each] : all.volumes) {
                if (each->disk != nullptr && each->state.disk >= disk::inconsistent) {
                    each->disk->set_generation(
                        state::with_role(each->disk->generation(), role::secondary));
                }
                // The peer was not asked, so it has to be told.
                all.states.send_state(*each);
            }
            promotion::store_all(all, done);
        });
}

void demote(machinery& all, on_outcome done) {
    if (all.common.role == role::secondary) {
        done(outcome_of(verdict::nothing_to_do));
        return;
    }
    const auto refused = all.states.try_change_all(state::state_change{}.with(role::secondary));
    if (refused < verdict::success) {
        done(outcome_of(refused));
        return;
    }
    // While Primary the activity log covers what the replicas may differ in. Nothing may be under
    // way any more when the metadata stops saying Primary, and with it, that the log counts.
    all.demoting = true;
    if (all.fencing.superseded()) {
        all.epochs.give_up_peer(); // what is frozen ends with errors
        all.writes.thawed();
    }
    all.wait_idle([&all, done](bool idle) {
        if (!idle) {
            all.demoting = false;
            outcome busy = outcome_of(verdict::device_in_use);
            busy.remedy = "requests are still under way: look at the peer, or resume-io";
            done(std::move(busy));
            return;
        }
        become_secondary(all, done);
    });
}

void disconnect_politely(machinery& all, on_outcome done) {
    if (all.common.connection == connection::standalone) {
        done(outcome_of(verdict::nothing_to_do));
        return;
    }
    const auto leave = state::state_change{}.with(connection::disconnecting);
    const auto close = [&all, done](const outcome& result) {
        if (result.ok) {
            all.states.disconnect_at_once({});
        }
        done(result.ok ? outcome{} : result);
    };
    all.commands.change_resource(leave, [&all, leave, close](outcome result) {
        switch (static_cast<verdict>(result.code)) {
        case verdict::primary_needs_peer:
            // A Primary with fencing leaves only a peer that knows that it is Outdated.
            all.commands.change_resource(
                leave.with_peer(disk::outdated), [&all, leave, close](outcome second) {
                    if (static_cast<verdict>(second.code) == verdict::outdate_without_connection) {
                        all.commands.change_resource(leave, close);
                    } else {
                        close(second);
                    }
                });
            return;
        case verdict::refused_by_peer:
            // The peer is such a Primary: we are the ones to be Outdated.
            all.commands.change_resource(leave.with(disk::outdated), [close](outcome second) {
                const auto code = static_cast<verdict>(second.code);
                if (code == verdict::is_diskless || code == verdict::lower_than_outdated) {
                    close({});
                } else {
                    close(second);
                }
            });
            return;
        default:
            close(result);
            return;
        }
    });
}

} // namespace lockstep::replica
