//! Whose tokens open what.

runtime::section! {
    /// Tokens.
    pub struct AuthConfig, checked by short {
        /// HS256 secret, at least 32 characters; signs what `sluicegate admin token` mints.
        hs256_secret: String = String::new(), secret;
        /// Older HS256 secrets that still verify.
        hs256_old: Vec<String> = Vec::new(), secret;
        /// Ed25519 public keys (base64, 32 bytes) that verify EdDSA tokens.
        eddsa_public_keys: Vec<String> = Vec::new();
        /// Required `iss`, when set.
        issuer: Option<String> = None, unset("https://id.example.org");
        /// Required `aud` of buyers' tokens, when set.
        audience: Option<String> = None, unset("shop");
        /// Verified tokens that a gate remembers; each takes about 0.5 KB.
        remembered_tokens: usize = 65_536, range(8..=16_777_216);
    }
}

fn short(c: &AuthConfig) -> Vec<String> {
    let short = |s: &String| s.len() < 32;
    runtime::config::told(&[
        (
            !c.hs256_secret.is_empty() && short(&c.hs256_secret),
            "hs256_secret: at least 32 characters",
        ),
        (
            c.hs256_old.iter().any(short),
            "hs256_old: at least 32 characters each, they open as much as the present one",
        ),
    ])
}
