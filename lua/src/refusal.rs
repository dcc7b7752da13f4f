//! What an error text of a Redis node says about the script: run or not.
//!
//! Shared by the two clients, so that both mean the same by [`CellError::NotSent`]. Anything
//! that is not known to come before the first write is not in this table.

use domain::CellId;

use crate::port::CellError;

/// First words of the errors after which the script has certainly not run to a write.
const NOT_RUN: [&str; 15] = [
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
    "NOPERM",
    "WRONGPASS",
    "NOSCRIPT",
];

/// Texts of Redis 7 and 6 for a command inside a script that the user's access list forbids.
const FORBIDDEN: [&str; 2] = ["ACL failure in script", "The user executing the script can't"];

/// The error for an answer of a node that is an error itself.
pub(crate) fn of_server(cell: &CellId, script: &str, text: &str) -> CellError {
    let first = text.split_whitespace().next().unwrap_or_default();
    if NOT_RUN.contains(&first) {
        CellError::NotSent(cell.clone(), text.to_owned())
    } else if FORBIDDEN.iter().any(|f| text.contains(f)) {
        // It stopped in the middle, and runs whole once the list is right.
        tracing::warn!(%cell, script, text, "redis forbids a command of a script");
        CellError::Unknown(cell.clone())
    } else {
        CellError::Broken(cell.clone(), format!("{script}: {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operator_can_set_right_is_no_bug() {
        let cell: CellId = "offer.0".parse().unwrap();
        let of = |text| of_server(&cell, "apply", text);
        for text in [
            "NOAUTH Authentication required.",
            "WRONGPASS invalid username-password pair or user is disabled.",
            "NOPERM User sluice has no permissions to run the 'evalsha' command",
            "NOPERM No permissions to access a key",
            "NOPERM this user has no permissions to access one of the keys used as arguments",
        ] {
            assert!(matches!(of(text), CellError::NotSent(..)), "{text}");
        }
        for text in [
            "ERR ACL failure in script: User sluice has no permissions to run the 'hset' command",
            "ERR The user executing the script can't run this command or subcommand script: f",
        ] {
            assert!(matches!(of(text), CellError::Unknown(..)), "{text}");
        }
        assert!(!of("ERR apply: arity").is_transient());
    }
}
