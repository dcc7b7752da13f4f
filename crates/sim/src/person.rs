//! Operators who finish what only a person can, once all faults are over: refunds that do not get
//! through are sent again, refunds that were asked for are granted. After a rewind one that does
//! not get through a second time is given up: the provider has nothing left to send.

use std::collections::BTreeSet;

use hyper::Method;
use serde_json::{Value, json};

use crate::operator::told;
use crate::process::Fleet;

/// Who looks at tasks.
#[derive(Default)]
pub struct Person {
    /// Tasks of refunds that were sent again.
    tried: BTreeSet<String>,
}

impl Person {
    /// Looks at the open tasks, and does what there is to be done about them.
    pub async fn finish(&mut self, fleet: &Fleet) {
        let world = &fleet.world;
        if !world.is_healed() || world.store.open_tasks_now().is_empty() {
            return;
        }
        let list = (Method::GET, "/admin/tasks?limit=100".to_owned());
        let Some(list) = told(fleet, 0, list, String::new()).await else { return };
        for task in list.body["tasks"].as_array().into_iter().flatten() {
            let id = task["id"].as_str().unwrap_or_default();
            let again = self.tried.contains(id) && world.oracle.lock().rewinds;
            let (verb, body) = match task["kind"].as_str() {
                Some("refund") if again => {
                    ("resolve", json!({"outcome": "failed", "note": "it is back already"}))
                }
                Some("refund") => ("retry", Value::Null),
                Some("refund_asked") => ("resolve", json!({"outcome": "done", "note": "granted"})),
                _ => continue,
            };
            if verb == "retry" {
                self.tried.insert(id.to_owned());
            }
            world.met("person", verb);
            let path = format!("/admin/tasks/{id}/{verb}");
            let body = if body.is_null() { String::new() } else { body.to_string() };
            told(fleet, 0, (Method::POST, path), body).await;
        }
    }
}
