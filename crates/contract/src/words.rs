//! Values that are one text in JSON: ids, times, and words of a fixed list.

use domain::life::{AdapterKind, LatePolicy, PaymentState, RefundPolicy, RefundState, Restock};
use domain::order::RejectReason;
use domain::{Flag, RowStatus, Status};
use serde::{Deserialize, Deserializer, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, Type};

use crate::reason::{Reason, Retry};

/// One of a fixed list of words.
pub trait Word: Copy + Sized {
    /// All of them.
    fn all() -> Vec<Self>;
    /// As the API writes it.
    fn word(self) -> &'static str;
}

macro_rules! words {
    ($($type:ty: $all:expr;)*) => {$(
        impl Word for $type {
            fn all() -> Vec<Self> {
                $all
            }
            fn word(self) -> &'static str {
                self.as_str()
            }
        }
    )*};
}

words! {
    Status: {
        let rows = RowStatus::ALL.into_iter().map(Status::Row);
        [Status::Accepted, Status::Unconfirmed].into_iter().chain(rows).collect()
    };
    RejectReason: RejectReason::ALL.to_vec();
    Flag: Flag::ALL.to_vec();
    RowStatus: RowStatus::ALL.to_vec();
    Reason: Reason::ALL.to_vec();
    Retry: Retry::ALL.to_vec();
    PaymentState: PaymentState::ALL.to_vec();
    RefundState: RefundState::ALL.to_vec();
    LatePolicy: LatePolicy::ALL.to_vec();
    RefundPolicy: RefundPolicy::ALL.to_vec();
    Restock: Restock::ALL.to_vec();
    AdapterKind: AdapterKind::ALL.to_vec();
}

/// How `word` fields are described.
pub(crate) fn described<W: Word>() -> ObjectBuilder {
    let words: Vec<&str> = W::all().into_iter().map(Word::word).collect();
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words))
}

/// The same of a field that may be `null`.
pub(crate) fn described_or_null<W: Word>() -> ObjectBuilder {
    let words = W::all().into_iter().map(|w| Some(w.word())).chain([None]);
    let types = utoipa::openapi::schema::SchemaType::from_iter([Type::String, Type::Null]);
    ObjectBuilder::new().schema_type(types).enum_values(Some(words))
}

fn read<'de, W: Word, D: Deserializer<'de>>(text: &str) -> Result<W, D::Error> {
    let found = W::all().into_iter().find(|w| w.word() == text);
    found.ok_or_else(|| serde::de::Error::custom(format!("{text:?} is none of the words")))
}

/// `#[serde(with)]` of a [`Word`].
pub mod word {
    use super::*;

    /// Writes it.
    pub fn serialize<W: Word, S: Serializer>(w: &W, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(w.word())
    }
    /// Reads it; another word is an error.
    pub fn deserialize<'de, W: Word, D: Deserializer<'de>>(d: D) -> Result<W, D::Error> {
        read::<W, D>(&std::borrow::Cow::<str>::deserialize(d)?)
    }
}

/// `#[serde(with)]` of a [`Word`] that may be `null`.
pub mod word_or_null {
    use super::*;

    /// Writes it.
    pub fn serialize<W: Word, S: Serializer>(w: &Option<W>, s: S) -> Result<S::Ok, S::Error> {
        match w {
            Some(w) => s.serialize_str(w.word()),
            None => s.serialize_none(),
        }
    }
    /// Reads it; another word is an error.
    pub fn deserialize<'de, W: Word, D: Deserializer<'de>>(d: D) -> Result<Option<W>, D::Error> {
        let text = Option::<std::borrow::Cow<'_, str>>::deserialize(d)?;
        text.map(|text| read::<W, D>(&text)).transpose()
    }
}

/// `#[serde(with)]` of what has one text form.
pub mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use super::*;

    /// Writes it.
    pub fn serialize<T: Display, S: Serializer>(value: &T, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(value)
    }
    /// Reads it.
    pub fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(d: D) -> Result<T, D::Error>
    where
        T::Err: Display,
    {
        let text = std::borrow::Cow::<str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// `#[serde(with)]` of what has one text form and may be left out, or be `null`.
pub mod text_or_none {
    use std::fmt::Display;
    use std::str::FromStr;

    use super::*;

    /// Writes it.
    pub fn serialize<T: Display, S: Serializer>(v: &Option<T>, s: S) -> Result<S::Ok, S::Error> {
        match v {
            Some(value) => s.collect_str(value),
            None => s.serialize_none(),
        }
    }
    /// Reads it.
    pub fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(d: D) -> Result<Option<T>, D::Error>
    where
        T::Err: Display,
    {
        let text = Option::<std::borrow::Cow<'_, str>>::deserialize(d)?;
        text.map(|t| t.parse().map_err(serde::de::Error::custom)).transpose()
    }
}
