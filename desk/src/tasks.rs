//! What waits for a person: parked orders and frames, listed and given back to the log; what the
//! lives of orders need a person for, listed, tried again and ended.

use contract::operators::{Task, TaskPage};
use contract::{Operators, Problem, Reason};
use domain::frame::{self, Item};
use domain::life::TASK_KINDS;
use domain::{OrderId, Payload};
use orderlog::port::Partition;
use store::port::{Parked, ParkedFrame, ParkedOrder, TasksWanted};
use web::answer::{self, Answer};
use web::body;

use super::named::{Id, of_life, open};
use super::{Desk, Shop, input, resolve};

/// Tasks of one page unless told otherwise, and at most.
const PAGE: u64 = 50;
const MOST: u64 = 100;

const ORDER: &str = "parked_order";
const FRAME: &str = "parked_frame";

fn of_order(ParkedOrder { order, reason: why, times }: ParkedOrder) -> Task<'static> {
    let id = order.to_string();
    Task { why, times, ..open(id.clone(), ORDER, id) }
}

fn of_frame(f: ParkedFrame) -> Task<'static> {
    Task { why: f.reason, times: f.times, ..open(f.id, FRAME, f.partition) }
}

/// What a list asks for, checked.
struct Wanted {
    orders: bool,
    frames: bool,
    lives: bool,
    /// Of lives, only these.
    kind: Option<i8>,
    is_open: bool,
    limit: u64,
    /// The last id of the page before.
    after: Option<Id>,
}

impl Wanted {
    fn of(query: Option<&str>) -> Result<Self, Problem> {
        let fields = body::query(query, Operators::ListTasks.spec().query)?;
        let get = |name| fields.get(name).map(|v| v.as_ref());
        let kind = get("kind").map(|name| {
            let of_life = TASK_KINDS.iter().find(|k| k.1 == name).map(|k| k.0);
            if of_life.is_some() || [ORDER, FRAME].contains(&name) {
                return Ok((name.to_owned(), of_life));
            }
            Err(input::malformed("kind is none of those that there are"))
        });
        let kind = kind.transpose()?;
        let only = |name: &str| kind.as_ref().is_none_or(|(only, _)| only == name);
        let of_life = kind.as_ref().and_then(|k| k.1);
        let is_open = match get("state") {
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
        Ok(Self {
            // What was parked and is given back is not kept.
            orders: is_open && only(ORDER),
            frames: is_open && only(FRAME),
            lives: kind.is_none() || of_life.is_some(),
            kind: of_life,
            is_open,
            limit,
            after,
        })
    }
}

/// `GET /admin/tasks`: orders by id, then frames by id, then lives by database, kind and subject.
pub(super) async fn list(desk: &Desk, query: Option<&str>) -> Result<Answer, Problem> {
    let mut page = TaskPage::default();
    let wanted = Wanted::of(query)?;
    let store = &desk.ports.store;
    let down = input::down;
    let (after_order, after_frame, after_life) = match &wanted.after {
        None => (None, None, None),
        Some(Id::Order(id)) => (Some(*id), None, None),
        Some(Id::Frame(id)) => (None, Some(id.as_str()), None),
        Some(Id::Life { db, kind, subject }) => (None, None, Some((*db, *kind, subject.clone()))),
    };
    // A cursor is beyond all of the sorts before its own.
    if wanted.orders && after_frame.is_none() && after_life.is_none() {
        let found = store.parked_orders(after_order, wanted.limit).await.map_err(down)?;
        page.tasks.extend(found.into_iter().map(of_order));
    }
    let room = wanted.limit - page.tasks.len() as u64;
    if wanted.frames && room > 0 && after_life.is_none() {
        let found = store.parked_frames(after_frame, room).await.map_err(down)?;
        page.tasks.extend(found.into_iter().map(of_frame));
    }
    if wanted.lives {
        lives(desk, &wanted, after_life, &mut page).await?;
    }
    if page.tasks.len() as u64 == wanted.limit {
        page.next_cursor = page.tasks.last().map(|t| t.id.clone());
    }
    Ok(answer::json(200, &page))
}

async fn lives(
    desk: &Desk,
    wanted: &Wanted,
    after: Option<(u16, i8, String)>,
    page: &mut TaskPage<'static>,
) -> Result<(), Problem> {
    let store = &desk.ports.store;
    let from = after.as_ref().map_or(0, |a| a.0);
    for db in from..store.databases() {
        let limit = wanted.limit.saturating_sub(page.tasks.len() as u64);
        if limit == 0 {
            return Ok(());
        }
        let behind = after.clone().filter(|a| a.0 == db).map(|a| (a.1, a.2));
        let of = TasksWanted { is_open: wanted.is_open, kind: wanted.kind, after: behind, limit };
        let found = store.tasks(db, &of).await.map_err(input::down)?;
        page.tasks.extend(found.into_iter().map(|row| of_life(db, row)));
    }
    Ok(())
}

/// `POST /admin/parked/{id}/retry` and `/admin/tasks/{id}/retry`: of what is parked, its bytes go
/// into the log once more, then it is forgotten. If the reason has not gone, the writer parks it
/// again, and it stays.
pub(super) async fn retry(shop: &Shop<'_>, id: &str) -> Result<Answer, Problem> {
    let task = match Id::parse(id).ok_or_else(|| Problem::new(Reason::UnknownTask))? {
        Id::Order(order) => retry_order(shop, order).await?,
        Id::Frame(id) => retry_frame(shop, &id).await?,
        Id::Life { db, kind, subject } => resolve::retry(shop, db, kind, &subject).await?,
    };
    tracing::info!(id = task.id, kind = &*task.kind, operator = shop.name, "tried again");
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
    fn a_list_is_asked_for_within_its_bounds() {
        let hash = "0a".repeat(32);
        let cursor = format!("cursor={hash}&limit=100&kind=parked_frame&state=open");
        let wanted = Wanted::of(Some(&cursor)).unwrap();
        assert_eq!((wanted.orders, wanted.frames, wanted.limit), (false, true, 100));
        assert!(!wanted.lives);
        assert_eq!(wanted.after, Some(Id::Frame(hash)));
        let ended = Wanted::of(Some("state=resolved")).unwrap();
        assert!(!ended.orders && !ended.frames && ended.lives && !ended.is_open);
        let refunds = Wanted::of(Some("kind=refund")).unwrap();
        assert_eq!((refunds.orders, refunds.lives, refunds.kind), (false, true, Some(5)));
        for bad in [
            "state=retried&limit=",
            "limit=0",
            "limit=101",
            "limit=x",
            "kind=refunds",
            "state=x",
            "cursor=1",
            "x=1",
        ] {
            let refused = Wanted::of(Some(bad)).err().map(|p| p.reason);
            assert_eq!(refused, Some(Reason::Malformed), "{bad}");
        }
    }
}
