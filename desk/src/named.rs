//! What tasks are called, and how one is shown.

use contract::operators::Task;
use domain::OrderId;
use domain::life::{TASK_KINDS, TaskDraft};
use store::port::TaskRow;

/// One that is open.
pub(super) fn open(id: String, kind: &'static str, subject: String) -> Task<'static> {
    Task {
        id,
        kind: kind.into(),
        subject,
        why: String::new(),
        state: "open".into(),
        times: 1,
        resolved_by: None,
        note: None,
    }
}

/// A task of an order's life.
pub(super) fn of_life(db: u16, row: TaskRow) -> Task<'static> {
    let kind = TASK_KINDS.iter().find(|(n, _)| *n == row.kind).map_or("other", |k| k.1);
    let why = TaskDraft::stored(row.kind, &row.subject).map_or("", |draft| draft.why());
    let id = Id::Life { db, kind: row.kind, subject: row.subject.clone() }.to_string();
    let told = |text: String| Some(text).filter(|t| !t.is_empty());
    Task {
        why: why.to_owned(),
        state: if row.is_open { "open" } else { "resolved" }.into(),
        times: row.times,
        resolved_by: told(row.resolved_by),
        note: told(row.note),
        ..open(id, kind, row.subject)
    }
}

/// What names a task; in the order in which they are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Id {
    Order(OrderId),
    Frame(String),
    Life { db: u16, kind: i8, subject: String },
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Id::Order(order) => write!(f, "{order}"),
            Id::Frame(hash) => f.write_str(hash),
            Id::Life { db, kind, subject } => {
                write!(f, "life-{db}-{kind}-")?;
                subject.bytes().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }
    }
}

impl Id {
    /// A task of an order's life, as it is written.
    fn life(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("life-")?.splitn(3, '-');
        let (db, kind) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let hex = parts.next()?.as_bytes();
        let digit = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
        let byte = |pair: &[u8]| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?);
        let subject = hex.chunks(2).map(byte).collect::<Option<Vec<u8>>>()?;
        let id = Id::Life { db, kind, subject: String::from_utf8(subject).ok()? };
        (id.to_string() == text).then_some(id)
    }

    /// An order's id, the hash of a frame, or the place of another task.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.starts_with("life-") {
            return Id::life(text);
        }
        let is_hash = text.len() == 64
            && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        match text.parse() {
            Ok(order) => Some(Id::Order(order)),
            Err(_) => is_hash.then(|| Id::Frame(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_orders_or_hashes() {
        let order = "0000005d-03f3-89f3-8887-2a34304e79d2";
        assert_eq!(Id::parse(order), Some(Id::Order(order.parse().unwrap())));
        let hash = "0a".repeat(32);
        assert_eq!(Id::parse(&hash), Some(Id::Frame(hash)));
        let subject = "card/p 1".to_owned();
        let life = Id::Life { db: 3, kind: 5, subject };
        assert_eq!(life.to_string(), "life-3-5-636172642f702031");
        assert_eq!(Id::parse(&life.to_string()), Some(life));
        for bad in [
            "",
            "x",
            "0A",
            &"0A".repeat(32),
            &"0a".repeat(31),
            "0a/0b",
            "life-",
            "life-3",
            "life-3-5-6",
            "life-3-5-6X",
            "life-03-5-61",
            "life-3-5-6A",
            "life-70000-5-61",
            "life-3-5-ff",
        ] {
            assert_eq!(Id::parse(bad), None, "{bad}");
        }
    }
}
