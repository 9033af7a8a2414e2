//! containerd's filters, by which a list is made shorter.
//!
//! A filter is one or more selectors separated by commas, all of which have to fit: `kind==committed,labels."a.b/c"~=/^x/`. The grammar is that
//! of containerd's pkg/filters: a path of fields, then perhaps an operator and a value; without them the field has to be there. A text
//! between double quotes may be a field or a value, with the escapes of Go; after `~=` slashes and bars quote as well.

mod parse;
mod quoted;

use regex::Regex;

/// What a filter looks at.
pub trait Selected {
    /// The value of the field with this path; `None` where there is no such field.
    fn field(&self, path: &[String]) -> Option<&str>;
}

/// A filter that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("filter '{filter}', at byte {position}: {reason}")]
pub struct FilterError {
    /// The filter.
    pub filter: String,
    /// Where it goes wrong, in bytes.
    pub position: usize,
    /// What is wrong there.
    pub reason: String,
}

/// Several filters, one of which has to fit.
#[derive(Debug, Clone)]
pub struct Filter {
    alternatives: Vec<Vec<Selector>>,
}

/// A field and what it has to be.
#[derive(Debug, Clone)]
struct Selector {
    path: Vec<String>,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    Present,
    Equal(String),
    NotEqual(String),
    Matches(Regex),
}

impl Filter {
    /// Reads filters. Where there is none, or one is empty, everything fits.
    ///
    /// # Errors
    /// For one that is not of the grammar.
    pub fn parse<'a>(filters: impl IntoIterator<Item = &'a str>) -> Result<Self, FilterError> {
        let mut alternatives = Vec::new();
        for filter in filters {
            alternatives.push(if filter.is_empty() { Vec::new() } else { parse::selectors(filter)? });
        }
        Ok(Self { alternatives })
    }

    /// Whether it fits.
    pub fn fits(&self, selected: &impl Selected) -> bool {
        let all = |selectors: &Vec<Selector>| selectors.iter().all(|selector| selector.fits(selected));
        self.alternatives.is_empty() || self.alternatives.iter().any(all)
    }
}

impl Selector {
    fn fits(&self, selected: &impl Selected) -> bool {
        let value = selected.field(&self.path);
        // A field that is not there has no value: it equals none, and is unequal to all but the empty one.
        match &self.test {
            Test::Present => value.is_some(),
            Test::Equal(expected) => value == Some(expected),
            Test::NotEqual(other) => value.unwrap_or_default() != other,
            Test::Matches(pattern) => pattern.is_match(value.unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    struct Snapshot;

    impl Selected for Snapshot {
        fn field(&self, path: &[String]) -> Option<&str> {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            match path[..] {
                ["name"] => Some("default/1/sha256:ab"),
                ["parent"] => Some(""),
                ["kind"] => Some("committed"),
                ["labels", "a.b/c"] => Some("x y"),
                ["labels", "a", "b"] => Some("1"),
                _ => None,
            }
        }
    }

    fn fits(filters: &[&str]) -> bool {
        Filter::parse(filters.iter().copied()).unwrap().fits(&Snapshot)
    }

    #[test]
    fn what_fits() {
        for filter in [
            "",
            "kind==committed",
            "kind == committed",
            "name==default/1/sha256:ab",
            "name~=sha256",
            "name~=/^default\\/1/",
            "name~=|^default/[0-9]|",
            "name~=\"ab$\"",
            "kind!=active",
            "parent==\"\"",
            "labels.\"a.b/c\"",
            "labels.\"a.b/c\"==\"x y\"",
            "labels.\"\\x61.b/c\"==\"x\\u0020y\"",
            "\"labels\".a.b==1",
            "kind==committed,labels.a.b==1,parent!=x",
            "labels.absent!=x",
            "labels.absent~=^$",
        ] {
            assert!(fits(&[filter]), "{filter}");
        }
        assert!(fits(&[]) && fits(&["kind==view", "kind==committed"]));
    }

    #[test]
    fn what_does_not_fit() {
        for filter in [
            "kind==active",
            "kind!=committed",
            "labels.absent",
            "labels.absent==\"\"",
            "absent",
            "kind==committed,labels.a.b==2",
            "name~=^ab",
        ] {
            assert!(!fits(&[filter]), "{filter}");
        }
        assert!(!fits(&["kind==view", "kind==active"]));
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for filter in [
            "kind=committed",
            "kind===x",
            "kind==",
            "==x",
            "kind==x,",
            ",kind==x",
            "labels.==x",
            "labels.\"a",
            "kind==\"a\\q\"",
            "kind==x y",
            "kind==/x/",
            "name~=(",
            "na/me==x",
            "kind~~x",
            "\"a\\x6\"",
            "kind==\"\\777\"",
        ] {
            let error = Filter::parse([filter]).unwrap_err();
            assert!(error.position <= filter.len() && error.filter == filter, "{error}");
        }
    }
}
