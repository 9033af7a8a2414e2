//! The overlay2 driver: layers as upper folders of the kernel's overlayfs.
//!
//! On disk, below the driver's folder:
//!
//! ```text
//! <layer id>/diff      the layer's own files; deletions as character devices 0:0 and overlay.opaque
//! <layer id>/work      overlayfs' work folder, of writable layers
//! <layer id>/pending   what is open until the parents are known (until sealed)
//! <layer id>/sealed    the layer is read-only from now on
//! l/<short name>       links to layers' own files, for mounts that an engine makes by itself
//! empty/               a lower folder with nothing in it, for overlays that would have only one
//! ```

mod driver;
mod links;
mod mounting;
mod options;
mod probe;

pub use driver::Overlay2;
#[cfg(feature = "fuzzing")]
pub use options::overlay_spec;
