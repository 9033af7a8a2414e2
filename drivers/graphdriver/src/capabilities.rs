//! What a driver can do on this machine.

/// Facts about a driver, probed once when it is opened and constant from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts, not states of one thing")]
pub struct Capabilities {
    /// The largest number of parents a mounted layer may stand on; `None` where there is no limit.
    pub max_depth: Option<usize>,
    /// [`apply`](crate::GraphDriver::apply) may run before the parents are there; layers of one
    /// image unpack at once, and [`seal`](crate::GraphDriver::seal) settles them bottom-up.
    pub independent_apply: bool,
    /// [`diff`](crate::GraphDriver::diff) reads what the layer itself holds, not the whole tree.
    pub native_diff: bool,
    /// The driver runs without privilege in the initial user namespace; owners are then the caller's.
    pub rootless: bool,
    /// [`mount`](crate::GraphDriver::mount) makes a kernel mount; where it does not, the tree is
    /// reached through [`contents`](crate::GraphDriver::contents) only.
    pub mounts: bool,
    /// A writable layer can be given a size limit.
    pub quota: bool,
    /// Layers are block devices.
    pub device_backed: bool,
    /// Containers on one image share its pages in memory.
    pub shares_page_cache: bool,
}
