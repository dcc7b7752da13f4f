//! unseal: the arguments of `unseal.lua`; its replies are those of fence.
//!
//! An `att` that no hold can have never matches: such a call is refused here.

use domain::{CellId, OrderId};

use crate::hold;
use crate::script::{Call, UNSEAL};

/// The call, or why it is none.
pub(crate) fn encode(cell: &CellId, order: OrderId, att: &str) -> Result<Call, String> {
    let att = hold::att_code(att).ok_or_else(|| format!("unseal with att {att:?}"))?;
    let mut out = Call::new(&UNSEAL, cell, &["c", "h", "b0"]);
    out.bytes(&order.key().0);
    out.bytes(&order.0);
    out.text(att);
    Ok(out)
}
