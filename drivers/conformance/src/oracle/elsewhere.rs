//! The other drivers: the same layers give the same tree there.

use super::store::{Layer, State, Store};
use super::system::{Difference, System};
use crate::subject::Subject;

/// The other drivers, opened once for many sequences.
pub struct Elsewhere {
    systems: Vec<(&'static str, System)>,
    next: Layer,
}

impl Elsewhere {
    /// Opens them.
    ///
    /// # Errors
    /// A driver's.
    pub fn open(subjects: &[Subject]) -> Result<Self, Difference> {
        let opened = subjects.iter().map(|subject| Ok((subject.name, System::open(subject)?)));
        Ok(Self { systems: opened.collect::<Result<_, Difference>>()?, next: 1 })
    }

    /// Applies the diffs of the longest chain of layers that a driver has, on each of the others, and compares the trees' hashes.
    /// Chains with attributes that no layer carries are passed over.
    ///
    /// # Errors
    /// What differs.
    pub fn check(&mut self, system: &System, store: &Store) -> Result<(), Difference> {
        let fit = |layer: &Layer| !store.layers[layer].tree.has_foreign();
        let sealed = store.layers.iter().filter(|(layer, record)| {
            !matches!(record.state, State::Container { .. }) && fit(layer) && record.parents.iter().all(fit)
        });
        let Some((top, record)) = sealed.max_by_key(|(layer, record)| (record.parents.len(), **layer)) else {
            return Ok(());
        };
        let mut chain: Vec<Layer> = record.parents.iter().rev().copied().collect();
        chain.push(*top);
        let tars = chain
            .iter()
            .map(|layer| system.diff(*layer, &store.layers[layer].parents))
            .collect::<Result<Vec<_>, Difference>>()?;
        let here = system.look(*top, &record.parents)?;
        for (name, other) in &self.systems {
            let mut made: Vec<Layer> = Vec::new();
            for tar in &tars {
                self.next += 1;
                other
                    .apply(self.next, &made, tar)
                    .map_err(|difference| format!("on {name}: {difference}"))?;
                made.insert(0, self.next);
            }
            let there = other.look(made[0], &made[1..])?;
            if here.tree_hash() != there.tree_hash() {
                let what = format!("the tree of layer {top} on {name}");
                super::system::same_listing(&what, &here, &there)?;
                return Err(format!("{what} has another hash, though nothing differs"));
            }
            made.iter().try_for_each(|layer| other.remove(*layer))?;
        }
        Ok(())
    }
}
