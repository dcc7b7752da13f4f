//! What an error text of a Redis node says about the script: run or not.
//!
//! Shared by the two clients, so that both mean the same by [`CellError::NotSent`]. Anything
//! that is not known to come before the first write is not in this table.

use domain::CellId;

use crate::port::CellError;

/// First words of the errors after which the script has certainly not run to a write.
const NOT_RUN: [&str; 13] = [
    "MOVED",
    "ASK",
    "TRYAGAIN",
    "CLUSTERDOWN",
    "READONLY",
    "LOADING",
    "MASTERDOWN",
    "BUSY",
    "OOM",
    "NOREPLICAS",
    "MISCONF",
    "NOAUTH",
    "NOSCRIPT",
];

/// The error for an answer of a node that is an error itself.
pub fn of_server(cell: &CellId, script: &str, text: &str) -> CellError {
    let first = text.split_whitespace().next().unwrap_or_default();
    if NOT_RUN.contains(&first) {
        CellError::NotSent(cell.clone(), text.to_owned())
    } else {
        CellError::Broken(cell.clone(), format!("{script}: {text}"))
    }
}
