//! The embedded backend: the same scripts in a Lua state of this process.
//!
//! A script is one atomic step, as in Redis. There are no threads and no time but the clock's,
//! so a run with the same inputs is the same run: the simulator stands on this. Memory only: the
//! reconciler rebuilds the cells after a restart, as after a total loss. The methods beside the
//! port play a node's faults in tests.

use async_trait::async_trait;
use bytes::Bytes;
use domain::CellId;
use mlua::state::{GcIncParams, GcMode};
use mlua::{BString, Function, Lua, LuaOptions, LuaString, StdLib, Table, Variadic};
use parking_lot::Mutex;
use runtime::Clock;
use std::sync::Arc;

use crate::engine::{Engine, Runner};
use crate::keyspace::{CommandReply, Keyspace, StoredItem};
use crate::port::{CellError, CellResult};
use crate::script::{ALL, Call, Script};
use crate::value::Value;

/// A runner over Lua states in this process.
#[derive(Clone)]
pub struct Embedded {
    stripes: Arc<[Mutex<Stripe>]>,
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Embedded({} stripes)", self.stripes.len())
    }
}

struct Stripe {
    lua: Lua,
    functions: Vec<Function>,
    keys: Arc<Mutex<Keyspace>>,
}

/// The keys of one cell at some moment.
#[derive(Debug, Clone)]
pub struct Saved(Vec<(Bytes, StoredItem)>);

/// One Lua state: deterministic and enough for a node.
pub fn new(clock: Arc<dyn Clock>) -> Engine<Embedded> {
    with_stripes(clock, 1)
}

/// Cells are spread over `stripes` (at least 1) Lua states, which run side by side.
pub fn with_stripes(clock: Arc<dyn Clock>, stripes: usize) -> Engine<Embedded> {
    let as_it_is = |s: &Script| s.source.to_owned();
    let one = |_| Stripe::new(&clock, &as_it_is).expect("the scripts of this build compile");
    Engine::new(Embedded { stripes: (0..stripes.max(1)).map(one).map(Mutex::new).collect() })
}

/// One Lua state with edited sources: a test plants a fault and sees whether it is found. `Err`
/// when a script does not compile. Its garbage may grow tenfold, because schedules are short.
pub fn edited(clock: Arc<dyn Clock>, edit: &dyn Fn(&Script) -> String) -> Result<Embedded, String> {
    let stripe = Stripe::new(&clock, edit).map_err(|e| e.to_string())?;
    stripe.lua.gc_set_mode(GcMode::Incremental(GcIncParams::default().pause(1000)));
    Ok(Embedded { stripes: [Mutex::new(stripe)].into() })
}

impl Stripe {
    fn new(clock: &Arc<dyn Clock>, edit: &dyn Fn(&Script) -> String) -> mlua::Result<Self> {
        let libs = StdLib::TABLE | StdLib::STRING | StdLib::MATH;
        let lua = Lua::new_with(libs, LuaOptions::default())?;
        let keys = Arc::new(Mutex::new(Keyspace::default()));
        let redis = lua.create_table()?;
        redis.set("call", redis_call(&lua, clock.clone(), keys.clone())?)?;
        let error = |lua: &Lua, text: LuaString| lua.create_table_from([("err", text)]);
        redis.set("error_reply", lua.create_function(error)?)?;
        lua.globals().set("redis", redis)?;
        let compile = |s: &&Script| {
            let source = format!("return function(KEYS, ARGV) {}\nend", edit(s));
            lua.load(source).set_name(s.name).eval::<Function>()
        };
        let functions = ALL.iter().map(compile).collect::<mlua::Result<_>>()?;
        Ok(Self { lua, functions, keys })
    }

    fn list<'a>(&self, items: impl Iterator<Item = &'a [u8]>) -> mlua::Result<Table> {
        let table = self.lua.create_table()?;
        for item in items {
            table.raw_push(self.lua.create_string(item)?)?;
        }
        Ok(table)
    }

    fn run(&self, call: &Call) -> mlua::Result<Value> {
        let keys = call.keys.iter().map(|k| &k[..]);
        let arguments = (self.list(keys)?, self.list(call.args())?);
        to_value(self.functions[call.script.index].call(arguments)?)
    }
}

/// Arguments of a command. The first ones are copied right from Lua's stack; of each of the others
/// the library makes a reference first, which costs more than most commands.
type Arguments = (
    ScriptWord,
    ScriptWord,
    ScriptWord,
    ScriptWord,
    ScriptWord,
    ScriptWord,
    ScriptWord,
    ScriptWord,
    ScriptWord,
    ScriptWord,
    ScriptWord,
    ScriptWord,
    Variadic<BString>,
);
type ScriptWord = Option<BString>;

fn redis_call(
    lua: &Lua,
    clock: Arc<dyn Clock>,
    keys: Arc<Mutex<Keyspace>>,
) -> mlua::Result<Function> {
    lua.create_function(move |lua, args: Arguments| {
        let (a, b, c, d, e, f, g, h, i, j, k, l, more) = args;
        let first = [a, b, c, d, e, f, g, h, i, j, k, l];
        let all = first.iter().flatten().chain(more.iter());
        let slices: Vec<&[u8]> = all.map(|b| b.as_slice()).collect();
        let reply = keys.lock().call(clock.now_ms(), &slices).map_err(mlua::Error::runtime)?;
        to_lua(lua, &reply)
    })
}

/// As Redis does: nil is false, integers are numbers, a status is a table.
fn to_lua(lua: &Lua, reply: &CommandReply) -> mlua::Result<mlua::Value> {
    Ok(match reply {
        CommandReply::Nil => mlua::Value::Boolean(false),
        CommandReply::Int(i) => mlua::Value::Number(*i as f64),
        CommandReply::Bulk(b) => mlua::Value::String(lua.create_string(b)?),
        CommandReply::Ok => mlua::Value::Table(lua.create_table_from([("ok", "OK")])?),
        CommandReply::Array(items) => {
            let table = lua.create_table_with_capacity(items.len(), 0)?;
            for item in items {
                table.raw_push(to_lua(lua, item)?)?;
            }
            mlua::Value::Table(table)
        }
    })
}

/// As Redis does: numbers are cut to integers, false is nil, an array ends at its first nil.
#[expect(clippy::wildcard_enum_match_arm, reason = "another crate's enum")]
fn to_value(value: mlua::Value) -> mlua::Result<Value> {
    Ok(match value {
        mlua::Value::Boolean(true) => Value::Int(1),
        mlua::Value::Integer(i) => Value::Int(i),
        mlua::Value::Number(n) => Value::Int(n as i64),
        mlua::Value::String(s) => Value::Bytes(Bytes::copy_from_slice(&s.as_bytes())),
        mlua::Value::Table(t) => {
            if let Some(text) = t.raw_get::<Option<String>>("err")? {
                return Err(mlua::Error::runtime(text));
            }
            let items = t.sequence_values::<mlua::Value>();
            Value::Array(items.map(|v| to_value(v?)).collect::<mlua::Result<_>>()?)
        }
        _ => Value::Nil,
    })
}

#[async_trait]
impl Runner for Embedded {
    async fn run(&self, cell: &CellId, call: Call) -> CellResult<Value> {
        self.run_now(cell, &call)
    }

    async fn ping(&self) -> bool {
        true
    }
}

impl Embedded {
    /// Runs a script at once: there is nothing to wait for.
    pub fn run_now(&self, cell: &CellId, call: &Call) -> CellResult<Value> {
        let stripe = self.stripe(cell).lock();
        let broken = |e| CellError::Broken(cell.clone(), format!("{}: {e}", call.script.name));
        stripe.run(call).map_err(broken)
    }

    /// The cell's slot has another primary (its `master_replid`), as after a failover.
    pub fn set_primary(&self, cell: &CellId, primary: u64) {
        self.stripe(cell).lock().keys.lock().set_primary(primary);
    }

    /// Commands that wrote so far, in the state that the cell lives in.
    pub fn writes(&self, cell: &CellId) -> u64 {
        self.stripe(cell).lock().keys.lock().writes()
    }

    fn stripe(&self, cell: &CellId) -> &Mutex<Stripe> {
        let bytes = cell.offer.as_str().bytes();
        let sum = bytes.fold(usize::from(cell.bucket), |h, b| h.wrapping_mul(31) ^ usize::from(b));
        &self.stripes[sum % self.stripes.len()]
    }

    /// The cell's keys are lost.
    pub fn wipe_cell(&self, cell: &CellId) {
        let prefix = prefix(cell);
        self.stripe(cell).lock().keys.lock().remove_if(|key| key.starts_with(&prefix));
    }

    /// Some of the cell's keys are lost; `keys` are the short names.
    pub fn remove(&self, cell: &CellId, keys: &[&str]) {
        let gone: Vec<String> = keys.iter().map(|k| format!("{{{cell}}}:{k}")).collect();
        let stripe = self.stripe(cell).lock();
        stripe.keys.lock().remove_if(|key| gone.iter().any(|g| g.as_bytes() == key));
    }

    /// Everything is lost.
    pub fn wipe_all(&self) {
        for stripe in self.stripes.iter() {
            stripe.lock().keys.lock().remove_if(|_| true);
        }
    }

    /// The cell's whole slot as it is now, tickets and staging included.
    pub fn save(&self, cell: &CellId) -> Saved {
        Saved(self.stripe(cell).lock().keys.lock().copy(&prefix(cell)))
    }

    /// The slot falls back to a former state, as a failover may do.
    pub fn restore(&self, cell: &CellId, saved: &Saved) {
        self.stripe(cell).lock().keys.lock().paste(&prefix(cell), &saved.0);
    }

    /// The fields of one of the cell's hashes, in the order of their first write.
    pub(crate) fn fields(&self, cell: &CellId, key: &str) -> Vec<(Bytes, Bytes)> {
        let key = format!("{{{cell}}}:{key}");
        self.stripe(cell).lock().keys.lock().fields(key.as_bytes())
    }

    /// Writes a field by hand; `key` is the short name (`c`, `b0`, ...).
    pub fn falsify(&self, cell: &CellId, key: &str, field: &[u8], value: &[u8]) {
        let key = format!("{{{cell}}}:{key}");
        let stripe = self.stripe(cell).lock();
        let args: [&[u8]; 4] = [b"HSET", key.as_bytes(), field, value];
        let done = stripe.keys.lock().call(0, &args);
        debug_assert!(done.is_ok(), "falsify: {done:?}");
    }
}

fn prefix(cell: &CellId) -> Vec<u8> {
    format!("{{{cell}}}:").into_bytes()
}
