//! Batch sizes on a fixed ladder, so that a connection prepares five statements and not five
//! hundred.

/// The sizes, largest first.
pub(crate) const STEPS: [usize; 5] = [512, 128, 32, 8, 1];

/// Lengths on the ladder that cut up rows of these many bytes: none above `most` rows, and none
/// above `room` bytes but for a row that is larger by itself.
pub(crate) fn sizes(mut bytes: &[usize], most: usize, room: usize) -> Vec<usize> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let most = most.min(bytes.len());
        let fits = |step: &usize| *step <= most && bytes[..*step].iter().sum::<usize>() <= room;
        let step = STEPS.into_iter().find(fits).unwrap_or(1);
        out.push(step);
        bytes = &bytes[step..];
    }
    out
}

/// Cuts a list of look-up keys into pieces of a ladder length, none above `most`, which is one, the
/// last one padded by repeating its first key: a look-up may ask twice, an insert may not.
pub(crate) fn padded<T: Clone>(list: &[T], most: usize) -> Vec<Vec<T>> {
    list.chunks(most)
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
                let cut = sizes(&vec![100; n], most, usize::MAX);
                assert!(cut.iter().all(|s| STEPS.contains(s) && *s <= most.max(1)));
                assert_eq!(cut.iter().sum::<usize>(), n);
            }
        }
    }

    #[test]
    fn a_piece_has_room_for_its_rows() {
        for (bytes, cut) in [
            (vec![100; 8], vec![8]),
            (vec![126; 8], vec![1; 8]),
            (vec![1001, 1, 1, 1, 1, 1, 1, 1, 1], vec![1, 8]),
            (vec![5000; 3], vec![1; 3]),
            (
                [vec![10; 32], vec![500; 8], vec![10; 8]].concat(),
                [vec![32], vec![1; 7], vec![8, 1]].concat(),
            ),
            (vec![0; 600], vec![32; 18].into_iter().chain([8, 8, 8]).collect()),
        ] {
            assert_eq!(sizes(&bytes, 32, 1000), cut, "{bytes:?}");
        }
    }

    #[test]
    fn padding_repeats_only_known_keys() {
        for n in [1, 2, 8, 9, 130, 513] {
            let list: Vec<usize> = (0..n).collect();
            for most in [512, 32] {
                let cut = padded(&list, most);
                assert!(cut.iter().all(|p| STEPS.contains(&p.len()) && p.len() <= most));
                let mut all = cut.concat();
                all.sort_unstable();
                all.dedup();
                assert_eq!(all, list);
            }
        }
    }
}
