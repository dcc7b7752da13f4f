//! What a key of the configuration is: declared once, in [`crate::section!`] beside its type.
//!
//! From the declaration come the struct with its defaults, the check of ranges, what is redacted
//! when the configuration is printed, and the reference that lists every key.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct ConfigKey {
    /// Its name in its section.
    pub name: &'static str,
    /// What it means, for the reference.
    pub doc: &'static str,
    /// What its value may be, and how it is shown.
    pub kind: KeyKind,
}

/// What the value of a key may be, and how it is shown.
#[derive(Debug, Clone, Copy)]
pub enum KeyKind {
    /// Whatever its type takes.
    Plain,
    /// A whole number from the first to the second.
    Range(u64, u64),
    /// Never shown.
    Secret,
    /// A URL, or several: shown without their passwords.
    Url,
    /// `ip:port`.
    Listen,
    /// Unset by default; this is an example.
    Unset(&'static str),
    /// A section inside this one.
    Inner(&'static [ConfigKey]),
}

impl ConfigKey {
    /// [`ConfigKey::doc`] as one line of text.
    pub fn help(&self) -> String {
        let words: Vec<&str> = self.doc.split_whitespace().collect();
        words.join(" ").replace('`', "")
    }
}

/// A part of the configuration with the service, or the library, that it is for.
pub trait Section: Default + Serialize + DeserializeOwned {
    /// What it is for.
    const ABOUT: &'static str;
    /// Its keys.
    const KEYS: &'static [ConfigKey];

    /// What contradicts itself in it: one line each that begins with a key's name, and never a
    /// credential.
    fn wrong(&self) -> Vec<String>;
}

/// A section of a composed configuration.
#[derive(Debug, Clone, Copy)]
pub struct ConfigPart {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// Its keys.
    pub keys: &'static [ConfigKey],
}

/// A whole configuration: what a program reads.
pub trait Composed: Default + Serialize + DeserializeOwned {
    /// What stands before the first section.
    const TOP: &'static [ConfigKey];
    /// The sections, in the order of the reference.
    const PARTS: &'static [ConfigPart];

    /// What contradicts itself, with the names of keys: in a section, or between them.
    fn wrong(&self) -> Vec<String>;
}

/// Those of the texts that are told: `true` is wrong.
pub fn told(all: &[(bool, &str)]) -> Vec<String> {
    all.iter().filter(|(wrong, _)| *wrong).map(|(_, text)| (*text).to_owned()).collect()
}

/// Declares a section: each key with its meaning, type and default, and where it needs one a kind:
/// `range(1..=256)`, `secret`, `url`, `listen`, `unset("example")`, `inner`. `checked by` names a
/// function that tells what contradicts itself in it.
///
/// ```
/// sluicegate_runtime::section! {
///     /// The reserve combiner.
///     pub struct ReserveConfig {
///         /// The most orders of one call.
///         batch: usize = 256, range(1..=256);
///     }
/// }
/// ```
#[macro_export]
macro_rules! section {
    (
        $(#[doc = $about:literal])*
        $vis:vis struct $name:ident $(, checked by $check:path)? {
            $(
                $(#[doc = $doc:literal])*
                $key:ident: $ty:ty = $default:expr $(, $kind:ident $(($($with:tt)*))?)?;
            )*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        $vis struct $name {
            $(
                $(#[doc = $doc])*
                $(#[doc = concat!("\n\nKind: `", stringify!($kind $(($($with)*))?), "`.")])?
                pub $key: $ty,
            )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }

        impl $crate::config::Section for $name {
            const ABOUT: &'static str = concat!($($about),*);
            const KEYS: &'static [$crate::config::ConfigKey] = &[$(
                $crate::config::ConfigKey {
                    name: stringify!($key),
                    doc: concat!($($doc),*),
                    kind: $crate::section!(@kind $ty $(, $kind $(($($with)*))?)?),
                },
            )*];

            fn wrong(&self) -> Vec<String> {
                #[allow(unused_mut, reason = "a section that is checked by nothing")]
                let mut wrong = Vec::new();
                $(wrong.extend($check(self));)?
                wrong
            }
        }
    };
    (@kind $ty:ty) => { $crate::config::KeyKind::Plain };
    (@kind $ty:ty, range($least:literal..=$most:literal)) => {
        $crate::config::KeyKind::Range($least, $most)
    };
    (@kind $ty:ty, secret) => { $crate::config::KeyKind::Secret };
    (@kind $ty:ty, url) => { $crate::config::KeyKind::Url };
    (@kind $ty:ty, listen) => { $crate::config::KeyKind::Listen };
    (@kind $ty:ty, unset($example:literal)) => { $crate::config::KeyKind::Unset($example) };
    (@kind $ty:ty, inner) => {
        $crate::config::KeyKind::Inner(<$ty as $crate::config::Section>::KEYS)
    };
}

/// Composes sections into what a program reads: keys before the first section as in
/// [`crate::section!`], then `[name: Type]` for each section. `checked by` names a function that
/// tells what contradicts itself between them.
#[macro_export]
macro_rules! compose {
    (
        $(#[$about:meta])*
        $vis:vis struct $name:ident, checked by $check:path {
            $(
                $(#[doc = $doc:literal])*
                $key:ident: $kty:ty = $default:expr;
            )*
            $([$part:ident: $pty:ty])*
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        $vis struct $name {
            $($(#[doc = $doc])* pub $key: $kty,)*
            $(
                #[doc = concat!("`[", stringify!($part), "]`.")]
                pub $part: $pty,
            )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)* $($part: Default::default(),)* }
            }
        }

        impl $crate::config::Composed for $name {
            const TOP: &'static [$crate::config::ConfigKey] = &[$(
                $crate::config::ConfigKey {
                    name: stringify!($key),
                    doc: concat!($($doc),*),
                    kind: $crate::config::KeyKind::Plain,
                },
            )*];
            const PARTS: &'static [$crate::config::ConfigPart] = &[$(
                $crate::config::ConfigPart {
                    name: stringify!($part),
                    about: <$pty as $crate::config::Section>::ABOUT,
                    keys: <$pty as $crate::config::Section>::KEYS,
                },
            )*];

            fn wrong(&self) -> Vec<String> {
                use $crate::config::Section as _;
                let mut wrong = Vec::new();
                $(
                    let name = stringify!($part);
                    wrong.extend(self.$part.wrong().iter().map(|w| format!("{name}.{w}")));
                )*
                wrong.extend($check(self));
                wrong
            }
        }
    };
}
