//! The port over any way to run a script.
//!
//! [`Engine`] encodes a call, lets its [`Runner`] run it once, and decodes the reply. It retries
//! nothing and knows no backend. A reply it cannot read is [`CellError::Broken`], never a guess.

use async_trait::async_trait;
use domain::{CellId, EntryId, Hold, Key, Nonce, OrderId, Tok};

use crate::port::{
    Applied, ApplyCall, CellError, CellResult, CellView, Cells, Changed, FenceReply, LoadCall,
    MendCall, Page, ReserveCall, ReserveReply, Wait,
};
use crate::script::Call;
use crate::value::{Fields, Value};
use crate::{
    apply, cancel, drop, fence, load, lookup, mend, reserve, resolve, scan, snapshot, stage,
    ticket, unseal,
};

/// Runs a script once.
#[async_trait]
pub trait Runner: Send + Sync {
    /// One attempt. Errors say whether the script may have run.
    async fn run(&self, cell: &CellId, call: Call) -> CellResult<Value>;
    /// One attempt, then WAIT on the connection that made it: true when enough replicas have what
    /// it wrote. Only the gate waits, so only its backend has this; of the others, which have no
    /// replicas (embedded) or no such caller (redis-rs), nobody vouches for anything.
    async fn run_waiting(
        &self,
        cell: &CellId,
        call: Call,
        _wait: Wait,
    ) -> CellResult<(Value, bool)> {
        Ok((self.run(cell, call).await?, false))
    }
    /// True when the backend answers at all.
    async fn ping(&self) -> bool;
}

/// [`Cells`] over a runner.
#[derive(Debug, Clone)]
pub struct Engine<R> {
    runner: R,
}

impl<R: Runner> Engine<R> {
    /// The port over `runner`.
    pub fn new(runner: R) -> Self {
        Self { runner }
    }

    /// The runner, for what the port does not have.
    pub fn runner(&self) -> &R {
        &self.runner
    }

    async fn run<T>(
        &self,
        cell: &CellId,
        call: Result<Call, String>,
        decode: impl FnOnce(Value) -> Result<T, String>,
    ) -> CellResult<T> {
        let broken = |text: String| CellError::Broken(cell.clone(), text);
        let call = call.map_err(broken)?;
        let name = call.script.name;
        let value = self.runner.run(cell, call).await?;
        decode(value).map_err(|text| broken(format!("{name}: {text}")))
    }

    async fn changed(&self, cell: &CellId, call: Result<Call, String>) -> CellResult<Changed> {
        self.run(cell, call, |v| cancel::code(Fields::of(v)?.int()?)).await
    }
}

#[async_trait]
impl<R: Runner> Cells for Engine<R> {
    async fn reserve(&self, cell: &CellId, call: &ReserveCall) -> CellResult<ReserveReply> {
        let decode = |v| reserve::decode(call, v);
        let encoded = reserve::encode(cell, call);
        let Some(wait) = call.wait else { return self.run(cell, encoded, decode).await };
        let broken = |text: String| CellError::Broken(cell.clone(), format!("reserve: {text}"));
        let encoded = encoded.map_err(broken)?;
        let (value, replicated) = self.runner.run_waiting(cell, encoded, wait).await?;
        Ok(ReserveReply { replicated, ..decode(value).map_err(broken)? })
    }

    async fn apply(&self, cell: &CellId, call: ApplyCall) -> CellResult<Applied> {
        self.run(cell, apply::encode(cell, &call), apply::decode).await
    }

    async fn resolve(&self, cell: &CellId, ids: &[(EntryId, u64)]) -> CellResult<u32> {
        if ids.is_empty() {
            return Ok(0);
        }
        self.run(cell, resolve::encode(cell, ids), resolve::decode).await
    }

    async fn cancel(&self, cell: &CellId, order: OrderId, nonce: Nonce) -> CellResult<Changed> {
        let call = Ok(cancel::encode(cell, order, nonce));
        self.run(cell, call, |v| cancel::decode(order, v)).await
    }

    async fn fence(&self, cell: &CellId, order: OrderId, payload: &[u8]) -> CellResult<FenceReply> {
        let call = Ok(fence::encode(cell, order, payload));
        self.run(cell, call, |v| fence::decode(order, v)).await
    }

    async fn unseal(&self, cell: &CellId, order: OrderId, att: &str) -> CellResult<FenceReply> {
        self.run(cell, unseal::encode(cell, order, att), |v| fence::decode(order, v)).await
    }

    async fn take_ticket(
        &self,
        cell: &CellId,
        ticket: &str,
        respect_ms: Option<u64>,
    ) -> CellResult<Changed> {
        self.changed(cell, ticket::encode(cell, ticket, respect_ms)).await
    }

    async fn stage(&self, cell: &CellId, suffix: &str, b: &[(String, i64)]) -> CellResult<()> {
        self.run(cell, stage::encode(cell, suffix, b), |_| Ok(())).await
    }

    async fn load(&self, cell: &CellId, call: LoadCall) -> CellResult<Changed> {
        self.changed(cell, load::encode(cell, &call)).await
    }

    async fn mend(&self, cell: &CellId, call: MendCall) -> CellResult<Changed> {
        self.changed(cell, mend::encode(cell, &call)).await
    }

    async fn drop_cell(
        &self,
        cell: &CellId,
        seen: (u64, u64, Tok),
        fork: bool,
    ) -> CellResult<Changed> {
        self.changed(cell, Ok(drop::encode(cell, seen, fork))).await
    }

    async fn snapshot(&self, cell: &CellId) -> CellResult<Option<CellView>> {
        self.run(cell, Ok(snapshot::encode(cell)), snapshot::decode).await
    }

    async fn scan_holds(&self, cell: &CellId, cursor: u64, count: u32) -> CellResult<Page<Hold>> {
        self.run(cell, Ok(scan::encode_holds(cell, cursor, count)), |v| scan::decode_holds(cell, v))
            .await
    }

    async fn scan_buyers(
        &self,
        cell: &CellId,
        cursor: u64,
        count: u32,
    ) -> CellResult<Page<(String, i64)>> {
        let call = Ok(scan::encode_buyers(cell, cursor, count));
        self.run(cell, call, |v| scan::decode_buyers(cursor, v)).await
    }

    async fn buyers(&self, cell: &CellId, buyers: &[String]) -> CellResult<Vec<Option<i64>>> {
        let call = lookup::encode_buyers(cell, buyers);
        self.run(cell, call, |v| lookup::decode_buyers(buyers, v)).await
    }

    async fn find_holds(&self, cell: &CellId, ids: &[EntryId]) -> CellResult<Vec<Option<Hold>>> {
        let call = lookup::encode_holds(cell, ids);
        self.run(cell, call, |v| lookup::decode_holds(cell, ids, v)).await
    }

    async fn find_keys(&self, cell: &CellId, keys: &[Key]) -> CellResult<Vec<Option<OrderId>>> {
        let call = lookup::encode_keys(cell, keys);
        self.run(cell, call, |v| lookup::decode_keys(keys, v)).await
    }

    async fn ping(&self) -> bool {
        self.runner.ping().await
    }
}
