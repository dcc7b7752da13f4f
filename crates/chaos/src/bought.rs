//! What strangers bought: what left, what lay in their sockets, and the rows. Pure.

use std::collections::BTreeSet;

use domain::RowStatus;

/// What one stranger sent, and what it was told.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Sent {
    /// Its keys are this, a dash and the number of the purchase.
    pub name: String,
    /// So many may have left; each has a key of its own.
    pub purchases: u32,
    pub connections: u32,
    /// Connections that a gate ended.
    pub ended: u32,
    /// Purchases that a gate accepted, as far as the answers arrived.
    pub told: Vec<u32>,
}

/// A row of their offer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub key: String,
    pub live: bool,
}

impl Row {
    /// From a line: key and status.
    pub(crate) fn read(line: &str) -> Option<Self> {
        let (key, status) = line.split_once('\t')?;
        let status: u8 = status.trim().parse().ok()?;
        let live = [RowStatus::Pending, RowStatus::Paid, RowStatus::Shipped, RowStatus::Completed];
        let live = live.iter().any(|s| *s as u8 == status);
        Some(Self { key: key.to_owned(), live })
    }
}

/// Which answers of a connection, counted from 0, are acceptances: answers come in the order of
/// the purchases.
pub(crate) fn answers(bytes: &[u8]) -> Vec<u32> {
    let text = String::from_utf8_lossy(bytes);
    let all = text.split("HTTP/1.1 ").skip(1).zip(0..);
    let accepted =
        all.filter(|(a, _)| a.starts_with("202") && a.contains("\"status\":\"accepted\""));
    accepted.map(|(_, n)| n).collect()
}

/// Every broken rule.
pub(crate) fn wrong(sent: &[Sent], rows: &[Row], units: u32) -> Vec<String> {
    let mut wrong = Vec::new();
    let left: BTreeSet<String> =
        sent.iter().flat_map(|s| (0..s.purchases).map(|n| format!("{}-{n}", s.name))).collect();
    let live = rows.iter().filter(|r| r.live).count();
    if live > units as usize {
        wrong.push(format!("strangers, never oversold: {live} of {units}"));
    }
    let mut keys = BTreeSet::new();
    for row in rows.iter().filter(|r| r.live) {
        if !keys.insert(&row.key) {
            wrong.push(format!("strangers, one key, one order: {}", row.key));
        }
        if !left.contains(&row.key) {
            wrong.push(format!("strangers, nobody ordered: {}", row.key));
        }
    }
    for key in sent.iter().flat_map(|s| s.told.iter().map(|n| format!("{}-{n}", s.name))) {
        // A rejected one is what Redis may cost that lost data.
        if !rows.iter().any(|r| r.key == key) {
            wrong.push(format!("strangers, accepted has a row: {key}"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(purchases: u32, told: &[u32]) -> Sent {
        Sent { name: "s".to_owned(), purchases, told: told.to_vec(), ..Sent::default() }
    }

    fn rows(keys: &[&str]) -> Vec<Row> {
        keys.iter().filter_map(|k| Row::read(&format!("{k}\t3"))).collect()
    }

    #[test]
    fn each_rule_can_be_broken() {
        let fine = wrong(&[sent(3, &[1])], &rows(&["s-1", "s-2"]), 2);
        assert_eq!(fine, Vec::<String>::new());
        for (sent, rows, units, told) in [
            (sent(3, &[]), rows(&["s-0", "s-1"]), 1, "never oversold"),
            (sent(3, &[]), rows(&["s-1", "s-1"]), 9, "one key, one order"),
            (sent(3, &[]), rows(&["s-3"]), 9, "nobody ordered"),
            (sent(3, &[2]), rows(&["s-1"]), 9, "accepted has a row: s-2"),
        ] {
            let wrong = wrong(&[sent], &rows, units);
            assert!(wrong.len() == 1 && wrong[0].contains(told), "{wrong:?}");
        }
    }

    #[test]
    fn a_rejected_row_takes_no_unit() {
        let rejected = Row::read("s-0\t7").unwrap();
        assert!(!rejected.live);
        assert!(wrong(&[sent(1, &[0])], &[rejected], 0).is_empty());
        assert_eq!(Row::read("ERROR"), None);
    }

    #[test]
    fn acceptances_are_told_by_their_place() {
        let answer =
            |status: &str, body: &str| format!("HTTP/1.1 {status} x\r\na: b\r\n\r\n{body}");
        let accepted = answer("202", "{\"status\":\"accepted\"}");
        let text = [
            accepted.clone(),
            answer("409", "{\"reason\":\"sold_out\"}"),
            answer("202", "{\"status\":\"unconfirmed\"}"),
            accepted.clone(),
            accepted[..40].to_owned(),
        ];
        assert_eq!(answers(text.concat().as_bytes()), [0, 3]);
    }
}
