//! What waits for a person: parked orders and frames, listed and given back to the log.

use contract::operators::{Task, TaskPage};
use contract::{Operators, Problem, Reason};
use domain::frame::{self, Item};
use domain::{OrderId, Payload};
use orderlog::port::Partition;
use store::port::{Parked, ParkedFrame, ParkedOrder};
use web::answer::{self, Answer};
use web::body;

use super::{Desk, input};

/// Tasks of one page unless told otherwise, and at most.
const PAGE: u64 = 50;
const MOST: u64 = 100;

const ORDER: &str = "parked_order";
const FRAME: &str = "parked_frame";

fn of_order(ParkedOrder { order, reason: why, times }: ParkedOrder) -> Task<'static> {
    let id = order.to_string();
    Task { subject: id.clone(), id, kind: ORDER.into(), why, state: "open".into(), times }
}

fn of_frame(f: ParkedFrame) -> Task<'static> {
    let (id, subject) = (f.id, f.partition);
    Task { id, subject, kind: FRAME.into(), why: f.reason, state: "open".into(), times: f.times }
}

/// What a list asks for, checked.
struct Wanted {
    orders: bool,
    frames: bool,
    limit: u64,
    /// The last id of the page before; an order's or a frame's.
    after: Option<Id>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Id {
    Order(OrderId),
    Frame(String),
}

impl Id {
    /// An order's id, or the hash of a frame.
    fn parse(text: &str) -> Option<Self> {
        let is_hash = text.len() == 64
            && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        match text.parse() {
            Ok(order) => Some(Id::Order(order)),
            Err(_) => is_hash.then(|| Id::Frame(text.to_owned())),
        }
    }
}

impl Wanted {
    fn of(query: Option<&str>) -> Result<Option<Self>, Problem> {
        let fields = body::query(query, Operators::ListTasks.spec().query)?;
        let get = |name| fields.get(name).map(|v| v.as_ref());
        let (orders, frames) = match get("kind") {
            None => (true, true),
            Some(ORDER) => (true, false),
            Some(FRAME) => (false, true),
            Some(_) => return Err(input::malformed(format!("kind is {ORDER} or {FRAME}"))),
        };
        // What is given back, or decided by a person, is not kept: only open tasks are listed.
        let is_kept = match get("state") {
            None | Some("open") => true,
            Some("resolved" | "retried") => false,
            Some(_) => return Err(input::malformed("state is open, retried or resolved")),
        };
        let limit = match get("limit").map(str::parse) {
            None => PAGE,
            Some(Ok(n @ 1..=MOST)) => n,
            Some(_) => return Err(input::malformed(format!("limit is 1 to {MOST}"))),
        };
        let after = match get("cursor") {
            None => None,
            Some(text) => Some(
                Id::parse(text).ok_or_else(|| input::malformed("cursor: take it as it came"))?,
            ),
        };
        Ok(is_kept.then_some(Self { orders, frames, limit, after }))
    }
}

/// `GET /admin/tasks`: orders by id, then frames by id.
pub(super) async fn list(desk: &Desk, query: Option<&str>) -> Result<Answer, Problem> {
    let mut page = TaskPage::default();
    let Some(wanted) = Wanted::of(query)? else { return Ok(answer::json(200, &page)) };
    let store = &desk.ports.store;
    let down = input::down;
    let after_order = match &wanted.after {
        Some(Id::Order(id)) => Some(*id),
        _ => None,
    };
    // A cursor that is a frame's is beyond all orders.
    if wanted.orders && !matches!(wanted.after, Some(Id::Frame(_))) {
        let found = store.parked_orders(after_order, wanted.limit).await.map_err(down)?;
        page.tasks.extend(found.into_iter().map(of_order));
    }
    let room = wanted.limit - page.tasks.len() as u64;
    if wanted.frames && room > 0 {
        let after = match &wanted.after {
            Some(Id::Frame(id)) => Some(id.as_str()),
            _ => None,
        };
        let found = store.parked_frames(after, room).await.map_err(down)?;
        page.tasks.extend(found.into_iter().map(of_frame));
    }
    if page.tasks.len() as u64 == wanted.limit {
        page.next_cursor = page.tasks.last().map(|t| t.id.clone());
    }
    Ok(answer::json(200, &page))
}

/// `POST /admin/parked/{id}/retry`: its bytes go into the log once more, then it is forgotten. If
/// the reason has not gone, the writer parks it again, and it stays.
pub(super) async fn retry(desk: &Desk, id: &str) -> Result<Answer, Problem> {
    let task = match Id::parse(id).ok_or_else(|| Problem::new(Reason::UnknownTask))? {
        Id::Order(order) => retry_order(desk, order).await?,
        Id::Frame(id) => retry_frame(desk, &id).await?,
    };
    tracing::info!(id = task.id, kind = &*task.kind, "given back to the log");
    Ok(answer::json(200, &Task { state: "retried".into(), ..task }))
}

async fn retry_order(desk: &Desk, order: OrderId) -> Result<Task<'static>, Problem> {
    let ports = &desk.ports;
    let found = ports.store.parked(order).await.map_err(input::down)?;
    let parked = found.ok_or_else(|| Problem::new(Reason::UnknownTask))?;
    let payload = Payload::decode(&parked.sealed.payload);
    let payload = payload.map_err(|e| {
        Problem::with(Reason::IllegalTransition, format!("its bytes cannot be read: {e}"))
    })?;
    let home = domain::home(&payload, &ports.identity, ports.log.partitions());
    // As it came: what was asked to be rejected is asked so again.
    let frame = frame::encode(&[Item::Order(parked.mode, parked.sealed.clone())]);
    publish(desk, Partition::Main(home), frame).await?;
    ports.store.unpark(order, parked.times).await.map_err(input::down)?;
    let Parked { order, reason, times, .. } = parked;
    Ok(of_order(ParkedOrder { order, reason, times }))
}

async fn retry_frame(desk: &Desk, id: &str) -> Result<Task<'static>, Problem> {
    let ports = &desk.ports;
    let found = ports.store.parked_frame(id).await.map_err(input::down)?;
    let parked = found.ok_or_else(|| Problem::new(Reason::UnknownTask))?;
    let to = parked.partition.parse().map_err(|()| {
        Problem::with(Reason::IllegalTransition, format!("no partition {:?}", parked.partition))
    })?;
    publish(desk, to, parked.frame.clone()).await?;
    ports.store.unpark_frame(id, parked.times).await.map_err(input::down)?;
    Ok(of_frame(parked))
}

async fn publish(desk: &Desk, to: Partition, frame: bytes::Bytes) -> Result<(), Problem> {
    let receipt = desk.ports.log.publish(to, frame).await;
    receipt.map_err(|e| {
        tracing::warn!(partition = %to, error = %e, "a parked frame was not taken");
        Problem::with(Reason::DependencyDown, "the log gave no receipt; repeat")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_orders_or_hashes() {
        let order = "0000005d-03f3-89f3-8887-2a34304e79d2";
        assert_eq!(Id::parse(order), Some(Id::Order(order.parse().unwrap())));
        let hash = "0a".repeat(32);
        assert_eq!(Id::parse(&hash), Some(Id::Frame(hash)));
        for bad in ["", "x", "0A", &"0A".repeat(32), &"0a".repeat(31), "0a/0b"] {
            assert_eq!(Id::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_list_is_asked_for_within_its_bounds() {
        let hash = "0a".repeat(32);
        let cursor = format!("cursor={hash}&limit=100&kind=parked_frame&state=open");
        let wanted = Wanted::of(Some(&cursor)).unwrap().unwrap();
        assert_eq!((wanted.orders, wanted.frames, wanted.limit), (false, true, 100));
        assert_eq!(wanted.after, Some(Id::Frame(hash)));
        assert!(Wanted::of(Some("state=resolved")).unwrap().is_none());
        for bad in [
            "state=retried&limit=",
            "limit=0",
            "limit=101",
            "limit=x",
            "kind=refund",
            "state=x",
            "cursor=1",
            "x=1",
        ] {
            let refused = Wanted::of(Some(bad)).err().map(|p| p.reason);
            assert_eq!(refused, Some(Reason::Malformed), "{bad}");
        }
    }
}
