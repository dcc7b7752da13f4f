//! What happens to orders after their rows: who pays how, what a provider does to its own news,
//! which clerks there are, and what happens to them.

use domain::life::{LatePolicy, OfferPolicy, RefundPolicy, Restock};

use super::{Act, Fault, HEAL_MS, LIVES_HEAL_MS, Plan, Role, Target};
use crate::rng::{Rng, mix};

/// Of a thousand schedules of any family so many have lives.
const SHARE: u64 = 250;
/// Which ones: seeds that found something before there were lives are none of them.
const WHICH: u64 = 0x1208;

/// What happens after the rows, besides what buyers do ([`Act`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LivesPlan {
    /// Clerks.
    pub clerks: u64,
    /// How long a late payment may take to buy its order again, ms.
    pub late_deadline: u64,
    /// Of a thousand news of the provider so many are never told.
    pub lost: u64,
    /// So many are told again, long after they were taken.
    pub twice: u64,
    /// So many are late, and so come after later ones.
    pub late: u64,
    /// So many are followed by what contradicts them.
    pub contradicted: u64,
    /// Of a thousand refunds so many are taken, and the money moves later.
    pub pending: u64,
    /// Of a thousand payments that are to be closed so many are not yet.
    pub unclear: u64,
}

/// How a buyer pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paying {
    /// By a session that the gate opens; else the shop has opened the payment itself.
    pub session: bool,
    /// How much of what the order costs is captured: in this part, and in that one later.
    pub parts: (Part, Option<Part>),
    /// The second part is a payment of its own.
    pub apart: bool,
    /// Ms between the parts, and before the first.
    pub pause: u64,
}

/// A part of what an order costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    All,
    /// Half of it.
    Half,
    /// What half of it leaves.
    Rest,
    /// More.
    More,
    /// As much, in another currency.
    Foreign,
}

/// Which money is wanted back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// All, with the goods.
    Whole,
    /// That of a unit, with it.
    Unit,
    /// So much of it, minor units.
    Minor(i64),
}

/// What a warehouse tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parcelling {
    /// It is on its way.
    Shipped,
    /// It arrived.
    Delivered,
    /// The goods of this refund are back.
    Returned(u8),
}

/// True when a schedule of another family has lives too.
pub(super) fn has(seed: u64) -> bool {
    mix(&[seed, WHICH]) % 1000 < SHARE
}

/// Adds them to a plan.
pub(super) fn add(r: &mut Rng, plan: &mut Plan) {
    let calm = !plan.calls.any() && plan.faults.is_empty();
    let share = |r: &mut Rng, most: &[u64]| if calm { 0 } else { r.pick(most) };
    plan.lives = Some(LivesPlan {
        clerks: r.range(1, 2),
        late_deadline: r.pick(&[150, 600, 4000]),
        lost: share(r, &[0, 100, 400]),
        twice: share(r, &[0, 100, 300]),
        late: share(r, &[0, 200, 500]),
        contradicted: share(r, &[0, 200]),
        pending: share(r, &[0, 300]),
        unclear: share(r, &[0, 200, 500]),
    });
    for offer in &mut plan.offers {
        offer.pays_within = r.pick(&[1, 1, 1, 2, 3, 0]);
        offer.policy = policy(r);
    }
    for client in &mut plan.clients {
        for _ in 0..r.range(1, 4) {
            let pause = r.pick(&[0, 100, 400, 1200]);
            client.acts.push((r.below(pause + 1), act(r)));
        }
    }
    if !calm {
        faults(r, plan);
    }
}

fn policy(r: &mut Rng) -> OfferPolicy {
    OfferPolicy {
        late: r.pick(&[LatePolicy::Reclaim, LatePolicy::Reclaim, LatePolicy::Refund]),
        refund: r.pick(&[RefundPolicy::Auto, RefundPolicy::Auto, RefundPolicy::Ask]),
        restock: r.pick(&[Restock::Yes, Restock::Yes, Restock::No]),
        cancel_refunds: r.chance(500),
        limit_counts_ever: false,
    }
}

fn act(r: &mut Rng) -> Act {
    match r.below(100) {
        0..62 => Act::Pay(paying(r)),
        62..72 => Act::Cancel,
        72..92 => Act::AskRefund(r.below(3) as u8, asking(r)),
        _ => Act::Parcel(match r.below(4) {
            0 | 1 => Parcelling::Shipped,
            2 => Parcelling::Delivered,
            _ => Parcelling::Returned(r.below(3) as u8),
        }),
    }
}

fn paying(r: &mut Rng) -> Paying {
    let first = r.pick(&[Part::All, Part::All, Part::All, Part::Half, Part::More, Part::Foreign]);
    let second = if first == Part::Half {
        r.chance(700).then_some(Part::Rest)
    } else {
        r.chance(200).then(|| r.pick(&[Part::All, Part::Half]))
    };
    Paying {
        session: r.chance(500),
        parts: (first, second),
        apart: r.chance(500),
        pause: r.pick(&[0, 50, 300, 900, 1500]),
    }
}

fn asking(r: &mut Rng) -> Asking {
    match r.below(10) {
        0..4 => Asking::Whole,
        4..7 => Asking::Unit,
        _ => Asking::Minor(r.range(1, 300) as i64),
    }
}

fn faults(r: &mut Rng, plan: &mut Plan) {
    let clerks = plan.lives.map_or(0, |l| l.clerks);
    for _ in 0..r.below(4) {
        let clerk = r.below(clerks);
        let fault = match r.below(10) {
            0..4 => Fault::Kill(Role::Clerk, clerk, r.range(20, 600)),
            4..6 => Fault::Stop(Role::Clerk, clerk, r.pick(&[60, 300, 900, 2000])),
            6 => Fault::Slow(Role::Clerk, clerk, (r.pick(&[10, 100, 1000]), r.range(100, 900))),
            7 | 8 => Fault::Down(Target::Provider, r.range(50, 900)),
            _ => Fault::SlowTarget(Target::Provider, r.pick(&[10, 100]), r.range(100, 900)),
        };
        plan.faults.push((r.below(LIVES_HEAL_MS - 100), fault));
    }
    for _ in 0..r.below(3) {
        let (role, n) = match r.below(3) {
            0 => (Role::Gate, r.below(plan.gates)),
            1 => (Role::Writer, r.below(plan.writers)),
            _ => (Role::Reconciler, r.below(plan.reconcilers)),
        };
        let at = r.range(HEAL_MS, LIVES_HEAL_MS - 100);
        plan.faults.push((at, Fault::Kill(role, n, r.range(20, 600))));
    }
    plan.faults.sort_by_key(|f| f.0);
}
