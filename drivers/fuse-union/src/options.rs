//! How a union is to be made.

use std::path::PathBuf;

use crate::ids::Ids;

/// What a union consists of, and how it behaves.
#[derive(Debug, Clone, Default)]
#[allow(clippy::struct_excessive_bools, reason = "independent options, as on the command line")]
pub struct Options {
    /// Lower folders, topmost first.
    pub lower: Vec<PathBuf>,
    /// The folder that takes the writes; without it the union is read-only.
    pub upper: Option<PathBuf>,
    /// A folder for files on their way into the upper one, on the same file system.
    pub work: Option<PathBuf>,
    /// Which owners are shown for which.
    pub ids: Ids,
    /// How files are read and written.
    pub io: IoMode,
    /// What becomes of renamed folders of lower layers.
    pub redirects: Redirects,
    /// Nothing is synced: what a crash leaves is thrown away.
    pub volatile: bool,
    /// Folders have one link, whatever they hold.
    pub static_links: bool,
    /// Access control lists are neither checked nor shown.
    pub no_access_control_lists: bool,
    /// Files have no extended attributes.
    pub no_xattrs: bool,
    /// Names that begin with `.wh.` in a layer hide what they name, as in a tar of an image; none can be made.
    pub names_as_whiteouts: bool,
    /// Owners and modes of new files are kept in an attribute, because the file system cannot keep them.
    pub override_stat: Option<OverrideStat>,
}

/// How files are read and written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IoMode {
    /// [`Passthrough`](Self::Passthrough) with privilege in the initial user namespace, [`NoOpen`](Self::NoOpen) without.
    #[default]
    Auto,
    /// Files are not opened; the kernel keeps what it reads and writes as long as it has memory.
    NoOpen,
    /// The kernel reads and writes files of the upper layer by itself (Linux 6.9).
    Passthrough,
    /// Files are opened, and their content is kept by the kernel.
    Cached,
}

/// What becomes of renamed folders that lower layers have a part of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Redirects {
    /// They are renamed by an attribute that says where the parts are.
    #[default]
    On,
    /// Such attributes are followed, none are written; renaming answers `EXDEV`.
    Follow,
    /// They are not even followed: what a layer says is not trusted.
    Off,
}

/// The attribute in which owners and modes are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverrideStat {
    /// `user.containers.override_stat`
    Containers,
    /// `security.fuseoverlayfs.override_stat`
    Security,
    /// `user.fuseoverlayfs.override_stat`
    User,
}

impl OverrideStat {
    /// The attribute's name.
    #[must_use]
    pub fn name(self) -> &'static [u8] {
        match self {
            Self::Containers => b"user.containers.override_stat",
            Self::Security => b"security.fuseoverlayfs.override_stat",
            Self::User => b"user.fuseoverlayfs.override_stat",
        }
    }

    /// All, in the order in which a layer is asked for them.
    pub(crate) const ALL: [Self; 3] = [Self::Containers, Self::Security, Self::User];
}
