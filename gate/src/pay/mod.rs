//! What buyers, providers and warehouses say of orders after their rows: thin, what is decided is
//! `domain::life`'s, and each call is one transaction that the clerk could make as well.

pub(crate) mod callback;
pub(crate) mod cancel;
pub(crate) mod details;
pub(crate) mod refunds;
pub(crate) mod session;
pub(crate) mod tell;

use contract::{Problem, Reason};
use domain::life::{Actor, LifeAnswer, LifeWish};
use view::failed::{self, Down};

use crate::state::Gate;

/// Which order a call is about.
#[derive(Clone, Copy)]
pub(crate) struct OrderPath<'a> {
    /// As the path has it.
    pub id: &'a str,
    /// Of the URL.
    pub query: Option<&'a str>,
}

/// Asks for something in the buyer's name.
async fn ask(gate: &Gate, wish: LifeWish) -> Result<LifeAnswer, Problem> {
    let policies = gate.catalog.policies();
    let done = life::ask::one(&*gate.ports.store, Actor::Buyer, policies, wish).await;
    done.map_err(failed::database).map_err(down)
}

/// An answer to something that is not its question: a bug.
fn unexpected() -> Problem {
    tracing::error!("an answer to another question");
    Problem::new(Reason::Internal)
}

fn down(Down: Down) -> Problem {
    Problem::with(Reason::DependencyDown, "the order's database does not answer")
}
