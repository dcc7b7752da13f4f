//! The payload of a transfer hold: what the relay needs to finish a removal or a transfer.

use prost::Message;

use crate::cell::CellId;
use crate::order::PayloadError;

/// Units that leave a cell, and the cell that receives them, if any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// The cell the units leave.
    pub from: CellId,
    /// The cell that receives them; `None` takes them off sale.
    pub to: Option<CellId>,
    /// How many, at least 1.
    pub units: u32,
}

#[derive(Clone, PartialEq, Message)]
struct TransferWire {
    #[prost(string, tag = "1")]
    from: String,
    #[prost(string, tag = "2")]
    to: String,
    #[prost(uint32, tag = "3")]
    units: u32,
}

impl Transfer {
    /// The bytes that the hold carries.
    pub fn encode(&self) -> Vec<u8> {
        let to = self.to.as_ref().map(CellId::to_string).unwrap_or_default();
        TransferWire { from: self.from.to_string(), to, units: self.units }.encode_to_vec()
    }

    /// Reads the bytes back.
    pub fn decode(bytes: &[u8]) -> Result<Self, PayloadError> {
        let w = TransferWire::decode(bytes).map_err(|e| PayloadError(e.to_string()))?;
        let cell = |s: &str| s.parse::<CellId>().map_err(|e| PayloadError(e.to_string()));
        let to = if w.to.is_empty() { None } else { Some(cell(&w.to)?) };
        Ok(Self { from: cell(&w.from)?, to, units: w.units })
    }
}
