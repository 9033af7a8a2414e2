//! What several runs of one thing come to.

use serde::{Deserialize, Serialize};

/// The middle and the edges of some samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The middle one; of an even number, the mean of the two in the middle.
    pub median: f64,
    /// The smallest: with [`highest`](Self::highest) the spread.
    pub lowest: f64,
    /// The largest.
    pub highest: f64,
}

impl Summary {
    /// Sums samples up; `None` where there are none.
    #[must_use]
    pub fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (lowest, highest) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self { median, lowest, highest })
    }

    /// Whether no sample of the one is among those of the other: then they differ by more than the noise of both.
    #[must_use]
    pub fn is_apart_from(&self, other: &Self) -> bool {
        self.lowest > other.highest || self.highest < other.lowest
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::float_cmp)]
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let summary = Summary::of(&[3.0, 1.0, 9.0]).unwrap();
        assert_eq!((summary.median, summary.lowest, summary.highest), (3.0, 1.0, 9.0));
        assert_eq!(Summary::of(&[4.0, 1.0, 2.0, 9.0]).unwrap().median, 3.0);
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn samples_that_overlap_are_not_apart() {
        let of = |samples: &[f64]| Summary::of(samples).unwrap();
        assert!(of(&[1.0, 2.0]).is_apart_from(&of(&[2.5, 3.0])));
        assert!(of(&[2.5, 3.0]).is_apart_from(&of(&[1.0, 2.0])));
        assert!(!of(&[1.0, 2.0]).is_apart_from(&of(&[2.0, 3.0])));
    }
}
