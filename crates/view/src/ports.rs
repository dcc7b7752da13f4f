//! What is outside a service, and how much of the databases each of them reaches.

use std::sync::Arc;

use cells::port::Cells;
use domain::Identity;
use orderlog::port::OrderLog;
use runtime::Clock;
use runtime::unique::Unique;
use store::{
    CatalogRead, CatalogWrite, DetailRead, DetailWrite, LedgerRead, LedgerWrite, LifeRead,
    LifeWrite, Marks, MoneyRead, MoneyWrite, OrdersRead, OrdersWrite, ParkedRead, ParkedWrite,
    Store, Verdicts,
};

use crate::follow::Follow;

/// Everything that is outside a service, behind ports; cheap to clone. `S` is what of the databases
/// it reaches: a process has all of it and hands each service its part.
pub struct Ports<S: ?Sized = dyn AllStores> {
    /// Redis, or the same scripts in process.
    pub cells: Arc<dyn Cells>,
    /// The databases.
    pub store: Arc<S>,
    /// The order log.
    pub log: Arc<dyn OrderLog>,
    /// The keyed functions.
    pub identity: Identity,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Nonces, tickets, incarnations.
    pub unique: Arc<dyn Unique>,
}

impl<S: ?Sized> Ports<S> {
    fn over<T: ?Sized>(&self, store: Arc<T>) -> Ports<T> {
        Ports {
            cells: self.cells.clone(),
            store,
            log: self.log.clone(),
            identity: self.identity.clone(),
            clock: self.clock.clone(),
            unique: self.unique.clone(),
        }
    }
}

impl<S: ?Sized> Ports<S> {
    fn following(&self, ledger: Arc<dyn LedgerRead>) -> Follow {
        Follow::new(ledger, self.cells.clone(), self.identity.clone())
    }
}

impl<S: ?Sized> Clone for Ports<S> {
    fn clone(&self) -> Self {
        self.over(self.store.clone())
    }
}

impl Ports {
    /// Who follows their ledgers.
    pub fn follow(&self) -> Follow {
        self.following(self.store.clone())
    }
}

/// The table of who reaches what: for each service its store, its ports, and how it gets them.
macro_rules! reach {
    ($(
        $(#[$about:meta])*
        $store:ident ($first:ident $(+ $more:ident)*), $ports:ident by $narrowed:ident;
    )*) => {
        $(
            $(#[$about])*
            pub trait $store: $first $(+ $more)* {}
            impl<T: $first $(+ $more)* + ?Sized> $store for T {}

            $(#[$about])*
            pub type $ports = Ports<dyn $store>;

            impl $ports {
                /// Who follows the ledgers that it reads.
                pub fn follow(&self) -> Follow {
                    self.following(self.store.clone())
                }
            }
        )*

        /// All that there is, so that it can be narrowed to what any service reaches.
        pub trait AllStores: Store $(+ $store)* {}
        impl<T: Store> AllStores for T {}

        impl Ports {
            $(
                $(#[$about])*
                pub fn $narrowed(&self) -> $ports {
                    self.over::<dyn $store>(self.store.clone())
                }
            )*
        }
    };
}

reach! {
    /// The gate reads; what it sells it writes to Redis and to the log. What buyers ask of orders
    /// that have their rows it writes at once.
    GateStore (
        LedgerRead + OrdersRead + CatalogRead + ParkedRead + LifeRead + LifeWrite + DetailRead
            + DetailWrite
    ),
        GatePorts by gate;
    /// The desk changes the catalog, supply and flags, and what is parked.
    DeskStore (
        LedgerRead + LedgerWrite + CatalogRead + CatalogWrite + Marks + ParkedRead + ParkedWrite
            + OrdersRead + LifeRead + LifeWrite + MoneyRead + DetailWrite
    ), DeskPorts by desk;
    /// The writer decides orders and writes their rows.
    WriterStore (
        LedgerRead + LedgerWrite + Verdicts + OrdersRead + OrdersWrite + Marks + ParkedWrite
    ), WriterPorts by writer;
    /// The reconciler reads everything and ends what others left.
    ReconcilerStore (
        LedgerRead + LedgerWrite + OrdersRead + CatalogRead + Marks + ParkedRead + LifeRead
            + MoneyRead + MoneyWrite
    ), ReconcilerPorts by reconciler;
    /// The clerk moves orders through their lives, and gives units back to their ledgers.
    ClerkStore (
        LedgerRead + LedgerWrite + LifeRead + LifeWrite + OrdersRead + CatalogRead + Marks
            + ParkedRead + ParkedWrite
    ), ClerkPorts by clerk;
}
