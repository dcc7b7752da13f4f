//! `--history FILE`: what every client saw, one JSON object a line, for outside checkers.
//!
//! - `{"event":"start","run","offer","unix_ms","quantity","requests","duplicates","seed"}` is the
//!   first line: `requests` keys will leave, `duplicates` of them twice.
//! - `{"event":"call","at_us","buyer","key","copy","attempt"}`: a request leaves. `copy` 1 is the
//!   second of two that left at once with one key; `attempt` counts from 0 per copy.
//! - `{"event":"answer","at_us","buyer","key","copy","attempt","outcome","order_id"}`: it ended.
//!   `outcome` is `accepted`, `unconfirmed`, `decided_<status>`, a reason of the API, `odd_<http
//!   status>`, `no_answer` (an order may exist) or `not_sent`. `order_id` may be null.
//! - `{"event":"read","at_us","buyer","key","fate","order_id","reason"}`: what became of it, asked
//!   after everything settled. `fate` is a status, `no_order` or `no_answer`.
//!
//! `at_us` counts from `unix_ms`. Lines of different requests may be out of order by microseconds;
//! those of one attempt are not. An error while writing ends the history, is told once, and does
//! not end the run.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;

/// One line.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum HistoryEvent<'a> {
    /// See the top of the module.
    Start {
        run: &'a str,
        offer: &'a str,
        unix_ms: u64,
        quantity: u32,
        requests: u32,
        duplicates: u32,
        seed: u64,
    },
    /// See the top of the module.
    Call { at_us: u64, buyer: &'a str, key: &'a str, copy: u8, attempt: u16 },
    /// See the top of the module.
    Answer {
        at_us: u64,
        buyer: &'a str,
        key: &'a str,
        copy: u8,
        attempt: u16,
        outcome: &'a str,
        order_id: Option<String>,
    },
    /// See the top of the module.
    Read {
        at_us: u64,
        buyer: &'a str,
        key: &'a str,
        fate: &'a str,
        order_id: Option<String>,
        reason: Option<&'a str>,
    },
}

/// The file, or nothing.
pub(crate) struct History {
    out: Option<Mutex<Option<BufWriter<File>>>>,
}

impl History {
    /// Opens the file, if one was asked for.
    pub(crate) fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Ok(Self { out: None });
        };
        let file = File::create(path).with_context(|| format!("--history {}", path.display()))?;
        Ok(Self { out: Some(Mutex::new(Some(BufWriter::with_capacity(1 << 18, file)))) })
    }

    /// True when lines are kept.
    pub(crate) fn is_on(&self) -> bool {
        self.out.is_some()
    }

    /// Writes a line.
    pub(crate) fn write(&self, event: &HistoryEvent<'_>) {
        let Some(out) = &self.out else { return };
        let line = serde_json::to_value(event).unwrap_or(Value::Null);
        let mut out = out.lock();
        let Some(file) = out.as_mut() else { return };
        if let Err(e) = writeln!(file, "{line}") {
            runtime::note!("--history: {e}; the history ends here");
            *out = None;
        }
    }

    /// Writes out what is buffered.
    pub(crate) fn flush(&self) {
        let Some(out) = &self.out else { return };
        if let Some(file) = out.lock().as_mut()
            && let Err(e) = file.flush()
        {
            runtime::note!("--history: {e}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A checker of its own reads these lines; a name in them never changes by itself.
    #[test]
    fn the_names_in_a_line_are_fixed() {
        let (buyer, key, order_id) = ("ann", "k", None);
        let call = HistoryEvent::Call { at_us: 7, buyer, key, copy: 1, attempt: 2 };
        let answer = HistoryEvent::Answer {
            at_us: 8,
            buyer,
            key,
            copy: 1,
            attempt: 2,
            outcome: "o",
            order_id,
        };
        let read =
            HistoryEvent::Read { at_us: 9, buyer, key, fate: "f", order_id: None, reason: None };
        let start = HistoryEvent::Start {
            run: "r",
            offer: "o",
            unix_ms: 1,
            quantity: 2,
            requests: 3,
            duplicates: 4,
            seed: 5,
        };
        for (event, want) in [
            (
                start,
                r#"{"duplicates":4,"event":"start","offer":"o","quantity":2,"requests":3,"run":"r","seed":5,"unix_ms":1}"#,
            ),
            (call, r#"{"at_us":7,"attempt":2,"buyer":"ann","copy":1,"event":"call","key":"k"}"#),
            (
                answer,
                r#"{"at_us":8,"attempt":2,"buyer":"ann","copy":1,"event":"answer","key":"k","order_id":null,"outcome":"o"}"#,
            ),
            (
                read,
                r#"{"at_us":9,"buyer":"ann","event":"read","fate":"f","key":"k","order_id":null,"reason":null}"#,
            ),
        ] {
            assert_eq!(serde_json::to_value(&event).unwrap().to_string(), want);
        }
    }

    #[test]
    fn lines_are_json_with_their_event() {
        let dir = std::env::temp_dir().join(format!("sluicegate-history-{}", std::process::id()));
        let history = History::open(Some(&dir)).unwrap();
        history.write(&HistoryEvent::Call { at_us: 1, buyer: "b", key: "k", copy: 0, attempt: 2 });
        history.flush();
        let text = std::fs::read_to_string(&dir).unwrap();
        std::fs::remove_file(&dir).unwrap();
        let value: Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!((value["event"].as_str(), value["attempt"].as_u64()), (Some("call"), Some(2)));
    }
}
