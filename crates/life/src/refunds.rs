//! Refunds as clients ask for them and hear of them: the same words for buyers and operators.

use contract::paying::RefundWanted;
use contract::{Problem, Reason};
use domain::CellId;
use domain::life::{AskedRefund, Portion, RefundAsk, RefundState};
use store::port::OrderRow;

/// The most lines of one refund; an order has no more.
const MAX_LINES: usize = 20;

/// What is asked for, of an order.
pub fn ask(wanted: &RefundWanted<'_>, row: &OrderRow) -> Result<RefundAsk, Problem> {
    let malformed = |text: &str| Problem::with(Reason::Malformed, text);
    let refund = wanted.refund_id.parse();
    let refund = refund.map_err(|_| malformed("refund_id is 1 to 64 visible ASCII characters"))?;
    let portion = match (&wanted.lines, &wanted.amount) {
        (None, None) => Portion::Whole,
        (Some(_), Some(_)) => return Err(malformed("lines, or an amount, not both")),
        (None, Some(amount)) if amount.currency != row.currency => {
            return Err(malformed(&format!("the order is in {}", row.currency)));
        }
        (None, Some(amount)) if amount.minor < 1 => {
            return Err(malformed("amount: at least 1 minor unit"));
        }
        (None, Some(amount)) => Portion::Amount(amount.minor),
        (Some(lines), None) => {
            if !(1..=MAX_LINES).contains(&lines.len()) {
                return Err(malformed("lines: 1 to 20"));
            }
            let mut asked: Vec<(CellId, u32)> = Vec::with_capacity(lines.len());
            for line in lines {
                let own = row.lines.iter().find(|(offer, ..)| offer.name() == line.offer);
                let Some((offer, bucket, ..)) = own else {
                    return Err(malformed(&format!("the order has no line of {:?}", line.offer)));
                };
                if line.quantity == 0 {
                    return Err(malformed("quantity is at least 1"));
                }
                let cell = offer.cell(*bucket);
                if asked.iter().any(|(known, _)| *known == cell) {
                    return Err(malformed(&format!("two lines of {:?}", line.offer)));
                }
                asked.push((cell, line.quantity));
            }
            Portion::Lines(asked)
        }
    };
    Ok(RefundAsk { refund, portion })
}

/// Where a refund that was asked for stands and how much it is, minor units; or why there is none.
pub fn answer(row: &OrderRow, asked: AskedRefund) -> Result<(RefundState, i64), Problem> {
    let problem = |reason, text: String| Err(Problem::with(reason, text).about(row.order));
    match asked {
        AskedRefund::Done { state, amount } => Ok((state, amount)),
        AskedRefund::TooLarge => {
            problem(Reason::RefundTooLarge, "more than is left of the order".to_owned())
        }
        AskedRefund::Conflict => {
            problem(Reason::KeyConflict, "this refund_id was used for another refund".to_owned())
        }
        AskedRefund::Illegal => {
            problem(Reason::IllegalTransition, format!("the order is {}", row.status.as_str()))
        }
        AskedRefund::NotAllowed => Err(Problem::new(Reason::RefundNotAllowed).about(row.order)),
        AskedRefund::NoRow => Err(Problem::new(Reason::NotYet).about(row.order)),
    }
}
