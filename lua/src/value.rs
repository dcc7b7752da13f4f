//! What a script answers: integers, bytes and flat arrays, whatever backend ran it.
//!
//! Decoding is strict: a reply that no script gives is a bug and becomes an error text, never a
//! default.

use bytes::Bytes;
use std::str::FromStr;

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Nil,
    /// An integer.
    Int(i64),
    /// Bytes.
    Bytes(Bytes),
    /// A flat array.
    Array(Vec<Value>),
}

/// Reads a flat array from the front.
#[derive(Debug)]
pub struct Fields {
    items: std::vec::IntoIter<Value>,
}

impl Fields {
    /// Opens an array.
    pub fn of(value: Value) -> Result<Self, String> {
        match value {
            Value::Array(items) => Ok(Self { items: items.into_iter() }),
            other @ (Value::Nil | Value::Int(_) | Value::Bytes(_)) => {
                Err(format!("an array was expected, not {other:?}"))
            }
        }
    }

    /// How many are left.
    pub fn left(&self) -> usize {
        self.items.len()
    }

    /// The next as it is.
    pub fn next_value(&mut self) -> Result<Value, String> {
        self.items.next().ok_or_else(|| "the reply is too short".to_owned())
    }

    /// The next as an integer.
    pub fn int(&mut self) -> Result<i64, String> {
        match self.next_value()? {
            Value::Int(i) => Ok(i),
            other @ (Value::Nil | Value::Bytes(_) | Value::Array(_)) => {
                Err(format!("an integer was expected, not {other:?}"))
            }
        }
    }

    /// The next as an unsigned integer.
    pub fn uint(&mut self) -> Result<u64, String> {
        let i = self.int()?;
        u64::try_from(i).map_err(|_| format!("{i} is negative"))
    }

    /// The next as bytes.
    pub fn bytes(&mut self) -> Result<Bytes, String> {
        match self.next_value()? {
            Value::Bytes(b) => Ok(b),
            other @ (Value::Nil | Value::Int(_) | Value::Array(_)) => {
                Err(format!("bytes were expected, not {other:?}"))
            }
        }
    }

    /// The next as the text form of something.
    pub fn parse<T: FromStr>(&mut self) -> Result<T, String> {
        parse(&self.bytes()?)
    }

    /// The next must be this id: a reply of another call would be worse than none.
    pub fn echo(&mut self, id: &[u8]) -> Result<(), String> {
        let got = self.bytes()?;
        if got == id { Ok(()) } else { Err(format!("the reply is of {got:02x?}, not {id:02x?}")) }
    }
}

/// Reads a text form out of bytes.
pub fn parse<T: FromStr>(bytes: &[u8]) -> Result<T, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
    text.parse().map_err(|_| format!("{text:?} is out of place"))
}
