//! How much there is to do.

/// How much there is to do in each workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// The size's name, for the report: only reports of one size can be compared.
    pub name: &'static str,
    /// Small files of the image.
    pub files: usize,
    /// Bytes of each.
    pub small_bytes: usize,
    /// Bytes of the image's one large file.
    pub large_bytes: usize,
    /// Files that are created, appended to, renamed or unlinked.
    pub changed_files: usize,
    /// Files changed for a small diff.
    pub few_files: usize,
    /// Calls of `stat(2)` in the storm.
    pub stats: usize,
    /// Reads at random places of the large file, of 4 KiB each.
    pub random_reads: usize,
    /// Images with more layers than this are left out.
    pub most_layers: usize,
}

impl Size {
    /// What numbers are worth quoting of: some minutes on two cores.
    pub const FULL: Self = Self {
        name: "full",
        files: 2_000,
        small_bytes: 4 << 10,
        large_bytes: 16 << 20,
        changed_files: 1_000,
        few_files: 10,
        stats: 20_000,
        random_reads: 4_000,
        most_layers: 500,
    };

    /// Just enough to see that all of it works: some seconds.
    pub const SMALL: Self = Self {
        name: "small",
        files: 64,
        small_bytes: 1 << 10,
        large_bytes: 1 << 20,
        changed_files: 32,
        few_files: 2,
        stats: 500,
        random_reads: 100,
        most_layers: 16,
    };
}
