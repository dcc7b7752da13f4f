//! Mutants: deliberate faults in production code, so that the simulator can show that it finds
//! them.
//!
//! A mutant stands in the first line of a function that is a rule, so that the rule has a name and
//! reads as if there were no mutants (`tests/tidy.rs` looks). Without the feature `plant`, which
//! only the simulator's own build has, [`on`] is `false` at compile time and nothing of them is
//! left. With it, one mutant per thread can be switched on: a thread simulates one deployment at a
//! time.

macro_rules! mutants {
    ($($variant:ident $name:literal $meaning:literal;)*) => {
        /// A fault that can be planted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Mutant { $(#[doc = $meaning] $variant,)* }
        impl Mutant {
            /// All of them.
            pub const ALL: &'static [Mutant] = &[$(Mutant::$variant,)*];
            /// The name in tables.
            pub fn name(self) -> &'static str { match self { $(Mutant::$variant => $name,)* } }
            /// What it does.
            pub fn meaning(self) -> &'static str {
                match self { $(Mutant::$variant => $meaning,)* }
            }
        }
    };
}

mutants! {
    RandomIds "random_ids" "a new order id for each request";
    RetryBytes "retry_bytes" "a retry publishes its own bytes, not the hold's";
    AgeFromAnswer "age_from_answer" "the age of a hold counts from the arrival of the answer";
    OwnPrice "verdict_own_price" "a retry that meets a verdict without a row says its own price";
    ReturningBlind "returning_no_ledger" "a returning buyer's retry looks at rows only";
    MaxAgeIgnored "max_age_ignored" "a gate publishes a hold of any age for the first time";
    DropOnReceipt "drop_hold_on_publish" "the hold is dropped at the receipt";
    Indefinite "indefinite" "no is said although an attempt's outcome is unknown";
    NoLookup "no_lookup" "a `+` refusal is not looked up in the database";
    FlagNoFilter "flag_no_filter" "the sold-out flag refuses without its filter";
    AcceptWithoutReceipt "accept_without_receipt" "202 accepted without the log's receipt";
    WaitIgnored "wait_ignored" "a hold that the replicas do not have is published and accepted";
    ReceiptIgnored "receipt_ignored" "the receipt in the link of a 202 is not looked at";
    AckBeforeCommit "ack_before_commit" "frames are acked before anything is written";
    AckBeforeRow "ack_before_row" "frames are acked after the verdicts, before the rows";
    NoResolve "no_resolve" "phantoms are never dropped";
    HopAny "hop_any" "an order moves to a lower retry partition too";
    BarrierEarly "barrier_early" "a barrier is marked before what stands before it is finished";
    NewerParked "newer_parked" "a frame of a newer version is parked as if it were garbage";
    ConsumerKept "consumer_kept" "a writer that finishes nothing keeps its partition";
    HandOverLost "ack_before_retry" "orders of a silent database are acked without handing over";
    NoRelease "no_release" "claims of a rejected order are not released";
    NoTicks "no_ticks" "idle partitions get no ticks, so the horizon stands still";
    LeaseKept "lease_kept" "a reconciler that reaches nothing keeps its leases";
    TickOwnClock "tick_own_clock" "ticks carry the clock of the reconciler that publishes them";
    NoHorizon "no_horizon" "relay and sweeper act however far the log is finished";
    NoRelay "no_relay" "holds of dead gates are never published again";
    NoSweep "no_sweeper" "verdicts without a row are never published again";
    Giveback "timeout_giveback" "the relay frees old holds instead of publishing them";
    NoBarrier "no_barrier" "a missing cell is loaded without a barrier";
    BarrierMains "barrier_no_retry" "the barrier passes no retry partition";
    NoGrace "no_grace" "the barrier is published without waiting for the gates";
    ForkKept "fork_kept" "a view of commits that a database lost is kept";
    RewindDead "rewind_dead" "a rewind asks for orders whose rows are dead";
    RewindKeeps "rewind_keeps" "a rewind leaves pending rows whose lines are rejected";
    RewindLoser "rewind_loser" "a rewind takes the loser of a key for an order like any other";
    RewindUnasked "rewind_unasked" "a rewind asks no provider what it sent back";
    RewindNewsless "rewind_newsless" "a rewind leaves news of payments in the log";
    RewindReturns "rewind_no_returns" "a rewind leaves out what refunds brought back";
    RewindPaid "rewind_paid" "a rewind leaves paid rows whose lines are rejected";
    LostUnknown "lost_unknown" "refunds of ours that were lost are taken for the provider's";
    KeyAmountless "key_amountless" "a refund of another amount has the same key";
    NoStop "no_stop_selling" "a broken ledger does not stop the sale of its cell";
    LedgerTrusted "ledger_trusted" "counters are mended from a ledger that does not fold";
    TransferNoHold "transfer_no_hold" "units leave a cell without a hold on them";
    ForkPlain "fork_plain" "a fork is believed from plain reads";
    StopPlain "stop_plain" "a cell is stopped for what plain reads say of its row";
    LoadPlain "load_plain" "a cell is built from a row that was read without its lock";
    ToldEarly "told_early" "a refund is told before its money moved";
    NewRefundKey "new_refund_key" "each try of a refund has a key of its own";
    KeyUnscoped "key_unscoped" "a provider is given the client's name of a refund as its key";
    PayNoCas "pay_no_cas" "a payment pays an order that is dead";
    LastWins "last_wins" "the last news of a payment win, not the most that was told";
    NoSumCheck "no_sum_check" "refunds are asked for beyond what is left of the order's money";
    LinesUnsummed "lines_unsummed" "refunds give units back that earlier ones gave back";
    ReturnNoGuard "return_no_guard" "as that, and the ledger takes returns of any number";
    ExpireNoClose "expire_no_close" "an order expires before its payments are closed";
    NoCloseAfter "no_close_after" "payments of a decided order are not closed";
    ClosePart "close_part" "a payment with a part of its money is never closed";
    AnswersDropped "answers_dropped" "what a close finds captured is left to the callbacks";
    TwoEnds "reclaim_two_ends" "a late payment that has its end gets another one";
    ReleaseAfterPaid "release_after_paid" "a refund gives units back by a release";
    ReturnOnPart "return_on_part" "goods go back with the first part of a refund's money";
    OrdinalFixed "ordinal_fixed" "all refunds of an order have one number";
    FateForgotten "fate_forgotten" "a payment on its way back pays an order";
    DeathKeeps "death_keeps" "money of a decided order is left where it is";
    NeedOnce "need_once" "a payment gets one refund by itself, however much it captures";
    NoLifeHorizon "no_life_horizon" "orders expire however far news are read";
    AckedEarly "acked_early" "a callback is answered before the log has it";
    AckBeforeJoin "ack_before_join" "news are acked although their transaction failed";
    DropUnsettled "opreb_nowait" "an operator's rebuild drops the cell without emptying it";
}

#[cfg(feature = "plant")]
mod switch {
    use super::Mutant;
    use std::cell::Cell;

    thread_local! {
        static ON: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// True while this mutant is planted in this thread.
    pub fn on(mutant: Mutant) -> bool {
        ON.get() == Some(mutant)
    }

    /// Plants a mutant in this thread, or none.
    pub fn plant(mutant: Option<Mutant>) {
        ON.set(mutant);
    }
}

#[cfg(feature = "plant")]
pub use switch::{on, plant};

/// Always false: this build has no mutants.
#[cfg(not(feature = "plant"))]
pub const fn on(_: Mutant) -> bool {
    false
}
