//! The vfs driver: every layer a whole copy of its parent, made by several workers, reflinked where the file system can.
//!
//! It needs nothing of the kernel and runs without privilege. On disk, below the driver's folder:
//!
//! ```text
//! <layer id>/root      the whole tree
//! <layer id>/upper     the layer's own files until it is sealed; deletions with the names of the OCI image spec
//! <layer id>/copied    made when the parent's tree was copied: what changed in root since then belongs to the layer
//! <layer id>/pending   what is open until the parents are known (until sealed)
//! <layer id>/sealed    the layer is read-only from now on
//! ```

mod driver;

pub use driver::Vfs;
