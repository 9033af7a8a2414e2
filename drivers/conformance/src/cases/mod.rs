//! The one table of cases.

mod access;
mod accounts;
mod advertised;
mod applying;
mod attributes;
mod backing;
mod basic;
mod changing;
mod committing;
mod deletions;
mod depth;
mod extents;
mod links;
mod lists;
mod mounting;
mod names;
mod opaque;
mod parents;
mod places;
mod programs;
mod replacing;
mod requests;
mod rootless;
mod roots;
mod sizes;
mod snapshots;
mod specials;
mod times;
mod together;

use crate::case::Case;

/// Every theme's cases.
const GROUPS: &[&[Case]] = &[
    basic::CASES,
    applying::CASES,
    parents::CASES,
    depth::CASES,
    changing::CASES,
    lists::CASES,
    replacing::CASES,
    sizes::CASES,
    snapshots::CASES,
    committing::CASES,
    together::CASES,
    programs::CASES,
    mounting::CASES,
    backing::CASES,
    rootless::CASES,
    links::CASES,
    access::CASES,
    attributes::CASES,
    times::CASES,
    extents::CASES,
    specials::CASES,
    names::CASES,
    deletions::CASES,
    roots::CASES,
    requests::CASES,
    accounts::CASES,
    advertised::CASES,
    places::CASES,
    opaque::CASES,
];

/// Every case, in the order of the themes.
pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    GROUPS.iter().copied().flatten()
}

/// The case of a name: a name that no case has is a mistake of whoever names it.
pub(crate) fn named(name: &str) -> &'static Case {
    all().find(|case| case.name == name).unwrap_or_else(|| panic!("there is no case {name}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::all;
    use crate::faulty::Fault;

    #[test]
    fn names_are_unique_and_faults_are_found_by_cases_that_exist() {
        let names: BTreeSet<&str> = all().map(|case| case.name).collect();
        assert_eq!(names.len(), all().count());
        for fault in Fault::ALL {
            assert!(names.contains(fault.found_by()), "{} names no case: {}", fault.name(), fault.found_by());
        }
    }
}
