//! One layer for what several namespaces of an engine unpacked each for itself.

use std::os::fd::AsFd;

use plywood_graphdriver::{LayerId, LayerRef};
use plywood_tree::equal::{Side, equal};

use super::SnapshotRecord;
use super::commit::Sealing;
use crate::database::{layers, snapshots};
use crate::lease::Lease;
use crate::store::Inner;
use crate::{GraphError, LayerState};

impl Inner {
    /// The layer of a committed snapshot that another namespace has under the same name, on the same layer, with an equal tree. It is held
    /// by the lease. The name alone says nothing: the trees are compared, down to every byte.
    pub(super) fn twin(
        &self,
        sealing: &Sealing,
        name: &str,
        lease: &Lease,
    ) -> Result<Option<LayerId>, GraphError> {
        let Some(ending) = shared_ending(name) else { return Ok(None) };
        let on = sealing.parents.first();
        let candidates =
            self.database.read(|transaction| snapshots::committed_on(transaction, ending, on))?;
        for candidate in candidates {
            if self.hold_candidate(&candidate, lease)? && self.is_equal(sealing, &candidate)? {
                return Ok(Some(candidate.layer));
            }
        }
        Ok(None)
    }

    /// Holds the candidate's layer; `false` where it went meanwhile.
    fn hold_candidate(&self, candidate: &SnapshotRecord, lease: &Lease) -> Result<bool, GraphError> {
        self.database.write_without_sync(|transaction| {
            let row = layers::by_id(transaction, &candidate.layer)?;
            let there = row.is_some_and(|row| row.record.state == LayerState::Sealed);
            if there {
                lease.hold(transaction, &candidate.layer)?;
            }
            Ok(there)
        })
    }

    fn is_equal(&self, sealing: &Sealing, candidate: &SnapshotRecord) -> Result<bool, GraphError> {
        let own = &sealing.record.layer;
        let created = |id: &LayerId| {
            let row = self.database.read(|transaction| layers::by_id(transaction, id))?;
            row.map(|row| row.record.created).ok_or_else(|| crate::layers::not_found(id))
        };
        let (made, other_made) = (created(own)?, created(&candidate.layer)?);
        let contents = self.driver.contents(LayerRef::new(own, &sealing.parents))?;
        let other = self.driver.contents(LayerRef::new(&candidate.layer, &sealing.parents))?;
        let one = Side { root: contents.as_fd(), made };
        Ok(equal(one, Side { root: other.as_fd(), made: other_made })?)
    }
}

/// What a name has in common with that of the same layer in another namespace: all after the second slash of
/// `NAMESPACE/NUMBER/NAME`, with that slash; `None` for keys of another form.
fn shared_ending(name: &str) -> Option<&str> {
    let (_, rest) = name.split_once('/')?;
    let (number, plain) = rest.split_once('/')?;
    let numbered = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (numbered && !plain.is_empty()).then(|| &rest[number.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_containerds_names_are_shared() {
        assert_eq!(shared_ending("k8s.io/12/sha256:ab"), Some("/sha256:ab"));
        assert_eq!(shared_ending("default/3/a/b"), Some("/a/b"));
        for other in ["", "a", "a/b", "a/b/c", "a//c", "/tmp/work/committed", "default/3/"] {
            assert_eq!(shared_ending(other), None, "{other}");
        }
    }
}
