//! Limits of admission: which there are, in which order they are charged, what a charge decides.
//!
//! GCRA: a key's state is the time at which it will be idle again. A key that is idle carries no
//! information, so forgetting it changes nothing. Times are nanoseconds since any fixed moment.

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    /// All requests of a gate.
    Global,
    /// Those of one client address (IPv6: of one /64).
    Ip,
    /// Those of one buyer.
    Buyer,
    /// Purchases of one offer.
    Offer,
}

impl Dimension {
    /// All of them, in the order in which a purchase is charged. Whoever has no valid token is
    /// charged as a stranger only, and a buyer over the own limit takes nothing from an offer's.
    pub const ALL: [Dimension; 4] = [Self::Global, Self::Ip, Self::Buyer, Self::Offer];
    /// Before the token is looked at.
    pub const STRANGER: &'static [Dimension] = &[Self::Global, Self::Ip];
    /// Once the token is known to be valid, on routes that are about no offer.
    pub const BUYER: &'static [Dimension] = &[Self::Buyer];
    /// Once the token of a purchase is known to be valid.
    pub const PURCHASE: &'static [Dimension] = &[Self::Buyer, Self::Offer];

    /// As configuration, headers and metrics write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Ip => "ip",
            Self::Buyer => "buyer",
            Self::Offer => "offer",
        }
    }
}

/// Charges each limit once, in order; the first that refuses ends it, and keeps its name.
pub fn charge_all<E>(
    order: &[Dimension],
    mut charge: impl FnMut(Dimension) -> Result<(), E>,
) -> Result<(), (Dimension, E)> {
    order.iter().try_for_each(|d| charge(*d).map_err(|e| (*d, e)))
}

/// A sustained rate with a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds between two requests at the sustained rate.
    interval: u64,
    /// How far ahead of the sustained rate a key may be, nanoseconds.
    tolerance: u64,
}

impl Rate {
    /// `None` when `per_second` is 0: no limit. A `burst` of 0 is the same as `per_second`.
    pub fn new(per_second: u32, burst: u32) -> Option<Self> {
        let interval = 1_000_000_000u64.checked_div(per_second.into())?;
        let burst = if burst == 0 { per_second } else { burst };
        Some(Self { interval, tolerance: interval * u64::from(burst - 1) })
    }

    /// One request of a key that is idle from `idle_at` on: `Ok` is when it is idle then, `Err`
    /// how long to wait; a request that is refused costs nothing.
    pub fn charge(self, idle_at: u64, now: u64) -> Result<u64, u64> {
        let base = idle_at.max(now);
        let ahead = base - now;
        if ahead > self.tolerance { Err(ahead - self.tolerance) } else { Ok(base + self.interval) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_with_its_burst() {
        assert_eq!(Rate::new(0, 9), None);
        let ms = |n: u64| n * 1_000_000;
        // Rate, burst, times of requests, how many pass.
        let cases: [(u32, u32, &[u64], usize); 6] = [
            (1, 1, &[0, 0, ms(999), ms(1000), ms(1999), ms(2000)], 3),
            (1, 0, &[0, 0, ms(1000)], 2),
            (10, 3, &[0, 0, 0, 0, ms(100), ms(100), ms(200)], 5),
            (10, 3, &[ms(60_000), ms(60_000), ms(60_000), ms(60_000)], 3),
            (2, 0, &[0, 0, 0, ms(499), ms(500)], 3),
            // A clock that steps back charges from where the key was.
            (1, 2, &[ms(5000), ms(4000), ms(4000), ms(5000)], 2),
        ];
        for (per_second, burst, times, passes) in cases {
            let rate = Rate::new(per_second, burst).unwrap();
            let mut idle_at = 0;
            let passed = times.iter().filter(|now| match rate.charge(idle_at, **now) {
                Ok(next) => {
                    idle_at = next;
                    true
                }
                Err(wait) => {
                    assert!(wait > 0 && rate.charge(idle_at, **now + wait).is_ok());
                    assert!(rate.charge(idle_at, **now + wait - 1).is_err());
                    false
                }
            });
            assert_eq!(passed.count(), passes, "{per_second}/{burst}: {times:?}");
        }
        let largest = Rate::new(1, u32::MAX).unwrap();
        assert!(largest.charge(u64::MAX / 2, u64::MAX / 2).is_ok());
    }

    #[test]
    fn limits_are_charged_once_in_order_and_not_past_a_refusal() {
        for (at, refusing) in Dimension::ALL.iter().enumerate() {
            let mut charged = Vec::new();
            let refused = charge_all(&Dimension::ALL, |d| {
                charged.push(d);
                if d == *refusing { Err(()) } else { Ok(()) }
            });
            assert_eq!(refused, Err((*refusing, ())));
            assert_eq!(charged, Dimension::ALL[..=at]);
        }
        let staged = [Dimension::STRANGER, Dimension::PURCHASE].concat();
        assert_eq!(staged, Dimension::ALL);
        assert!(Dimension::PURCHASE.starts_with(Dimension::BUYER));
    }
}
