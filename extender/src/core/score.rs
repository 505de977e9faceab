//! Scores of targets, 0 to 10, from how much of its room for such pods each has free.
//!
//! A share and not a number of copies: the number would fill the largest target first and leave the others empty.

use clap::ValueEnum;

/// Highest score, `MaxExtenderPriority` of k8s.io/kube-scheduler/extender/v1.
pub const MAX_SCORE: i64 = 10;

/// Where pods should rather go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ScorePolicy {
    /// To the target with the largest share of its room free.
    #[default]
    Spread,
    /// To the target with the smallest share of its room free, so that others stay empty.
    Pack,
}

/// The score of each target, from the share of its room that is free, on any scale. Only the best get the highest score, so that equal
/// targets fill evenly, pod by pod.
pub fn scores(room: &[i64], policy: ScorePolicy) -> Vec<i64> {
    let (Some(most), Some(least)) = (room.iter().max(), room.iter().min()) else {
        return Vec::new();
    };
    let share = |part: i64, of: i64| match of {
        ..=0 => 0,
        of => (i128::from(part.max(0)) * i128::from(MAX_SCORE) / i128::from(of)) as i64,
    };
    let score = |room: i64| match policy {
        _ if most == least => MAX_SCORE,
        ScorePolicy::Spread if room == *most => MAX_SCORE,
        ScorePolicy::Spread => share(room, *most).min(MAX_SCORE - 1),
        // Nothing fits: packing there is no gain.
        ScorePolicy::Pack if room <= 0 => 0,
        ScorePolicy::Pack if room == *least => MAX_SCORE,
        ScorePolicy::Pack => share((*least).max(1), room).min(MAX_SCORE - 1),
    };
    room.iter().map(|room| score(*room)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_best_target_stands_out() {
        for (copies, spread, pack) in [
            (vec![], vec![], vec![]),
            (vec![7], vec![10], vec![10]),
            (vec![100, 100], vec![10, 10], vec![10, 10]),
            (vec![100, 99, 50, 0], vec![10, 9, 5, 0], vec![0, 0, 0, 0]),
            (vec![100, 50, 10], vec![10, 5, 1], vec![1, 2, 10]),
        ] {
            assert_eq!(scores(&copies, ScorePolicy::Spread), spread, "{copies:?}");
            assert_eq!(scores(&copies, ScorePolicy::Pack), pack, "{copies:?}");
        }
    }

    proptest! {
        #[test]
        fn more_room_never_scores_less_when_spreading(copies in prop::collection::vec(0i64..i64::MAX, 1..20)) {
            let scores = scores(&copies, ScorePolicy::Spread);
            for (a, score_a) in copies.iter().zip(&scores) {
                prop_assert!((0..=MAX_SCORE).contains(score_a));
                for (b, score_b) in copies.iter().zip(&scores) {
                    prop_assert!(a < b || score_a >= score_b);
                }
            }
        }
    }
}
