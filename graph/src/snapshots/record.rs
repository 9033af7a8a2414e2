//! What is known of a snapshot, and what an engine says of a new one.

use std::collections::BTreeMap;
use std::time::SystemTime;

use plywood_graphdriver::LayerId;

use crate::GraphError;

/// What a snapshot is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SnapshotKind {
    /// It is written to.
    Active,
    /// Its parent's tree, only to be read.
    View,
    /// It is read-only from now on, and others may stand on it.
    Committed,
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotRecord {
    /// The engine's key for it; no other snapshot has it.
    pub key: String,
    /// The key of the committed snapshot that it stands on.
    pub parent: Option<String>,
    /// What it is for.
    pub kind: SnapshotKind,
    /// The layer with its files. A view has its parent's; committed snapshots with equal trees may share one.
    pub layer: LayerId,
    /// Labels by name; none is without a value.
    pub labels: BTreeMap<String, String>,
    /// When it was made, or committed.
    pub created: SystemTime,
    /// When it was made, committed, or its labels were changed.
    pub updated: SystemTime,
}

/// What an engine says of a snapshot that is to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewSnapshot<'a> {
    /// The key, or for a commit the name.
    pub key: &'a str,
    /// The committed snapshot that it stands on. In a commit: one for a snapshot that was made without any.
    pub parent: Option<&'a str>,
    /// Labels by name; those without a value are left out.
    pub labels: BTreeMap<String, String>,
    /// Who owns the root folder, by user and group id, where that is not as in the parent.
    pub root_owner: Option<(u32, u32)>,
}

/// A change of a snapshot's labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelChange {
    /// These and no others.
    All(BTreeMap<String, String>),
    /// Each of these gets the value given, or goes.
    Some(BTreeMap<String, Option<String>>),
}

impl LabelChange {
    /// Does to `labels` what the change says.
    pub(super) fn apply(&self, labels: &mut BTreeMap<String, String>) {
        match self {
            Self::All(all) => labels.clone_from(all),
            Self::Some(some) => {
                for (name, value) in some {
                    labels.insert(name.clone(), value.clone().unwrap_or_default());
                }
            }
        }
        labels.retain(|_, value| !value.is_empty());
    }
}

impl NewSnapshot<'_> {
    /// Refuses what can be no key: nothing, and what ends a text elsewhere.
    pub(super) fn check_key(&self, operation: &'static str) -> Result<(), GraphError> {
        if self.key.is_empty() || self.key.contains('\0') {
            let reason = "a snapshot's key is a text that is not empty and has no NUL".to_owned();
            return Err(GraphError::Invalid { operation, reason });
        }
        Ok(())
    }

    /// The labels that are kept.
    pub(super) fn kept_labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.labels.clone();
        labels.retain(|_, value| !value.is_empty());
        labels
    }
}

impl SnapshotRecord {
    /// The error for a request that another kind of snapshot would do for.
    pub(super) fn unfit(&self, reason: &'static str) -> GraphError {
        GraphError::Unfit { what: "snapshot", name: self.key.clone(), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    #[test]
    fn labels_change_one_by_one_or_all_at_once() {
        let mut now = labels([("a", "1"), ("b", "2"), ("c", "3")]);
        let some = [("a", Some("x")), ("b", None), ("c", Some("")), ("d", Some("4"))];
        let some = some.map(|(name, value)| (name.to_owned(), value.map(str::to_owned))).into();
        LabelChange::Some(some).apply(&mut now);
        assert_eq!(now, labels([("a", "x"), ("d", "4")]));
        LabelChange::All(labels([("z", "9"), ("empty", "")])).apply(&mut now);
        assert_eq!(now, labels([("z", "9")]));
    }
}
