//! Which driver suits which work, in words that the numbers make.

use crate::report::{Measurement, Report};
use crate::show::times;
use crate::workload::Area;

/// Drivers whose means differ by less are called alike.
const ALIKE: f64 = 1.1;

/// One sentence for each kind of work that at least two drivers were measured at, and one for what could not be compared.
///
/// The score of a driver in a kind of work is the geometric mean, over the workloads that all drivers in question did, of its median
/// divided by the best one.
#[must_use]
pub fn advice(report: &Report) -> Vec<String> {
    let drivers: Vec<&str> = report.drivers.iter().map(|driver| driver.name.as_str()).collect();
    if drivers.len() < 2 {
        return vec![format!(
            "Only {} was measured, so there is nothing to compare it with.",
            drivers.join("")
        )];
    }
    let groups = report.by_workload();
    let mut sentences = Vec::new();
    for area in Area::ALL {
        let shared: Vec<&Vec<&Measurement>> =
            groups.iter().filter(|group| group[0].area == area && group.len() == drivers.len()).collect();
        if !shared.is_empty() {
            sentences.push(sentence(area, &scores(&drivers, &shared)));
        }
    }
    for group in groups.iter().filter(|group| group.len() < drivers.len()) {
        let did: Vec<&str> = group.iter().map(|one| one.driver.as_str()).collect();
        sentences.push(format!("Only {} could {}.", did.join(" and "), group[0].title));
    }
    sentences
}

/// The drivers with their scores, the best first.
fn scores<'d>(drivers: &[&'d str], groups: &[&Vec<&Measurement>]) -> Vec<(&'d str, f64)> {
    #[allow(clippy::cast_precision_loss, reason = "a handful of workloads")]
    let count = groups.len() as f64;
    let score = |driver: &str| {
        let logarithms = groups.iter().filter_map(|group| {
            let best = group.iter().map(|one| one.summary.median).fold(f64::INFINITY, f64::min);
            let own = group.iter().find(|one| one.driver == driver)?.summary.median;
            Some((own / best.max(f64::MIN_POSITIVE)).max(f64::MIN_POSITIVE).ln())
        });
        (logarithms.sum::<f64>() / count).exp()
    };
    let mut scores: Vec<(&str, f64)> = drivers.iter().map(|driver| (*driver, score(driver))).collect();
    scores.sort_by(|one, other| one.1.total_cmp(&other.1));
    scores
}

fn sentence(area: Area, scores: &[(&str, f64)]) -> String {
    let best = scores[0].1;
    let (alike, rest): (Vec<_>, Vec<_>) = scores.iter().partition(|(_, score)| score / best < ALIKE);
    let names: Vec<&str> = alike.iter().map(|(name, _)| *name).collect();
    if rest.is_empty() {
        return format!("For {} the drivers are alike: {}.", area.words(), names.join(", "));
    }
    let others: Vec<String> =
        rest.iter().map(|(name, score)| format!("{name} takes {} as much", times(score / best))).collect();
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!("For {} {} {verb} the best: {}.", area.words(), names.join(" and "), others.join(", "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn the_words_follow_the_numbers() {
        let found = advice(&report(&[("walk", "one", &[1.0]), ("walk", "two", &[4.0])]));
        assert_eq!(
            found,
            ["For reading the files of an image one is the best: two takes 4.0 times as much."]
        );
        let found = advice(&report(&[("walk", "one", &[1.0]), ("walk", "two", &[1.05])]));
        assert_eq!(found, ["For reading the files of an image the drivers are alike: one, two."]);
    }

    #[test]
    fn what_one_driver_alone_did_is_said() {
        let found = advice(&report(&[
            ("walk", "one", &[1.0]),
            ("walk", "two", &[9.0]),
            ("mount-500", "two", &[1.0]),
        ]));
        assert_eq!(found[1], "Only two could mount 500 layers.");
        assert!(advice(&report(&[("walk", "one", &[1.0])]))[0].contains("nothing to compare"));
    }
}
