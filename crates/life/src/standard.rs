//! Standard Webhooks 1.0. The type of an event is `payment.<result>` or `refund.<result>`, its data
//! are the fields of the generic callback.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::callback::{Callback, ReadNews};
use crate::generic;
use crate::signature::{MAX_SIGNATURES, Signed, seconds};

pub(crate) fn signed<'a>(callback: &Callback<'a>) -> Option<Signed<'a>> {
    let header = |name| (callback.header)(name);
    let (id, at) = (header("webhook-id")?, header("webhook-timestamp")?);
    let list = header("webhook-signature")?.split(' ').filter_map(|s| s.strip_prefix("v1,"));
    let signatures = list.take(MAX_SIGNATURES).filter_map(|s| STANDARD.decode(s).ok()).collect();
    let dot: &[u8] = b".";
    let parts = vec![id.as_bytes(), dot, at.as_bytes(), dot, callback.body];
    Some(Signed { at_s: seconds(at)?, parts, signatures })
}

/// The key of a secret: base64 behind `whsec_`; `None` for what is none.
pub(crate) fn key(secret: &str) -> Option<Vec<u8>> {
    STANDARD.decode(secret.strip_prefix("whsec_").unwrap_or(secret)).ok()
}

#[derive(Deserialize)]
struct StandardBody {
    r#type: String,
    data: serde_json::Value,
}

pub(crate) fn read(callback: &Callback<'_>) -> Result<Option<ReadNews>, String> {
    let event = (callback.header)("webhook-id").ok_or("no webhook-id")?;
    let body: StandardBody = serde_json::from_slice(callback.body).map_err(|e| e.to_string())?;
    let result = match body.r#type.split_once('.') {
        Some(("payment", result)) => result.to_owned(),
        Some(("refund", result)) => format!("refund_{result}"),
        _ => return Ok(None),
    };
    generic::read_value(body.data, event, &result)
}
