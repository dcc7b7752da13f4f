//! What the API says: its routes, what goes in and out, and how a refusal looks.
//!
//! One table ([`routes`]) has every route with who may call it, what it takes, answers and refuses;
//! the services' matches, `Allow`, metric labels and `docs/openapi.json` come from it. The types of
//! bodies are here, once, for those who answer, those who ask (load test, tests) and the document.
//! Nothing here does IO or knows of a server.

pub mod buyers;
pub mod desk;
mod openapi;
pub mod operators;
pub mod paying;
mod problem;
mod reason;
pub mod routes;
mod strict;
mod when;
pub mod words;

pub use openapi::{document, json};
pub use problem::{Problem, ProblemBody};
pub use reason::{Reason, Retry};
pub use routes::{Buyers, Operators};
pub use strict::{object, present, whole};
pub use when::{parse as parse_time, show as show_time, show_bound};
