//! The keys of the embedded backend and the few Redis commands that the scripts use.
//!
//! Replies are those of Redis. Everything is deterministic: a scan walks fields in the order of
//! their first write, so a field that stays during a scan is seen exactly once. Absent: commands
//! and options that no script uses; they are errors.

use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};

/// What a command answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CommandReply {
    /// Nothing (false in Lua).
    Nil,
    /// OK.
    Ok,
    /// An integer.
    Int(i64),
    /// A string.
    Bulk(Bytes),
    /// An array.
    Array(Vec<CommandReply>),
}

/// A hash that remembers the order of its fields.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hash {
    fields: HashMap<Bytes, (u64, Bytes)>,
    order: BTreeMap<u64, Bytes>,
    next: u64,
}

impl Hash {
    fn get(&self, field: &[u8]) -> Option<&Bytes> {
        self.fields.get(field).map(|(_, v)| v)
    }

    fn set(&mut self, field: &[u8], value: Bytes) -> bool {
        if let Some(slot) = self.fields.get_mut(field) {
            slot.1 = value;
            return false;
        }
        self.next += 1;
        let field = Bytes::copy_from_slice(field);
        self.order.insert(self.next, field.clone());
        self.fields.insert(field, (self.next, value));
        true
    }

    fn remove(&mut self, field: &[u8]) -> bool {
        let Some((at, _)) = self.fields.remove(field) else {
            return false;
        };
        self.order.remove(&at);
        true
    }

    fn iter(&self) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        self.order.values().filter_map(|f| self.fields.get(f).map(|(_, v)| (f, v)))
    }
}

#[derive(Debug, Clone)]
enum Data {
    Text(Bytes),
    Hash(Hash),
}

/// A key's value and when it dies (ms of the clock).
#[derive(Debug, Clone)]
pub(crate) struct StoredItem {
    data: Data,
    dies_ms: Option<u64>,
}

/// All keys of a stripe.
#[derive(Debug, Default)]
pub(crate) struct Keyspace {
    items: HashMap<Bytes, StoredItem>,
    now_ms: u64,
    writes: u64,
    primary: u64,
}

type CommandResult = Result<CommandReply, String>;

/// The commands that a replica gets.
const WRITES: [&[u8]; 8] =
    [b"HSET", b"HDEL", b"HINCRBY", b"SET", b"UNLINK", b"RENAME", b"EXPIRE", b"PERSIST"];

impl Keyspace {
    /// Runs one command at `now_ms`.
    pub(crate) fn call(&mut self, now_ms: u64, args: &[&[u8]]) -> CommandResult {
        self.now_ms = now_ms;
        let (name, rest) = args.split_first().ok_or("ERR no command")?;
        if *name == b"TIME" {
            let text = |n: u64| CommandReply::Bulk(n.to_string().into());
            return Ok(CommandReply::Array(vec![text(now_ms / 1000), text(now_ms % 1000 * 1000)]));
        }
        if *name == b"INFO" {
            let text = format!("role:master\r\nmaster_replid:{:040x}\r\n", self.primary);
            return Ok(CommandReply::Bulk(text.into()));
        }
        let (key, rest) = rest.split_first().ok_or("ERR wrong number of arguments")?;
        self.bury(key);
        self.writes += u64::from(WRITES.contains(name));
        match *name {
            b"HMGET" => self.hmget(key, rest),
            b"HGET" => self.hash(key).map(|h| bulk(h.and_then(|h| h.get(one(rest))))),
            b"HSET" => self.hset(key, rest),
            b"HDEL" => self.hdel(key, rest),
            b"HLEN" => Ok(CommandReply::Int(self.hash(key)?.map_or(0, |h| h.fields.len() as i64))),
            b"HKEYS" => self.list(key, |f, _| f.clone()),
            b"HVALS" => self.list(key, |_, v| v.clone()),
            b"HINCRBY" => self.hincrby(key, rest),
            b"HSCAN" => self.hscan(key, rest),
            b"GET" => self.get(key),
            b"SET" => Ok(self.set(key, one(rest))),
            b"EXISTS" => Ok(CommandReply::Int(i64::from(self.items.contains_key(*key)))),
            b"UNLINK" => Ok(CommandReply::Int(self.unlink(key, rest))),
            b"RENAME" => self.rename(key, one(rest)),
            b"EXPIRE" => self.expire(key, one(rest)),
            b"PERSIST" => Ok(self.persist(key)),
            _ => Err(format!("ERR unknown command {}", String::from_utf8_lossy(name))),
        }
    }

    /// Commands that write, so far: also those that wrote what was there already.
    pub(crate) fn writes(&self) -> u64 {
        self.writes
    }

    /// From now on this is the primary with that number.
    pub(crate) fn set_primary(&mut self, primary: u64) {
        self.primary = primary;
    }

    /// Removes every key for which `doomed` says so.
    pub(crate) fn remove_if(&mut self, doomed: impl Fn(&[u8]) -> bool) {
        self.items.retain(|key, _| !doomed(key));
    }

    /// Copies the keys that start with `prefix`.
    pub(crate) fn copy(&self, prefix: &[u8]) -> Vec<(Bytes, StoredItem)> {
        let mine = self.items.iter().filter(|(key, _)| key.starts_with(prefix));
        mine.map(|(key, item)| (key.clone(), item.clone())).collect()
    }

    /// Puts copied keys in place of all keys that start with `prefix`.
    pub(crate) fn paste(&mut self, prefix: &[u8], items: &[(Bytes, StoredItem)]) {
        self.remove_if(|key| key.starts_with(prefix));
        self.items.extend(items.iter().cloned());
    }

    /// The fields of a hash, in the order of their first write.
    pub(crate) fn fields(&self, key: &[u8]) -> Vec<(Bytes, Bytes)> {
        match self.items.get(key).map(|i| &i.data) {
            Some(Data::Hash(h)) => h.iter().map(|(f, v)| (f.clone(), v.clone())).collect(),
            Some(Data::Text(_)) | None => Vec::new(),
        }
    }

    fn bury(&mut self, key: &[u8]) {
        let dead = |i: &StoredItem| i.dies_ms.is_some_and(|at| at <= self.now_ms);
        if self.items.get(key).is_some_and(dead) {
            self.items.remove(key);
        }
    }

    fn hash(&self, key: &[u8]) -> Result<Option<&Hash>, String> {
        match self.items.get(key).map(|i| &i.data) {
            None => Ok(None),
            Some(Data::Hash(h)) => Ok(Some(h)),
            Some(Data::Text(_)) => Err(wrong_type()),
        }
    }

    fn hash_mut(&mut self, key: &[u8]) -> Result<&mut Hash, String> {
        if !self.items.contains_key(key) {
            let item = StoredItem { data: Data::Hash(Hash::default()), dies_ms: None };
            self.items.insert(Bytes::copy_from_slice(key), item);
        }
        match self.items.get_mut(key).map(|i| &mut i.data) {
            Some(Data::Hash(h)) => Ok(h),
            _ => Err(wrong_type()),
        }
    }

    fn hmget(&self, key: &[u8], fields: &[&[u8]]) -> CommandResult {
        let hash = self.hash(key)?;
        let one = |f: &&[u8]| bulk(hash.and_then(|h| h.get(f)));
        Ok(CommandReply::Array(fields.iter().map(one).collect()))
    }

    fn hset(&mut self, key: &[u8], pairs: &[&[u8]]) -> CommandResult {
        if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
            return Err("ERR wrong number of arguments for HSET".to_owned());
        }
        let hash = self.hash_mut(key)?;
        let new = pairs.chunks(2).filter(|p| hash.set(p[0], Bytes::copy_from_slice(p[1]))).count();
        Ok(CommandReply::Int(new as i64))
    }

    fn hdel(&mut self, key: &[u8], fields: &[&[u8]]) -> CommandResult {
        if self.hash(key)?.is_none() {
            return Ok(CommandReply::Int(0));
        }
        let hash = self.hash_mut(key)?;
        let gone = fields.iter().filter(|f| hash.remove(f)).count();
        if hash.fields.is_empty() {
            self.items.remove(key);
        }
        Ok(CommandReply::Int(gone as i64))
    }

    fn list(&self, key: &[u8], pick: impl Fn(&Bytes, &Bytes) -> Bytes) -> CommandResult {
        let hash = self.hash(key)?;
        let all =
            hash.into_iter().flat_map(Hash::iter).map(|(f, v)| CommandReply::Bulk(pick(f, v)));
        Ok(CommandReply::Array(all.collect()))
    }

    fn hincrby(&mut self, key: &[u8], args: &[&[u8]]) -> CommandResult {
        let [field, by] = args else {
            return Err("ERR wrong number of arguments".to_owned());
        };
        let old = self.hash(key)?.and_then(|h| h.get(field)).map_or(Ok(0), |v| integer(v))?;
        let new = old + integer(by)?;
        self.hash_mut(key)?.set(field, new.to_string().into());
        Ok(CommandReply::Int(new))
    }

    fn hscan(&self, key: &[u8], args: &[&[u8]]) -> CommandResult {
        let [cursor, b"COUNT", count] = args else {
            return Err("ERR syntax error".to_owned());
        };
        let (cursor, count) = (integer(cursor)? as u64, integer(count)?.max(1) as usize);
        let (mut found, mut next) = (Vec::new(), 0);
        if let Some(hash) = self.hash(key)? {
            let mut page = hash.order.range(cursor + 1..);
            for (at, field) in page.by_ref().take(count) {
                found.push(CommandReply::Bulk(field.clone()));
                found.push(bulk(hash.get(field)));
                next = *at;
            }
            if page.next().is_none() {
                next = 0;
            }
        }
        Ok(CommandReply::Array(vec![
            CommandReply::Bulk(next.to_string().into()),
            CommandReply::Array(found),
        ]))
    }

    fn get(&self, key: &[u8]) -> CommandResult {
        match self.items.get(key).map(|i| &i.data) {
            None => Ok(CommandReply::Nil),
            Some(Data::Text(t)) => Ok(CommandReply::Bulk(t.clone())),
            Some(Data::Hash(_)) => Err(wrong_type()),
        }
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> CommandReply {
        let data = Data::Text(Bytes::copy_from_slice(value));
        self.items.insert(Bytes::copy_from_slice(key), StoredItem { data, dies_ms: None });
        CommandReply::Ok
    }

    fn unlink(&mut self, first: &[u8], rest: &[&[u8]]) -> i64 {
        let all = std::iter::once(&first).chain(rest);
        all.filter(|key| self.items.remove(**key).is_some()).count() as i64
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) -> CommandResult {
        let item = self.items.remove(from).ok_or("ERR no such key")?;
        self.items.insert(Bytes::copy_from_slice(to), item);
        Ok(CommandReply::Ok)
    }

    fn expire(&mut self, key: &[u8], seconds: &[u8]) -> CommandResult {
        let at = self.now_ms.saturating_add_signed(integer(seconds)?.saturating_mul(1000));
        let item = self.items.get_mut(key);
        Ok(CommandReply::Int(i64::from(item.map(|i| i.dies_ms = Some(at)).is_some())))
    }

    fn persist(&mut self, key: &[u8]) -> CommandReply {
        let had = self.items.get_mut(key).and_then(|i| i.dies_ms.take());
        CommandReply::Int(i64::from(had.is_some()))
    }
}

fn one<'a>(args: &[&'a [u8]]) -> &'a [u8] {
    args.first().copied().unwrap_or_default()
}

fn bulk(value: Option<&Bytes>) -> CommandReply {
    value.map_or(CommandReply::Nil, |v| CommandReply::Bulk(v.clone()))
}

fn integer(bytes: &[u8]) -> Result<i64, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
    text.parse().map_err(|_| "ERR value is not an integer or out of range".to_owned())
}

fn wrong_type() -> String {
    "WRONGTYPE Operation against a key holding the wrong kind of value".to_owned()
}
