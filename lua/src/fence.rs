//! fence: the arguments and the replies of `fence.lua` (and the replies of `unseal.lua`).
//!
//! Both compare the whole id; other content under the same key is not their business.

use domain::{CellId, OrderId};

use crate::port::FenceReply;
use crate::reserve::verdict;
use crate::script::{Call, FENCE};
use crate::value::{Fields, Value};

/// The call.
pub(crate) fn encode(cell: &CellId, order: OrderId, payload: &[u8]) -> Call {
    let mut out = Call::new(&FENCE, cell, &["c", "h", "d0", "d1"]);
    out.bytes(&order.key().0);
    out.bytes(&order.0);
    out.bytes(payload);
    out
}

/// The reply.
pub(crate) fn decode(order: OrderId, value: Value) -> Result<FenceReply, String> {
    let mut f = Fields::of(value)?;
    f.echo(&order.0)?;
    match f.int()? {
        0 => Ok(FenceReply::Fenced),
        1 => Ok(FenceReply::Sealed),
        2 => verdict(&f.bytes()?).map(FenceReply::Verdict),
        3 => Ok(FenceReply::Changed),
        4 => Ok(FenceReply::Missing),
        code => Err(format!("fence answered code {code}")),
    }
}
