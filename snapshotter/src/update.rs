//! Updates: which labels a field mask says are to change.

use std::collections::{BTreeMap, HashMap};

use plywood_graph::LabelChange;
use tonic::Status;

/// All labels, as a path.
const LABELS: &str = "labels";
/// One label, as the beginning of a path.
const LABEL: &str = "labels.";

/// The change that a request asks for. Without a path everything changes that may; that is the labels.
///
/// # Errors
/// `InvalidArgument` for a path of something that never changes.
#[allow(clippy::result_large_err, reason = "tonic's own type")]
pub(crate) fn change(
    paths: &[String],
    labels: HashMap<String, String>,
    key: &str,
) -> Result<LabelChange, Status> {
    let mut some = BTreeMap::new();
    let mut all = paths.is_empty();
    for path in paths {
        if path == LABELS {
            all = true;
        } else if let Some(name) = path.strip_prefix(LABEL) {
            some.insert(name.to_owned(), labels.get(name).cloned());
        } else {
            let reason = format!("cannot update '{path}' of snapshot '{key}': only labels change");
            return Err(Status::invalid_argument(reason));
        }
    }
    // With `labels` there, each of them is as in the request anyway.
    Ok(if all { LabelChange::All(labels.into_iter().collect()) } else { LabelChange::Some(some) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn paths_choose_labels() {
        let labels = HashMap::from([("a".to_owned(), "1".to_owned()), ("b.c/d".to_owned(), "2".to_owned())]);
        let paths = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
        let all = LabelChange::All(labels.clone().into_iter().collect());
        assert_eq!(change(&[], labels.clone(), "k").unwrap(), all);
        assert_eq!(change(&paths(&["labels.x", "labels"]), labels.clone(), "k").unwrap(), all);
        let some = [("b.c/d".to_owned(), Some("2".to_owned())), ("x".to_owned(), None)].into();
        assert_eq!(
            change(&paths(&["labels.b.c/d", "labels.x"]), labels.clone(), "k").unwrap(),
            LabelChange::Some(some)
        );
        for fixed in ["parent", "name", "kind", "created_at", "label"] {
            let refused = change(&paths(&[fixed]), labels.clone(), "k").unwrap_err();
            assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{fixed}");
        }
    }
}
