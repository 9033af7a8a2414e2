//! What a driver tells about itself and its layers.

use std::ops::AddAssign;

/// Space that a layer takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of file content, counting an inode with several names once.
    pub size_bytes: u64,
    /// Files, folders, links and devices.
    pub inodes: u64,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.size_bytes = self.size_bytes.saturating_add(other.size_bytes);
        self.inodes = self.inodes.saturating_add(other.inodes);
    }
}

/// What `plywood info` shows of a driver: its name and facts in the order to show them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DriverStatus {
    /// Pairs such as `("Backing Filesystem", "extfs")`.
    pub fields: Vec<(String, String)>,
}
