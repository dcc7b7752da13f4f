//! A payment provider for tests: it answers as the test says, remembers what it was asked, and
//! calls back with a signature.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::http::{self, Reply};
use super::now_s;

/// What the provider was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Method and path.
    pub call: String,
    /// Its `Idempotency-Key`.
    pub key: String,
    /// Its body.
    pub body: Value,
    /// Its signature.
    pub signature: String,
}

/// Status and body of the answer to a call; status 0: no answer at all.
type Answering = Box<dyn FnMut(&Asked) -> (u16, Value) + Send>;

/// The provider.
pub(crate) struct Bank {
    /// Where it listens.
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    answering: Arc<Mutex<Answering>>,
}

/// Its secret.
pub(crate) const SECRET: &str = "a_secret_of_20_chars";
/// One that it had before.
pub(crate) const OLDER: &str = "an_older_secret_of_it";

impl Bank {
    /// Answers every call with 500, until it is told what to say.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let answering: Answering = Box::new(|_| (500, json!({})));
        let answering = Arc::new(Mutex::new(answering));
        let (seen, says) = (asked.clone(), answering.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, says) = (seen.clone(), says.clone());
                std::thread::spawn(move || serve(&stream, &seen, &says));
            }
        });
        Self { address, asked, answering }
    }

    /// What operators put as `bank`.
    pub(crate) fn settings(&self) -> Value {
        json!({
            "adapter": "generic",
            "secrets": [OLDER, SECRET],
            "base_url": format!("http://{}/v9", self.address),
            "timeout_ms": 500,
        })
    }

    /// From now on it answers so.
    pub(crate) fn says(&self, answering: impl FnMut(&Asked) -> (u16, Value) + Send + 'static) {
        *self.answering.lock().unwrap() = Box::new(answering);
    }

    /// What it was asked of that begins so, in order.
    pub(crate) fn asked(&self, call: &str) -> Vec<Asked> {
        let all = self.asked.lock().unwrap();
        all.iter().filter(|a| a.call.starts_with(call)).cloned().collect()
    }
}

fn serve(stream: &TcpStream, seen: &Mutex<Vec<Asked>>, says: &Mutex<Answering>) {
    let mut reader = BufReader::new(stream);
    loop {
        let Some(asked) = read(&mut reader) else { return };
        seen.lock().unwrap().push(asked.clone());
        let (status, body) = says.lock().unwrap()(&asked);
        if status == 0 {
            // Longer than anybody waits.
            std::thread::sleep(std::time::Duration::from_secs(2));
            return;
        }
        let text = body.to_string();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            text.len()
        );
        let mut out = stream;
        if out.write_all(head.as_bytes()).and_then(|()| out.write_all(text.as_bytes())).is_err() {
            return;
        }
    }
}

fn read(from: &mut impl BufRead) -> Option<Asked> {
    let mut line = String::new();
    from.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let call: Vec<&str> = line.split(' ').take(2).collect();
    let call = call.join(" ");
    let (mut length, mut key, mut signature) = (0, String::new(), String::new());
    loop {
        let mut header = String::new();
        from.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "idempotency-key" => value.clone_into(&mut key),
            "sluicegate-signature" => value.clone_into(&mut signature),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    std::io::Read::read_exact(from, &mut body).ok()?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Some(Asked { call, key, body, signature })
}

/// Posts a callback as it is, with this header.
pub(crate) fn post(gate: SocketAddr, path: &str, signature: Option<&str>, body: &[u8]) -> Reply {
    let headers: Vec<(&str, &str)> =
        signature.iter().map(|s| ("sluicegate-signature", *s)).collect();
    http::call(gate, ("POST", path), None, &headers, Some(body))
}

/// A signature of now by the bank.
pub(crate) fn signed(body: &[u8]) -> String {
    life::adapter::sign(SECRET, now_s(), body)
}

/// A callback of the bank that is taken.
#[track_caller]
pub(crate) fn tell(gate: SocketAddr, news: &Value) {
    let body = news.to_string();
    let path = "/v1/payments/bank/callback";
    let reply = post(gate, path, Some(&signed(body.as_bytes())), body.as_bytes());
    assert_eq!((reply.status, reply.json()), (200, json!({"received": true})));
}

/// Money of an order, captured so far.
pub(crate) fn captured(order: &str, payment: &str, currency: &str, minor: i64) -> Value {
    json!({
        "event_id": format!("{payment}-{minor}-{currency}"),
        "payment_id": payment,
        "order_id": order,
        "result": "captured",
        "amount": {"currency": currency, "minor": minor},
        "a_field": "that nobody knows",
    })
}
