//! Batch sizes on a fixed ladder, so that a connection prepares five statements and not five
//! hundred.

/// The sizes, largest first.
pub const STEPS: [usize; 5] = [512, 128, 32, 8, 1];

/// Lengths on the ladder, none above `most`, that make up `n`.
pub fn sizes(mut n: usize, most: usize) -> Vec<usize> {
    let mut out = Vec::new();
    for step in STEPS.into_iter().filter(|s| *s <= most.max(1)) {
        out.resize(out.len() + n / step, step);
        n %= step;
    }
    out
}

/// Cuts a list of look-up keys into pieces of a ladder length, the last one padded by repeating
/// its first key: a look-up may ask twice, an insert may not.
pub fn padded<T: Clone>(list: &[T]) -> Vec<Vec<T>> {
    list.chunks(STEPS[0])
        .map(|chunk| {
            let want = STEPS.iter().rev().find(|s| **s >= chunk.len()).unwrap_or(&STEPS[0]);
            let mut piece = chunk.to_vec();
            piece.resize(*want, chunk[0].clone());
            piece
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_make_up_the_number_and_stay_on_the_ladder() {
        for n in [0, 1, 7, 8, 9, 41, 128, 700, 1300] {
            for most in [512, 32, 1, 0] {
                let cut = sizes(n, most);
                assert!(cut.iter().all(|s| STEPS.contains(s) && *s <= most.max(1)));
                assert_eq!(cut.iter().sum::<usize>(), n);
            }
        }
    }

    #[test]
    fn padding_repeats_only_known_keys() {
        for n in [1, 2, 8, 9, 130, 513] {
            let list: Vec<usize> = (0..n).collect();
            let cut = padded(&list);
            assert!(cut.iter().all(|p| STEPS.contains(&p.len())));
            let mut all = cut.concat();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all, list);
        }
    }
}
