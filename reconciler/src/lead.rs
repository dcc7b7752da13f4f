//! Who works on a database: the lease, and when it is given up.
//!
//! A process that holds the lease and cannot reach what it needs would repair nothing and keep
//! everybody else from it. So rounds without progress are counted; after some of them the lease is
//! free, and this process does not ask for a while. Pure but for the calls at the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cells::port::Cells;
use domain::CellId;
use mutants::Mutant;
use parking_lot::Mutex;
use store::Marks;
use tokio::sync::Notify;

use crate::metrics::METRICS;

/// Rounds without asking after a lease was given up: each other process asks in between.
const REST: u32 = 2;
/// A claim is renewed at most this often.
const SHORTEST: Duration = Duration::from_millis(50);

/// How it stands with one database.
#[derive(Debug, Default)]
struct DatabaseStanding {
    /// Rounds without progress, since the last one with.
    fruitless: u32,
    /// The same, since the lease was taken.
    term: u32,
    /// Rounds to let pass.
    rest: u32,
}

/// How it stands with each database.
#[derive(Debug, Default)]
pub(crate) struct LeaseStanding {
    most: u32,
    rounds: u64,
    dbs: BTreeMap<u16, DatabaseStanding>,
}

impl LeaseStanding {
    /// Gives up after this many rounds.
    pub(crate) fn new(most: u32) -> Self {
        Self { most, ..Self::default() }
    }

    /// True when it is this process's turn to ask for the lease.
    pub(crate) fn may_ask(&mut self, db: u16) -> bool {
        let one = self.dbs.entry(db).or_default();
        let rests = one.rest > 0;
        one.rest = one.rest.saturating_sub(1);
        !rests
    }

    /// A round with the lease is over; true when it must be given up now.
    pub(crate) fn led(&mut self, db: u16, progress: bool) -> bool {
        let one = self.dbs.entry(db).or_default();
        if progress {
            *one = DatabaseStanding::default();
            return false;
        }
        (one.fruitless, one.term) = (one.fruitless + 1, one.term + 1);
        let over = one.term >= self.most;
        if over {
            (one.term, one.rest) = (0, REST);
        }
        over
    }

    /// Another process has the lease; this one could (or not) do the work.
    pub(crate) fn other(&mut self, db: u16, able: bool) {
        let one = self.dbs.entry(db).or_default();
        let fruitless = if able { 0 } else { one.fruitless + 1 };
        *one = DatabaseStanding { fruitless, ..DatabaseStanding::default() };
    }

    /// Nobody knows who has the lease.
    pub(crate) fn unknown(&mut self, db: u16) {
        self.dbs.entry(db).or_default().fruitless += 1;
    }

    /// A whole round is over.
    pub(crate) fn round(&mut self) {
        self.rounds += 1;
    }

    /// True when there was a round, and each database was worked on, or could have been, lately.
    pub(crate) fn is_ready(&self) -> bool {
        self.rounds > 0 && self.dbs.values().all(|one| one.fruitless < self.most)
    }
}

/// What is kept while a long work goes on.
pub(crate) enum KeptClaim<'a> {
    /// A lease.
    Lease(&'a str),
    /// A ticket in these cells.
    Ticket(&'a [CellId], &'a str),
}

/// Whose turn a database is.
pub(crate) enum Turn {
    Mine,
    Other,
    Unknown,
}

pub(crate) fn lease_of(db: u16) -> String {
    format!("reconcile:{db}")
}

/// What this process claims, and for how long.
pub(crate) struct Lead {
    pub marks: Arc<dyn Marks>,
    pub cells: Arc<dyn Cells>,
    /// This process, for leases.
    pub holder: String,
    pub lease: Duration,
    pub standing: Mutex<LeaseStanding>,
}

impl Lead {
    /// How long a claim lasts, ms.
    pub(crate) fn lease_ms(&self) -> u64 {
        self.lease.as_millis() as u64
    }

    /// Asks for the lease of a database.
    pub(crate) async fn turn(&self, db: u16) -> Turn {
        if !self.standing.lock().may_ask(db) {
            return Turn::Other;
        }
        match self.marks.lease(&lease_of(db), &self.holder, self.lease_ms()).await {
            Ok(true) => Turn::Mine,
            Ok(false) => Turn::Other,
            Err(e) => {
                tracing::debug!(error = %e, "no lease");
                Turn::Unknown
            }
        }
    }

    /// True when this process has, or gets, a lease that another one may have too.
    pub(crate) async fn try_lease(&self, name: &str) -> bool {
        let got = self.marks.lease(name, &self.holder, self.lease_ms()).await;
        got.inspect_err(|e| tracing::debug!(error = %e, "no lease")).unwrap_or(false)
    }

    /// True when this process reaches what work on a database needs.
    pub(crate) async fn is_able(&self, db: u16) -> bool {
        self.cells.ping().await && self.marks.ping(db).await
    }

    /// Ends a round with the lease.
    pub(crate) async fn end_turn(&self, db: u16, progress: bool) {
        let over = self.standing.lock().led(db, progress);
        if !must_let_go(over) {
            return;
        }
        METRICS.gave_up.increment(1);
        tracing::warn!(db, "rounds without progress: another reconciler may have this database");
        // A lease of no length is free again; one that stays runs out, nobody renews it.
        if let Err(e) = self.marks.lease(&lease_of(db), &self.holder, 0).await {
            tracing::debug!(error = %e, "the lease runs out by itself");
        }
    }

    /// Does a work and renews a claim meanwhile. Losing it changes nothing: leases only spread
    /// the work, and a load compares its ticket.
    pub(crate) async fn holding<T>(
        &self,
        claim: KeptClaim<'_>,
        work: impl Future<Output = T>,
    ) -> T {
        let over = Notify::new();
        let work = async {
            let done = work.await;
            over.notify_one();
            done
        };
        let every = (self.lease / 3).max(SHORTEST);
        let renewals = async {
            loop {
                tokio::select! {
                    biased;
                    () = over.notified() => return,
                    () = tokio::time::sleep(every) => self.renew(&claim).await,
                }
            }
        };
        tokio::join!(work, renewals).0
    }

    async fn renew(&self, claim: &KeptClaim<'_>) {
        match claim {
            KeptClaim::Lease(name) => {
                let renewed = self.marks.lease(name, &self.holder, self.lease_ms()).await;
                tracing::trace!(?renewed, name, "a lease is renewed");
            }
            KeptClaim::Ticket(cells, ticket) => {
                for cell in *cells {
                    let renewed = self.cells.take_ticket(cell, ticket, None).await;
                    tracing::trace!(?renewed, %cell, "a ticket is renewed");
                }
            }
        }
    }
}

/// A term without progress is over: somebody else may do better.
fn must_let_go(over: bool) -> bool {
    if mutants::on(Mutant::LeaseKept) {
        return false;
    }
    over
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_without_progress_is_given_up_and_others_are_let_ask() {
        let mut s = LeaseStanding::new(3);
        assert!(!s.is_ready(), "nothing was done yet");
        s.round();
        assert!(s.may_ask(0) && s.is_ready());
        assert_eq!([false; 3].map(|p| s.led(0, p)), [false, false, true]);
        assert!(!s.is_ready());
        assert_eq!([(); 3].map(|()| s.may_ask(0)), [false, false, true]);
        // Nobody took it: three more.
        assert_eq!([false; 3].map(|p| s.led(0, p)), [false, false, true]);
        s.other(0, false);
        assert!(!s.is_ready(), "others work, this one still could not");
        assert!(s.may_ask(0));
        s.other(0, true);
        assert!(s.is_ready());
        assert_eq!([false, true, false, false].map(|p| s.led(0, p)), [false; 4]);
        assert!(s.is_ready());
        for _ in 0..3 {
            s.unknown(1);
        }
        assert!(!s.is_ready(), "database 0 does not answer");
        assert!(s.led(0, false));
    }
}
