//! What a handler of the gate comes to.

use contract::Problem;
use web::answer::{self, Answer};

use crate::metrics::Outcome;

/// An answer and how it counts.
pub(crate) type Ended = (Answer, Outcome);

/// What a handler comes to; a problem becomes an answer in one place.
pub(crate) type Handled = Result<Ended, Problem>;

/// How a request ended.
pub(crate) fn ended(handled: Handled) -> Ended {
    handled.unwrap_or_else(|p| (answer::problem(&p), Outcome::Problem(p.reason)))
}
