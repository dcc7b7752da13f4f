//! Every answer that a test gets is one of the contract: a status, a media type and a body that
//! `docs/openapi.json` has for its route.

use std::collections::HashMap;
use std::sync::OnceLock;

use contract::routes::{Content, Spec};
use contract::{Buyers, Operators, Reason};
use serde_json::{Value, json};

use super::http::Reply;

/// The schemas of the document, by their names.
fn validators() -> &'static HashMap<String, jsonschema::Validator> {
    static ALL: OnceLock<HashMap<String, jsonschema::Validator>> = OnceLock::new();
    ALL.get_or_init(|| {
        let document: Value = serde_json::from_str(&contract::json()).unwrap();
        let names = document["components"]["schemas"].as_object().unwrap().keys();
        let of = |name: &String| {
            let schema = json!({
                "$ref": format!("#/components/schemas/{name}"),
                "components": document["components"],
            });
            (name.clone(), jsonschema::validator_for(&schema).unwrap())
        };
        names.map(of).collect()
    })
}

#[track_caller]
fn is_of(schema: &str, reply: &Reply) {
    let errors: Vec<String> =
        validators()[schema].iter_errors(&reply.json()).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "no {schema}: {errors:?} in {} {}", reply.status, reply.text());
}

/// A problem has the fields of one, and the status of its reason.
#[track_caller]
pub(super) fn problem(reply: &Reply) -> Reason {
    is_of("Problem", reply);
    let word = reply.json()["reason"].as_str().unwrap().to_owned();
    let reason = Reason::ALL.iter().find(|r| r.as_str() == word).unwrap();
    assert_eq!(reply.status, reason.status(), "{}", reply.text());
    *reason
}

/// Checks an answer to a request.
#[track_caller]
pub(super) fn check((method, target): (&str, &str), reply: &Reply) {
    let path = target.split('?').next().unwrap();
    let of_operators = ["/admin", "/metrics", "/openapi"].iter().any(|p| path.starts_with(p));
    let spec = if of_operators {
        Operators::find(method, path).route().map(Operators::spec)
    } else {
        Buyers::find(method, path).route().map(Buyers::spec)
    };
    // What never became a request is answered bare.
    let is_bare = reply.body.is_empty() && reply.header("content-type").is_none();
    if method == "HEAD" || (is_bare && [400, 408, 431].contains(&reply.status)) {
        return;
    }
    match spec {
        Some(spec) => of_route(spec, reply),
        None => assert!(reply.status >= 400, "{method} {path} is no route: {reply:?}"),
    }
}

#[track_caller]
fn of_route(spec: &Spec, reply: &Reply) {
    let media = reply.header("content-type");
    match spec.answers.iter().find(|a| a.status == reply.status).map(|a| a.content) {
        Some(Content::Json(shape)) => {
            assert_eq!(media, Some("application/json"), "{}: {reply:?}", spec.id);
            is_of(&(shape.name)(), reply);
        }
        Some(Content::Text(text)) => assert_eq!(media, Some(text), "{}", spec.id),
        None => {
            assert_eq!(media, Some("application/problem+json"), "{}: {reply:?}", spec.id);
            let reason = problem(reply);
            // A call may go to the other listener, which does not have it.
            let known = reason == Reason::UnknownRoute || spec.all_refuses().contains(&reason);
            assert!(known, "{} refuses {reason:?}", spec.id);
        }
    }
}
