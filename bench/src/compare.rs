//! What became faster or slower since an older report, beyond the noise of both.

use crate::report::Report;
use crate::sample::Summary;
use crate::workload::Unit;

/// Smaller differences are no news, however well they repeat.
const LEAST_CHANGE: f64 = 0.05;

/// What became of one workload on one driver.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The workload's name.
    pub workload: String,
    /// The driver.
    pub driver: String,
    /// What the numbers are.
    pub unit: Unit,
    /// What it was.
    pub before: Summary,
    /// What it is.
    pub after: Summary,
    /// Whether that is a difference.
    pub verdict: Verdict,
}

/// Whether two measurements differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No sample of the new ones is as high as any of the old, and the medians are more than a twentieth apart.
    Better,
    /// The other way about.
    Worse,
    /// Neither.
    Same,
}

/// Compares what both reports measured, in the order of the new one. `None` where they are of different sizes.
#[must_use]
pub fn compare(before: &Report, after: &Report) -> Option<Vec<Comparison>> {
    if before.size != after.size {
        return None;
    }
    let of = |new: &crate::Measurement| {
        let old = before
            .measurements
            .iter()
            .find(|old| (&old.workload, &old.driver) == (&new.workload, &new.driver))?;
        Some(Comparison {
            workload: new.workload.clone(),
            driver: new.driver.clone(),
            unit: new.unit,
            before: old.summary,
            after: new.summary,
            verdict: judge(&old.summary, &new.summary),
        })
    };
    Some(after.measurements.iter().filter_map(of).collect())
}

fn judge(before: &Summary, after: &Summary) -> Verdict {
    let change = (after.median - before.median) / before.median.max(f64::MIN_POSITIVE);
    if change.abs() <= LEAST_CHANGE || !after.is_apart_from(before) {
        Verdict::Same
    } else if change < 0.0 {
        Verdict::Better
    } else {
        Verdict::Worse
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn noise_is_no_difference() {
        let of = |samples: &[f64]| Summary::of(samples).unwrap();
        let before = of(&[10.0, 11.0, 12.0]);
        assert_eq!(judge(&before, &of(&[5.0, 6.0, 7.0])), Verdict::Better);
        assert_eq!(judge(&before, &of(&[15.0, 16.0, 17.0])), Verdict::Worse);
        assert_eq!(judge(&before, &of(&[9.0, 9.5, 10.5])), Verdict::Same, "a sample is as before");
        assert_eq!(judge(&of(&[10.0, 10.1]), &of(&[10.2, 10.3])), Verdict::Same, "it is too little");
    }
}
