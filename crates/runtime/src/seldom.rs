//! Lines of a log that are said at most so often: a part that is down fails every call, and a
//! hundred thousand equal lines hide the one that matters. What is left out is counted and told.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Between two lines of one subject.
const EVERY: Duration = Duration::from_secs(1);
/// The most subjects that are told apart; of further ones every line is said.
const SUBJECTS: usize = 4096;

/// What a line is about: a part, and which of several it is.
pub type Subject = (&'static str, u16);

struct LastSaid {
    at: Instant,
    left_out: u64,
}

/// Remembers when something was said last, per subject.
#[derive(Default)]
pub struct Seldom {
    said: Mutex<BTreeMap<Subject, LastSaid>>,
}

impl Seldom {
    /// Nothing was said yet.
    pub const fn new() -> Self {
        Self { said: Mutex::new(BTreeMap::new()) }
    }

    /// `Some(n)` when a line about this subject is due, `n` others having been left out since the
    /// last one; `None` when one was said within the last second.
    pub fn due(&self, subject: Subject) -> Option<u64> {
        let now = Instant::now();
        let mut said = self.said.lock();
        match said.get_mut(&subject) {
            Some(last) if now.duration_since(last.at) < EVERY => {
                last.left_out += 1;
                None
            }
            Some(last) => {
                last.at = now;
                Some(std::mem::take(&mut last.left_out))
            }
            None => {
                if said.len() < SUBJECTS {
                    said.insert(subject, LastSaid { at: now, left_out: 0 });
                }
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_per_subject_and_second_and_the_rest_counted() {
        let said = Seldom::new();
        let (a, b) = (("database", 0), ("database", 1));
        assert_eq!(said.due(a), Some(0));
        assert_eq!(said.due(b), Some(0), "each has its own");
        for _ in 0..9 {
            assert_eq!(said.due(a), None);
        }
        tokio::time::sleep(EVERY).await;
        assert_eq!((said.due(a), said.due(b)), (Some(9), Some(0)));
        tokio::time::sleep(EVERY * 9).await;
        assert_eq!(said.due(a), Some(0), "what was told is not told again");
    }

    #[tokio::test(start_paused = true)]
    async fn the_subjects_are_bounded() {
        let said = Seldom::new();
        for n in 0..2 * SUBJECTS as u16 {
            assert_eq!(said.due(("database", n)), Some(0));
        }
        assert_eq!(said.said.lock().len(), SUBJECTS);
    }
}
