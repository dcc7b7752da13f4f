//! Tokens: who a request is from. HS256 and EdDSA; the algorithm comes from the configuration
//! and never from the token.
//!
//! A buyer's token opens nothing on the admin listener and an operator's token buys nothing. In a
//! flash sale each buyer's token is a new one, so a token is read once: the library's `decode`
//! reads the claims a second time for checks that are made here against our clock.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use domain::{Buyer, Tenant};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, crypto};
use runtime::Clock;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};

use crate::config::AuthConfig;
use crate::remembered::{LEEWAY_S, Remembered};
use crate::verified::Verified;

/// Audience of operators' tokens.
pub const ADMIN_AUDIENCE: &str = "sluicegate-admin";
/// The longest token that is looked at, bytes.
const MAX_TOKEN: usize = 4096;

/// What a token's header says.
#[derive(Deserialize)]
struct TokenBody {
    alg: Algorithm,
    /// Extensions that must be understood: none is.
    #[serde(default, deserialize_with = "contract::present")]
    crit: Option<IgnoredAny>,
}

/// What a token says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claims {
    /// The buyer, or the operator's name; 1 to 128 bytes.
    pub sub: String,
    /// UTC seconds; what a fraction adds does not count.
    #[serde(deserialize_with = "seconds_begun")]
    pub exp: u64,
    /// Not valid before, UTC seconds; a fraction counts as the next one.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "not_before")]
    pub nbf: Option<u64>,
    /// Issuer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub iss: Option<String>,
    /// Audience: text or a list.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub aud: Option<Audience>,
    /// `operator` or `viewer` on operators' tokens.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub role: Option<String>,
    /// Whose shop the token is for, `[a-z0-9-]{1,32}`; left out or empty, the default tenant's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tenant: Option<String>,
}

impl Claims {
    /// `None` when it is no tenant.
    fn tenant(&self) -> Option<Tenant> {
        self.tenant.as_deref().unwrap_or_default().parse().ok()
    }
}

/// A NumericDate of RFC 7519: a JSON number of seconds, also with fraction or exponent. Not
/// negative, and an integer of 64 bits or a double that still tells seconds apart.
#[derive(Deserialize)]
#[serde(untagged)]
enum NumericDate {
    Whole(u64),
    Real(f64),
}

impl NumericDate {
    fn seconds<E: serde::de::Error>(&self, round: fn(f64) -> f64) -> Result<u64, E> {
        match *self {
            NumericDate::Whole(s) => Ok(s),
            NumericDate::Real(s) if (0.0..=9_007_199_254_740_991.0).contains(&s) => {
                Ok(round(s) as u64)
            }
            NumericDate::Real(_) => Err(E::custom("seconds since 1970")),
        }
    }
}

fn seconds_begun<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
    NumericDate::deserialize(d)?.seconds(f64::floor)
}

fn not_before<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u64>, D::Error> {
    let date = Option::<NumericDate>::deserialize(d)?;
    date.map(|date| date.seconds(f64::ceil)).transpose()
}

/// `aud` may be one text or several.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Audience {
    fn has(&self, want: &str) -> bool {
        match self {
            Audience::One(a) => a == want,
            Audience::Many(all) => all.iter().any(|a| a == want),
        }
    }
}

/// What an operator's token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// GET only.
    Viewer,
    /// Everything.
    Operator,
}

impl Role {
    /// As a token has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Operator => "operator",
            Role::Viewer => "viewer",
        }
    }
}

/// An operator whose token was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// What they may do.
    pub role: Role,
    /// In whose shop. What is about the whole deployment is for the default tenant's operators.
    pub tenant: Tenant,
    /// Who it is: `sub` of a JWT, `admin` with the configured token.
    pub name: String,
}

/// Why a token was refused on the admin listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenRefused {
    /// None, forged, expired.
    Unauthenticated,
    /// Genuine, but a buyer's.
    Forbidden,
}

/// Verifies and mints tokens; share it.
pub struct Tokens {
    keys: Vec<(Algorithm, DecodingKey)>,
    signer: Option<EncodingKey>,
    issuer: Option<String>,
    audience: Option<String>,
    admin_token: String,
    clock: Arc<dyn Clock>,
    seen: Remembered,
}

impl Tokens {
    /// From the configuration; `Err` names the key that is wrong.
    pub fn new(cfg: &AuthConfig, admin: &str, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let secrets = std::iter::once(&cfg.hs256_secret).chain(&cfg.hs256_old);
        let mut keys: Vec<(Algorithm, DecodingKey)> = secrets
            .filter(|s| !s.is_empty())
            .map(|s| (Algorithm::HS256, DecodingKey::from_secret(s.as_bytes())))
            .collect();
        for key in &cfg.eddsa_public_keys {
            let raw = STANDARD.decode(key).ok().filter(|k| k.len() == 32);
            let raw = raw.ok_or("auth.eddsa_public_keys: base64 of 32 bytes each")?;
            let key = DecodingKey::from_ed_components(&URL_SAFE_NO_PAD.encode(raw));
            let key = key.map_err(|e| format!("auth.eddsa_public_keys: {e}"))?;
            keys.push((Algorithm::EdDSA, key));
        }
        let signer = (!cfg.hs256_secret.is_empty())
            .then(|| EncodingKey::from_secret(cfg.hs256_secret.as_bytes()));
        Ok(Self {
            keys,
            signer,
            issuer: cfg.issuer.clone(),
            audience: cfg.audience.clone(),
            admin_token: admin.to_owned(),
            clock,
            seen: Remembered::new(cfg.remembered_tokens),
        })
    }

    /// The buyer of an `Authorization` header's value.
    pub fn buyer(&self, header: &[u8]) -> Option<Arc<Verified>> {
        let token = self.seen.hashed(bearer(header)?);
        let now = self.clock.now_ms() / 1000;
        if let Some(known) = self.seen.find(token, now) {
            return known;
        }
        let claims = self.verify(token.token, now)?;
        let for_us = match &self.audience {
            Some(want) => claims.aud.as_ref().is_some_and(|a| a.has(want)),
            None => !claims.aud.as_ref().is_some_and(|a| a.has(ADMIN_AUDIENCE)),
        };
        if claims.role.is_some() || !for_us {
            return None;
        }
        let buyer = Buyer::of(&claims.tenant()?, &claims.sub).ok()?;
        let buyer = Arc::new(Verified::new(buyer));
        self.seen.note(token, &buyer, claims.nbf.unwrap_or(0)..=claims.exp);
        Some(buyer)
    }

    /// The same, of a token that was verified before and is still remembered and valid.
    pub fn remembered(&self, header: &[u8]) -> Option<Arc<Verified>> {
        self.seen.find(self.seen.hashed(bearer(header)?), self.clock.now_ms() / 1000)?
    }

    /// The operator of an `Authorization` header's value on the admin listener.
    pub fn operator(&self, header: Option<&[u8]>) -> Result<Operator, TokenRefused> {
        let token = header.and_then(bearer).ok_or(TokenRefused::Unauthenticated)?;
        if !self.admin_token.is_empty() && same(token.as_bytes(), self.admin_token.as_bytes()) {
            let (tenant, name) = (Tenant::default(), "admin".to_owned());
            return Ok(Operator { role: Role::Operator, tenant, name });
        }
        let now = self.clock.now_ms() / 1000;
        let claims = self.verify(token, now).ok_or(TokenRefused::Unauthenticated)?;
        let ours = claims.aud.as_ref().is_some_and(|a| a.has(ADMIN_AUDIENCE));
        let role = match claims.role.as_deref() {
            Some("operator") if ours => Role::Operator,
            Some("viewer") if ours => Role::Viewer,
            _ => return Err(TokenRefused::Forbidden),
        };
        let tenant = claims.tenant().ok_or(TokenRefused::Unauthenticated)?;
        let shown = |c: &char| !c.is_control();
        let name = claims.sub.chars().filter(shown).take(100).collect();
        Ok(Operator { role, tenant, name })
    }

    /// A buyer's token.
    pub fn mint_buyer(&self, buyer: &Buyer, ttl_s: u64) -> Option<String> {
        let aud = self.audience.clone().map(Audience::One);
        self.mint(Claims { aud, ..self.claims(buyer.tenant(), buyer.as_str(), ttl_s) })
    }

    /// An operator's token.
    pub fn mint_operator(&self, who: &Operator, ttl_s: u64) -> Option<String> {
        let role = who.role.as_str();
        let claims = self.claims(&who.tenant, &who.name, ttl_s);
        let aud = Some(Audience::One(ADMIN_AUDIENCE.to_owned()));
        let role = Some(role.to_owned());
        self.mint(Claims { aud, role, ..claims })
    }

    fn claims(&self, tenant: &Tenant, sub: &str, ttl_s: u64) -> Claims {
        let exp = self.clock.now_ms() / 1000 + ttl_s;
        let (sub, iss) = (sub.to_owned(), self.issuer.clone());
        let tenant = (!tenant.is_default()).then(|| tenant.as_str().to_owned());
        Claims { sub, exp, nbf: None, iss, aud: None, role: None, tenant }
    }

    fn mint(&self, claims: Claims) -> Option<String> {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, self.signer.as_ref()?).ok()
    }

    fn verify(&self, token: &str, now: u64) -> Option<Claims> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let said: TokenBody = part(header)?;
        let signed = |(algorithm, key): &(Algorithm, DecodingKey)| {
            *algorithm == said.alg
                && crypto::verify(signature, message.as_bytes(), key, *algorithm).unwrap_or(false)
        };
        if said.crit.is_some() || !self.keys.iter().any(signed) {
            return None;
        }
        let claims: Claims = part(claims)?;
        let in_time = now <= claims.exp.saturating_add(LEEWAY_S)
            && claims.nbf.is_none_or(|nbf| now + LEEWAY_S >= nbf);
        let issued = self.issuer.is_none() || self.issuer == claims.iss;
        (in_time && issued && (1..=128).contains(&claims.sub.len())).then_some(claims)
    }
}

/// A part of a token, which is base64 of a JSON object.
fn part<T: DeserializeOwned>(text: &str) -> Option<T> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let mut d = serde_json::Deserializer::from_slice(&bytes);
    let value = contract::object(&mut d).ok()?;
    d.end().ok().map(|()| value)
}

fn bearer(header: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(header).ok()?;
    let (scheme, token) = text.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && token.len() <= MAX_TOKEN).then_some(token)
}

fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |acc, (x, y)| acc | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(exp: &str, nbf: &str) -> Option<(u64, Option<u64>)> {
        let text = format!("{{\"sub\":\"ann\",\"exp\":{exp},\"nbf\":{nbf}}}");
        part::<Claims>(&URL_SAFE_NO_PAD.encode(text)).map(|c| (c.exp, c.nbf))
    }

    #[test]
    fn dates_are_json_numbers() {
        for (text, exp, nbf) in [
            ("1798527661", 1_798_527_661, 1_798_527_661),
            ("1798527661.5", 1_798_527_661, 1_798_527_662),
            ("1798527661.0", 1_798_527_661, 1_798_527_661),
            ("1.798527661e9", 1_798_527_661, 1_798_527_661),
            ("1798527661000E-3", 1_798_527_661, 1_798_527_661),
            ("0", 0, 0),
            ("-0", 0, 0),
            ("1e-300", 0, 1),
            ("18446744073709551615", u64::MAX, u64::MAX),
        ] {
            assert_eq!(claims(text, text), Some((exp, Some(nbf))), "{text}");
        }
        for bad in [
            "-1",
            "-0.5",
            "-1e300",
            "1e300",
            "1e400",
            "18446744073709551616",
            "9.1e15",
            "NaN",
            "Infinity",
            "\"1798527661\"",
            "true",
            "[1]",
            "{}",
            "1.",
            ".5",
            "01",
            "+1",
        ] {
            assert_eq!(claims(bad, "1"), None, "{bad}");
            assert_eq!(claims("1", bad), None, "{bad}");
        }
        assert_eq!(claims("null", "1"), None);
    }

    #[test]
    fn parts_are_objects_and_no_extension_is_understood() {
        let part =
            |text: &str| part::<TokenBody>(&URL_SAFE_NO_PAD.encode(text)).map(|s| s.crit.is_some());
        assert_eq!(part("{\"alg\":\"HS256\"}"), Some(false));
        for crit in ["null", "[]", "[\"b64\"]", "{}", "0"] {
            assert_eq!(part(&format!("{{\"alg\":\"HS256\",\"crit\":{crit}}}")), Some(true));
        }
        for bad in
            ["[\"HS256\",null]", "[\"HS256\"]", "\"HS256\"", "null", "{\"alg\":\"HS256\"} {}"]
        {
            assert_eq!(part(bad), None, "{bad}");
        }
        let list = URL_SAFE_NO_PAD.encode("[\"ann\",1798527661,null,null,null,null]");
        assert!(super::part::<Claims>(&list).is_none());
    }
}
