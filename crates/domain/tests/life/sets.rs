//! Only the set of news counts.

use proptest::prelude::*;

use crate::stand::*;

fn news() -> impl Strategy<Value = (u8, PaymentNews, bool)> {
    let told = prop_oneof![
        Just(PaymentNews::Opened),
        Just(PaymentNews::Failed),
        Just(PaymentNews::Authorised),
        Just(PaymentNews::Closed),
        (1i64..=4).prop_map(|n| PaymentNews::Captured(n * 40)),
    ];
    (0u8..3, told, proptest::bool::weighted(0.1))
}

/// What is known of payments, whatever was decided on them.
fn joined(life: &Life) -> BTreeMap<PaymentKey, Payment> {
    let bare =
        |(k, p): (&PaymentKey, &Payment)| (k.clone(), Payment { fate: None, keep: 0, ..p.clone() });
    life.payments.iter().map(bare).collect()
}

proptest! {
    /// What is known, what an order comes to and where all the money goes depend on the set of the
    /// news alone, not on their order and how often each comes.
    #[test]
    fn only_the_set_of_news_counts(
        news in prop::collection::vec(news(), 1..9),
        order in Just(()).prop_perturb(|(), rng| rng),
        repeats in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        dies in any::<bool>(),
    ) {
        let desk = Desk::new(OfferPolicy { late: LatePolicy::Refund, ..OfferPolicy::default() });
        let run = |list: &[(u8, PaymentNews, bool)]| {
            let mut life = pending();
            for (n, news, foreign) in list {
                // A payment keeps one currency; which, is part of the set.
                let name = format!("p{n}{}", if *foreign { "x" } else { "" });
                let currency = if *foreign { "USD" } else { "EUR" };
                life::join(&mut life, desk.cx(), &event(&name, currency, news.clone()));
                sound(&life);
            }
            if dies {
                life::expire(&mut life, desk.cx());
                sound(&life);
            }
            let again = life.clone();
            life::settle(&mut life, desk.cx());
            assert_eq!(life, again);
            life
        };
        let first = run(&news);
        let mut rng = order;
        let mut other = news.clone();
        other.extend(repeats.iter().map(|i| i.get(&news).clone()));
        for i in (1..other.len()).rev() {
            other.swap(i, rng.random_range(0..=i));
        }
        let second = run(&other);
        prop_assert_eq!(joined(&first), joined(&second));
        prop_assert_eq!(first.status(), second.status());
        prop_assert_eq!(money(&first), money(&second));
        prop_assert_eq!(audit::when_quiet(&first), []);
        // INV-17: every captured cent is kept, or goes back, once the order is decided.
        let captured: i64 = first.payments.values().map(|p| p.captured).sum();
        let (kept, back) = money(&first);
        if first.status() != Some(RowStatus::Pending) {
            prop_assert_eq!(kept + back, captured);
        }
        prop_assert_eq!(kept, if first.status() == Some(RowStatus::Paid) { AMOUNT } else { 0 });
    }
}
