//! One declaration per method: the trait, and what every decorator needs to pass a call on.
//!
//! A decorator, such as one that makes calls fail or one that carries them over a simulated
//! network, is a macro that is handed all declarations by `each_port!`. So a new method is a line
//! in its port, a body over SQL and one in memory.

use domain::{Buyer, CellId, Offer, OrderId};

use super::{CellAsks, Shards};

/// What a call is about: it says where the call goes and which rows it locks.
pub trait Placed {
    /// The database.
    fn db(&self, shards: &dyn Shards) -> u16;
    /// The rows that a call which writes, or locks, has to itself.
    fn rows(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Itself; rows are locked one by one then, in an order that no two calls disagree on.
impl Placed for u16 {
    fn db(&self, _: &dyn Shards) -> u16 {
        *self
    }
}

impl Placed for OrderId {
    fn db(&self, shards: &dyn Shards) -> u16 {
        shards.order_db(*self)
    }
}

impl Placed for &Buyer {
    fn db(&self, shards: &dyn Shards) -> u16 {
        shards.buyer_db(self)
    }
}

impl Placed for &Offer {
    fn db(&self, _: &dyn Shards) -> u16 {
        super::CATALOG_DB
    }
    fn rows(&self) -> Vec<String> {
        vec![format!("offer {}", self.id)]
    }
}

/// One cell, or several of one database.
trait Celled {
    fn cells(&self) -> impl Iterator<Item = &CellId>;
}

impl<T: Celled> Placed for T {
    fn db(&self, shards: &dyn Shards) -> u16 {
        self.cells().next().map_or(0, |cell| shards.cell_db(&cell.offer))
    }
    fn rows(&self) -> Vec<String> {
        self.cells().map(CellId::to_string).collect()
    }
}

impl Celled for &CellId {
    fn cells(&self) -> impl Iterator<Item = &CellId> {
        std::iter::once(*self)
    }
}
impl Celled for &[CellId] {
    fn cells(&self) -> impl Iterator<Item = &CellId> {
        self.iter()
    }
}
impl Celled for &[(CellId, i64)] {
    fn cells(&self) -> impl Iterator<Item = &CellId> {
        self.iter().map(|(cell, _)| cell)
    }
}
impl Celled for &[CellAsks] {
    fn cells(&self) -> impl Iterator<Item = &CellId> {
        self.iter().map(|asks| &asks.cell)
    }
}
impl Celled for (&CellId, Option<&CellId>) {
    fn cells(&self) -> impl Iterator<Item = &CellId> {
        std::iter::once(self.0).chain(self.1)
    }
}

/// Declares a port. Each method says how it is (`reads`, `locks` rows without changing them,
/// `writes`) and what it is `on`, a [`Placed`].
macro_rules! port {
    (
        $d:tt
        $(#[$about:meta])*
        trait $port:ident, handed on by $each:ident {
            $(
                $(#[$doc:meta])*
                $how:ident fn $name:ident($($arg:ident: $ty:ty),* $(,)?) -> $ret:ty, on $place:expr;
            )*
        }
    ) => {
        $(#[$about])*
        #[async_trait]
        pub trait $port: Shards {
            $(
                $(#[$doc])*
                async fn $name(&self, $($arg: $ty),*) -> StoreResult<$ret>;
            )*
        }

        /// Hands the methods of the port of this name to a macro.
        #[macro_export]
        macro_rules! $each {
            ($d with:ident) => {
                $d with! { $port {
                    $($how fn $name($($arg: $ty),*) -> $ret, on $place;)*
                } }
            };
        }
    };
}
pub(super) use port;
