//! The graph store: layers, parent chains, images, containers, leases, recovery and garbage collection.
//!
//! A [`Store`] owns a folder with a database, the recipes of its layers and the leases of the processes that work on
//! it, and drives one [`GraphDriver`](plywood_graphdriver::GraphDriver). Everything in it is committed in one place
//! (a `SQLite` transaction) and deleted by the same walk backwards; `docs/design/store.md` draws both.

mod chain;
mod check;
mod commit_layer;
mod container_names;
mod containers;
mod database;
mod delete;
mod disk_usage;
mod error;
mod folder;
mod gc;
mod images;
mod import;
mod layers;
mod lease;
mod lookup;
mod mounts;
mod options;
mod plan;
mod progress;
mod random;
mod rebuild;
mod records;
mod recovery;
pub mod reference;
mod repair;
mod report;
mod reserve;
mod snapshots;
mod store;
mod turn;
mod verify;
mod writers_lock;

pub use chain::chain_ids;
pub use commit_layer::StagedLayer;
pub use error::GraphError;
pub use mounts::HeldMount;
pub use options::{Durability, StoreOptions};
pub use plan::{Blob, ImagePlan, Imported, LayerSource, PlannedLayer};
pub use progress::{Event, Progress};
pub use records::{ContainerRecord, ImageRecord, LayerRecord, LayerState, MountRecord, MountTarget};
pub use reference::{InvalidReference, Reference};
pub use repair::Originals;
pub use report::{
    CheckOptions, CheckReport, ContainerUsage, DiskUsage, ImageUsage, LayerUsage, Origin, Problem, Reclaimed,
    Removed, Repaired, Unrepaired,
};
pub use snapshots::{LabelChange, NewSnapshot, Removal, SnapshotKind, SnapshotRecord};
pub use store::Store;
pub use writers_lock::Waits;
