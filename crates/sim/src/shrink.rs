//! Makes a schedule that violates something shorter: fewer faults, fewer clients, fewer calls of
//! operators, fewer lost and doubled calls, as long as the same invariant still breaks.

use std::collections::BTreeSet;

use crate::plan::{Plan, Tweaks};
use crate::run::{Lab, Outcome};

/// A shorter schedule.
#[derive(Debug)]
pub struct Shrunk {
    /// What is left out.
    pub tweaks: Tweaks,
    /// How it ends now, with its story.
    pub outcome: Outcome,
    /// Schedules that were tried.
    pub tried: u64,
}

struct Search<'a> {
    lab: &'a Lab,
    plan: Plan,
    id: &'static str,
    tried: u64,
}

/// Shrinks; `None` when the seed violates nothing.
pub fn shrink(lab: &Lab, plan: Plan) -> Result<Option<Shrunk>, String> {
    let first = lab.run(plan.clone(), false)?;
    let Some(violation) = first.violation else { return Ok(None) };
    let mut s = Search { lab, plan, id: violation.id, tried: 1 };
    loop {
        let before = s.plan.tweaks.clone();
        let n = s.plan.clients.len();
        s.without(n, |t, i| t.clients.insert(i))?;
        s.without(s.plan.orders.len(), |t, i| t.orders.insert(i))?;
        s.without(s.plan.faults.len(), |t, i| t.faults.insert(i))?;
        s.calls()?;
        if s.plan.tweaks == before {
            break;
        }
    }
    let outcome = lab.run(s.plan.clone(), true)?;
    Ok(Some(Shrunk { tweaks: s.plan.tweaks, outcome, tried: s.tried }))
}

impl Search<'_> {
    /// Leaves things out one by one.
    fn without(
        &mut self,
        n: usize,
        leave: impl Fn(&mut Tweaks, usize) -> bool,
    ) -> Result<(), String> {
        for i in 0..n {
            let mut tweaks = self.plan.tweaks.clone();
            leave(&mut tweaks, i);
            self.keep_if_bad(tweaks)?;
        }
        Ok(())
    }

    /// Leaves faults of calls out: all, then halves, then smaller and smaller pieces.
    fn calls(&mut self) -> Result<(), String> {
        let met: BTreeSet<u64> = self.lab.run(self.plan.clone(), false)?.met.into_iter().collect();
        let met: Vec<u64> = met.into_iter().collect();
        let mut size = met.len().max(1);
        loop {
            for piece in met.chunks(size) {
                let mut tweaks = self.plan.tweaks.clone();
                tweaks.calls.extend(piece);
                self.keep_if_bad(tweaks)?;
            }
            if size == 1 {
                return Ok(());
            }
            size = size.div_ceil(2);
        }
    }

    fn keep_if_bad(&mut self, tweaks: Tweaks) -> Result<(), String> {
        if tweaks == self.plan.tweaks {
            return Ok(());
        }
        let plan = Plan { tweaks: tweaks.clone(), ..self.plan.clone() };
        self.tried += 1;
        let bad = self.lab.run(plan, false)?.violation.is_some_and(|v| v.id == self.id);
        if bad {
            self.plan.tweaks = tweaks;
        }
        Ok(())
    }
}
