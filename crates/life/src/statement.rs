//! A provider's statement compared with what is booked here, both ways.
//!
//! Every line of the statement is looked up, whatever its time. What is booked here in a period
//! must be in the statement. At the edges of a day the two clocks disagree, so a statement must
//! reach some minutes beyond its period on both sides; unless told otherwise the period ends five
//! minutes inside of it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;

use contract::buyers::Money;
use contract::desk::{MoneyDifference, MoneyReport, MoneySort};
use domain::life::{
    Life, Payment, PaymentId, PaymentKey, ProviderId, RefundId, RefundKey, RefundNames, RefundSort,
    RefundState, refund_at_provider, taken_back_as,
};
use domain::{Identity, OrderId};
use serde::Deserialize;
use store::StoreResult;
use store::port::{LifeRead, MAX_ORDERS, MoneyMoved, MoneyRead, MoneyWanted, MoneyWay};

/// How far inside of a statement its period ends unless told otherwise, ms.
const EDGE_MS: u64 = 300_000;
/// The most differences of one kind that are listed.
const LISTED: usize = 1000;
/// The most that one line may move, minor units.
const MOST_MINOR: i64 = 1_000_000_000_000_000;

/// Why a statement cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum StatementError {
    /// It has no such column.
    #[error(
        "the header has no column {0}; it needs type, payment_id, refund_id, currency, minor, at"
    )]
    Column(&'static str),
    /// One line is wrong.
    #[error("line {line}: {why}")]
    Line {
        /// Counted from 1, the header included.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// It has too many lines.
    #[error("more than {0} lines: compare it in parts")]
    TooLong(usize),
    /// Nothing moved.
    #[error("no line is a payment or a refund")]
    Empty,
}

/// What a statement says of one payment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct StatedPayment {
    currency: String,
    /// The sum of its lines; `None` when it has refunds only.
    captured: Option<i64>,
    /// By the provider's key; the sum of the lines of each.
    refunds: BTreeMap<String, i64>,
}

/// A provider's statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    payments: BTreeMap<PaymentId, StatedPayment>,
    first_ms: u64,
    last_ms: u64,
    passed_over: u64,
}

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(rename = "type")]
    sort: &'a str,
    payment_id: &'a str,
    refund_id: &'a str,
    currency: &'a str,
    minor: &'a str,
    at: &'a str,
}

const COLUMNS: [&str; 6] = ["type", "payment_id", "refund_id", "currency", "minor", "at"];

impl Statement {
    /// Reads CSV of at most so many lines of payments and refunds.
    pub fn read(from: impl io::Read, most: usize) -> Result<Self, StatementError> {
        let mut csv = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(from);
        let wrong = |e: &csv::Error| {
            let line = e.position().map_or(1, csv::Position::line);
            StatementError::Line { line, why: e.to_string() }
        };
        let headers = csv.headers().map_err(|e| wrong(&e))?.clone();
        if let Some(missing) = COLUMNS.into_iter().find(|c| !headers.iter().any(|h| h == *c)) {
            return Err(StatementError::Column(missing));
        }
        let mut all =
            Self { payments: BTreeMap::new(), first_ms: u64::MAX, last_ms: 0, passed_over: 0 };
        let (mut record, mut lines) = (csv::StringRecord::new(), 0);
        while csv.read_record(&mut record).map_err(|e| wrong(&e))? {
            let line = record.position().map_or(0, csv::Position::line);
            let row: Row<'_> = record.deserialize(Some(&headers)).map_err(|e| wrong(&e))?;
            if !all.take(&row).map_err(|why| StatementError::Line { line, why })? {
                all.passed_over += 1;
                continue;
            }
            lines += 1;
            if lines > most {
                return Err(StatementError::TooLong(most));
            }
        }
        if all.payments.is_empty() { Err(StatementError::Empty) } else { Ok(all) }
    }

    /// One line; false when it is of no concern.
    fn take(&mut self, row: &Row<'_>) -> Result<bool, String> {
        let is_refund = match row.sort {
            "payment" => false,
            "refund" => true,
            _ => return Ok(false),
        };
        let payment: PaymentId =
            row.payment_id.parse().map_err(|e| format!("payment_id {:?}: {e}", row.payment_id))?;
        let minor = row.minor.parse().ok().filter(|n| (0..=MOST_MINOR).contains(n));
        let minor: i64 =
            minor.ok_or_else(|| format!("minor {:?}: minor units, not negative", row.minor))?;
        let is_currency =
            row.currency.len() == 3 && row.currency.bytes().all(|b| b.is_ascii_uppercase());
        if !is_currency {
            return Err(format!("currency {:?}: three capital letters", row.currency));
        }
        let at = contract::parse_time(row.at).and_then(|ms| u64::try_from(ms).ok());
        let at = at.ok_or_else(|| format!("at {:?}: RFC 3339, with an offset", row.at))?;
        if is_refund == row.refund_id.is_empty() {
            return Err("a refund has a refund_id, and a payment has none".to_owned());
        }
        let known = self.payments.entry(payment).or_default();
        if known.currency.is_empty() {
            row.currency.clone_into(&mut known.currency);
        }
        if known.currency != row.currency {
            return Err(format!("its payment had {} before", known.currency));
        }
        let sum = match is_refund {
            true => known.refunds.entry(row.refund_id.to_owned()).or_default(),
            false => known.captured.get_or_insert(0),
        };
        *sum = sum.saturating_add(minor);
        self.first_ms = self.first_ms.min(at);
        self.last_ms = self.last_ms.max(at);
        Ok(true)
    }
}

/// What is booked here from a time on and before another must be in the statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// UTC ms.
    pub from_ms: u64,
    /// UTC ms, later.
    pub to_ms: u64,
}

impl Period {
    /// As it was given, both ends of it, or else as the statement has it: from five minutes after
    /// its first line until five minutes before its last. The error says what is wrong.
    pub fn of(
        statement: &Statement,
        from_ms: Option<u64>,
        to_ms: Option<u64>,
    ) -> Result<Self, &'static str> {
        let (period, why) = match (from_ms, to_ms) {
            (Some(from_ms), Some(to_ms)) => (Self { from_ms, to_ms }, "from must lie before to"),
            (None, None) => (
                Self {
                    from_ms: statement.first_ms.saturating_add(EDGE_MS),
                    to_ms: statement.last_ms.saturating_sub(EDGE_MS),
                },
                "the statement covers no more than ten minutes: say from and to",
            ),
            _ => return Err("from and to go together"),
        };
        if period.from_ms < period.to_ms { Ok(period) } else { Err(why) }
    }
}

/// The books of one provider here.
pub struct MoneyBooks<'a, S: ?Sized> {
    /// Where they are.
    pub store: &'a S,
    /// The secret that makes the keys of refunds.
    pub identity: &'a Identity,
    /// Whose.
    pub provider: ProviderId,
}

/// One thing that money did, in both books.
struct MoneyMove<'a> {
    payment: &'a PaymentId,
    refund: Option<&'a str>,
    order: Option<OrderId>,
    here: Option<Money<'static>>,
    there: Option<Money<'static>>,
    /// Where a refund stands here that has not moved.
    state: Option<RefundState>,
}

impl MoneyMove<'_> {
    fn shown(self) -> MoneyDifference<'static> {
        MoneyDifference {
            sort: if self.refund.is_some() { MoneySort::Refund } else { MoneySort::Payment },
            payment_id: self.payment.to_string(),
            refund_id: self.refund.map(str::to_owned),
            order_id: self.order.map(|o| o.to_string()),
            here: self.here,
            there: self.there,
            state: self.state.map(|s| s.as_str().to_owned()),
        }
    }
}

fn list(
    list: &mut Vec<MoneyDifference<'static>>,
    unlisted: &mut u64,
    one: MoneyDifference<'static>,
) {
    if list.len() < LISTED {
        list.push(one);
    } else {
        *unlisted += 1;
    }
}

/// Puts one move of the statement where it belongs.
fn judge(report: &mut MoneyReport<'static>, one: MoneyMove<'_>) {
    match &one.here {
        Some(_) if one.here == one.there && one.state.is_none() => report.matched += 1,
        Some(_) => list(&mut report.different, &mut report.unlisted, one.shown()),
        None => list(&mut report.missing_here, &mut report.unlisted, one.shown()),
    }
}

fn money(currency: &str, minor: i64) -> Money<'static> {
    Money { currency: currency.to_owned().into(), minor }
}

impl<S: MoneyRead + LifeRead + ?Sized> MoneyBooks<'_, S> {
    /// Compares a statement with them.
    pub async fn compare(
        &self,
        statement: &Statement,
        period: Period,
    ) -> StoreResult<MoneyReport<'static>> {
        let mut report = MoneyReport {
            passed_over: statement.passed_over,
            from: contract::show_time(period.from_ms),
            to: contract::show_time(period.to_ms),
            ..MoneyReport::default()
        };
        let all: Vec<(&PaymentId, &StatedPayment)> = statement.payments.iter().collect();
        for piece in all.chunks(MAX_ORDERS) {
            let lives = self.lives(piece.iter().map(|(id, _)| self.key(id)).collect()).await?;
            for (id, stated) in piece {
                let known = lives.get(&self.key(id)).map_or(&[][..], Vec::as_slice);
                self.stated(&mut report, (id, stated), known);
            }
        }
        for db in 0..self.store.databases() {
            for way in [MoneyWay::In, MoneyWay::Back] {
                self.booked(&mut report, statement, (db, way), period).await?;
            }
        }
        Ok(report)
    }

    fn key(&self, payment: &PaymentId) -> PaymentKey {
        PaymentKey { provider: self.provider.clone(), payment: payment.clone() }
    }

    /// The orders that decide on these payments, wherever they are. One that names orders of two
    /// databases is in both.
    async fn lives(&self, keys: Vec<PaymentKey>) -> StoreResult<HashMap<PaymentKey, Vec<Life>>> {
        let mut found = HashMap::<PaymentKey, Vec<Life>>::new();
        for db in 0..self.store.databases() {
            let named = self.store.payments_named(db, &keys).await?;
            let orders: Vec<OrderId> = named.iter().map(|(_, order)| *order).collect();
            let lives = self.store.lives(db, &orders).await?;
            for ((key, _), life) in named.into_iter().zip(lives) {
                found.entry(key).or_default().push(life);
            }
        }
        Ok(found)
    }

    /// What the statement says of one payment.
    fn stated(
        &self,
        report: &mut MoneyReport<'static>,
        stated: (&PaymentId, &StatedPayment),
        known: &[Life],
    ) {
        let (id, stated) = stated;
        let key = self.key(id);
        let booked: Vec<(&Life, &Payment)> =
            known.iter().filter_map(|l| Some((l, l.payments.get(&key)?))).collect();
        let order = booked.first().map(|(life, _)| life.id);
        let currency = booked.first().map_or("", |(_, p)| p.currency.as_str());
        if let Some(minor) = stated.captured {
            // Booked twice, it is no less than twice the sum.
            let sum = booked.iter().fold(0_i64, |sum, (_, p)| sum.saturating_add(p.captured));
            let here = (sum > 0 || minor == 0 && order.is_some()).then(|| money(currency, sum));
            let there = Some(money(&stated.currency, minor));
            judge(report, MoneyMove { payment: id, refund: None, order, here, there, state: None });
        }
        let names: Vec<RefundNames<'_>> =
            booked.iter().map(|(life, _)| RefundNames::new(life, self.identity, &key)).collect();
        for (named, minor) in &stated.refunds {
            let refund = names.iter().find_map(|n| n.find(named));
            let state = refund.map(|r| r.state).filter(|s| *s != RefundState::Succeeded);
            let here = refund.map(|r| money(currency, r.amount));
            let there = Some(money(&stated.currency, *minor));
            let one = MoneyMove { payment: id, refund: Some(named), order, here, there, state };
            judge(report, one);
        }
    }

    /// What is booked here and not in the statement.
    async fn booked(
        &self,
        report: &mut MoneyReport<'static>,
        statement: &Statement,
        of: (u16, MoneyWay),
        period: Period,
    ) -> StoreResult<()> {
        let (db, way) = of;
        let mut wanted = MoneyWanted {
            way,
            provider: self.provider.clone(),
            from_ms: period.from_ms,
            to_ms: period.to_ms,
            after: None,
            limit: MAX_ORDERS as u64,
        };
        loop {
            let page = self.store.moved(db, &wanted).await?;
            let Some(last) = page.last().cloned() else { return Ok(()) };
            wanted.after = Some(last);
            // Of most payments the statement says that they came: no life is needed for that.
            let of = |m: &MoneyMoved| statement.payments.get(&m.payment.payment);
            let is_stated =
                |m: &MoneyMoved| way == MoneyWay::In && of(m).is_some_and(|s| s.captured.is_some());
            let left: Vec<&MoneyMoved> = page.iter().filter(|m| !is_stated(m)).collect();
            let orders: Vec<OrderId> = left.iter().map(|m| m.order).collect();
            let lives = self.store.lives(db, &orders).await?;
            let mut taken = HashMap::<&PaymentId, HashSet<RefundId>>::new();
            for moved in &left {
                if let Some(stated) = of(moved) {
                    let names = || stated.refunds.keys().map(|n| taken_back_as(n)).collect();
                    taken.entry(&moved.payment.payment).or_insert_with(names);
                }
            }
            for (moved, life) in left.iter().zip(&lives) {
                let taken = taken.get(&moved.payment.payment);
                if let Some(missing) = self.unstated(taken, of(moved), moved, life) {
                    list(&mut report.missing_there, &mut report.unlisted, missing);
                }
            }
        }
    }

    /// A move that the statement does not have; `None` when it has it after all.
    fn unstated(
        &self,
        taken: Option<&HashSet<RefundId>>,
        stated: Option<&StatedPayment>,
        moved: &MoneyMoved,
        life: &Life,
    ) -> Option<MoneyDifference<'static>> {
        let payment = life.payments.get(&moved.payment)?;
        let mut minor = payment.captured;
        let mut named = None;
        if let Some(id) = &moved.refund {
            let key = RefundKey { refund: id.clone(), payment: moved.payment.clone() };
            let refund = life.refunds.get(&key)?;
            let (name, is_stated) = match refund.sort {
                // The order that was bought again has a copy of it.
                RefundSort::Provider if payment.home() != life.id => return None,
                // The provider's own name of it is not kept.
                RefundSort::Provider => (id.to_string(), taken.is_some_and(|t| t.contains(id))),
                RefundSort::Automatic | RefundSort::Granted => {
                    let name = refund_at_provider(self.identity, life.id, &key, refund);
                    let is_stated = stated.is_some_and(|s| s.refunds.contains_key(&name));
                    (name, is_stated)
                }
            };
            if is_stated {
                return None;
            }
            minor = refund.amount;
            named = Some(name);
        }
        let one = MoneyMove {
            payment: &moved.payment.payment,
            refund: named.as_deref(),
            order: Some(life.id),
            here: Some(money(&payment.currency, minor)),
            there: None,
            state: None,
        };
        Some(one.shown())
    }
}
