//! What providers, their payments and refunds are called.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A name of this kind that is none; the text is safe to show to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct NameError {
    what: &'static str,
}

fn visible(s: &str, most: usize) -> bool {
    (1..=most).contains(&s.len()) && s.bytes().all(|b| (0x21..=0x7e).contains(&b))
}

macro_rules! names {
    ($($(#[$about:meta])* $name:ident: $is:expr, $what:literal;)*) => {$(
        $(#[$about])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text form.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = NameError;
            fn from_str(s: &str) -> Result<Self, NameError> {
                let is: fn(&str) -> bool = $is;
                if is(s) { Ok(Self(s.into())) } else { Err(NameError { what: $what }) }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

names! {
    /// A payment provider, as operators called it.
    ProviderId: |s| s.len() <= 32 && crate::names::is_name(s),
        "a provider is 1 to 32 of a-z, 0-9 and '-'";
    /// What a provider calls one of its payments.
    PaymentId: |s| visible(s, 128),
        "a payment is 1 to 128 visible ASCII characters";
    /// What a buyer, an operator or this product calls a refund of an order.
    RefundId: |s| visible(s, 64),
        "a refund is 1 to 64 visible ASCII characters";
}

/// One payment at one provider: text form `provider/payment`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PaymentKey {
    /// At whom.
    pub provider: ProviderId,
    /// Which.
    pub payment: PaymentId,
}

impl fmt::Display for PaymentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.payment)
    }
}
impl fmt::Debug for PaymentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for PaymentKey {
    type Err = NameError;
    fn from_str(s: &str) -> Result<Self, NameError> {
        let what = "a payment of a provider is <provider>/<payment>";
        let (provider, payment) = s.split_once('/').ok_or(NameError { what })?;
        Ok(Self { provider: provider.parse()?, payment: payment.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_strict() {
        let provider = |s: &str| s.parse::<ProviderId>().is_ok();
        assert!(provider("a") && provider("card-1") && provider(&"x".repeat(32)));
        for bad in ["", "A", "a/b", "a b", "ä", &"x".repeat(33)] {
            assert!(!provider(bad), "{bad:?}");
        }
        let payment = |s: &str| s.parse::<PaymentId>().is_ok();
        assert!(payment("pi_3/~!") && payment(&"x".repeat(128)));
        for bad in ["", "a b", "a\n", "ü", &"x".repeat(129)] {
            assert!(!payment(bad), "{bad:?}");
        }
        assert!("r".repeat(64).parse::<RefundId>().is_ok());
        assert!("r".repeat(65).parse::<RefundId>().is_err());
        // A payment may have slashes of its own.
        let key: PaymentKey = "card/a/b".parse().expect("a key");
        assert_eq!((key.provider.as_str(), key.payment.as_str()), ("card", "a/b"));
        assert_eq!(key.to_string(), "card/a/b");
        for bad in ["card", "/a", "card/", "Card/a"] {
            assert!(bad.parse::<PaymentKey>().is_err(), "{bad:?}");
        }
    }
}
