//! The layers of a union, opened.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plywood_tree::resolve::Node as RealNode;
use plywood_tree::xattr;
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::own_mounts::OwnMounts;
use super::real_folder::{LayerNumber, RealFolder};
use crate::options::{Options, OverrideStat};

/// A union that could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A folder cannot be opened.
    #[error("cannot open the {role} folder {}: {cause}", path.display())]
    Folder {
        /// Which it is: `lower`, `upper`, `work`.
        role: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        cause: Errno,
    },
    /// Neither a lower nor an upper folder is named.
    #[error("a union needs at least one folder (lowerdir=)")]
    NoLower,
    /// More than a layer's number can say.
    #[error("{0} lower folders are too many: at most 65,534")]
    TooMany(usize),
    /// Upper and work folder belong together.
    #[error("upperdir needs a workdir, and the other way round")]
    UpperWithoutWork,
    /// Renaming from one to the other must work.
    #[error("the work folder {} is not on the file system of the upper folder", path.display())]
    OtherFileSystem {
        /// The work folder.
        path: PathBuf,
    },
    /// One of the folders is in the other.
    #[error("the work folder {} and the upper folder must not contain each other", path.display())]
    WorkInUpper {
        /// The work folder.
        path: PathBuf,
    },
    /// Another server writes there.
    #[error("the work folder {} is in use by another union", path.display())]
    InUse {
        /// The work folder.
        path: PathBuf,
    },
    /// The file system cannot keep whiteouts.
    #[error(
        "the file system of the upper folder takes neither devices 0:0 nor extended attributes: deletions cannot be kept there"
    )]
    NoWhiteouts,
}

/// One layer.
pub(super) struct Layer {
    pub(super) root: Arc<RealFolder>,
    /// Which of the layers' file systems it is on; numbers of inodes are unique on one.
    file_system: u64,
    /// The attribute in which it keeps owners and modes.
    pub(super) override_stat: Option<OverrideStat>,
    /// The file system's UUID, for origins.
    pub(super) uuid: [u8; 16],
}

/// All layers, the topmost first.
pub(super) struct Layers {
    all: Vec<Layer>,
    /// The first is the upper layer.
    pub(super) has_upper: bool,
    _mounts: OwnMounts,
}

/// The upper folder and the work folder, open.
pub(super) struct Writable {
    pub(super) upper: OwnedFd,
    pub(super) work: OwnedFd,
}

impl Layers {
    /// Opens the layers; the work folder is answered beside.
    pub(super) fn open(options: &Options) -> Result<(Self, Option<OwnedFd>), OpenError> {
        if options.lower.is_empty() && options.upper.is_none() {
            return Err(OpenError::NoLower);
        }
        if options.lower.len() >= usize::from(LayerNumber::MAX) {
            return Err(OpenError::TooMany(options.lower.len()));
        }
        let writable = [&options.upper, &options.work].into_iter().flatten();
        let mut mounts = OwnMounts::new(options.lower.iter().chain(writable).map(PathBuf::as_path));
        let mut opened = Vec::new();
        let mut work = None;
        match (&options.upper, &options.work) {
            (Some(upper), Some(folder)) => {
                let writable = check(mounts.open_writable(upper, folder)?, folder)?;
                opened.push(writable.upper);
                work = Some(writable.work);
            }
            (None, None) => {}
            _ => return Err(OpenError::UpperWithoutWork),
        }
        for path in &options.lower {
            opened.push(mounts.open("lower", path)?);
        }
        let mut devices = Vec::new();
        let mut all = Vec::new();
        for (number, folder) in opened.into_iter().enumerate() {
            // Says that the layer is in use, for as long as this process lives.
            if let Err(error) = rustix::fs::flock(&folder, FlockOperation::NonBlockingLockShared) {
                tracing::debug!(%error, number, "the layer is not locked");
            }
            let upper = (number == 0 && work.is_some()).then_some(options.override_stat).flatten();
            all.push(layer(number, folder, upper, &mut devices)?);
        }
        Ok((Self { all, has_upper: work.is_some(), _mounts: mounts }, work))
    }

    pub(super) fn layer(&self, number: LayerNumber) -> &Layer {
        &self.all[usize::from(number)]
    }

    /// The roots of all layers, topmost first.
    pub(super) fn roots(&self) -> Vec<Arc<RealFolder>> {
        self.all.iter().map(|layer| Arc::clone(&layer.root)).collect()
    }

    /// Whether a layer is the upper one.
    pub(super) fn is_upper(&self, number: LayerNumber) -> bool {
        self.has_upper && number == 0
    }

    /// Whether two layers are on one file system, where no two files have the same number.
    pub(super) fn on_one_file_system(&self, one: LayerNumber, other: LayerNumber) -> bool {
        self.layer(one).file_system == self.layer(other).file_system
    }

    /// The number that programs see for a layer's: that itself where all layers are on one file system, else with the file
    /// system in the bits that real numbers do not use.
    pub(super) fn number(&self, layer: LayerNumber, ino: u64) -> u64 {
        ino ^ (self.layer(layer).file_system << 56)
    }
}

fn layer(
    number: usize,
    folder: OwnedFd,
    written: Option<OverrideStat>,
    devices: &mut Vec<u64>,
) -> Result<Layer, OpenError> {
    let failed = |cause| OpenError::Folder { role: "layer's", path: PathBuf::from("."), cause };
    let device = rustix::fs::fstat(&folder).map_err(failed)?.st_dev;
    let known = devices.iter().position(|known| *known == device);
    let file_system = known.unwrap_or_else(|| {
        devices.push(device);
        devices.len() - 1
    });
    let node = RealNode::itself(folder.as_fd());
    let kept = |form: &OverrideStat| xattr::read(node, form.name()).is_ok_and(|value| value.is_some());
    let override_stat = written.or_else(|| OverrideStat::ALL.into_iter().find(kept));
    let uuid = plywood_sys::file_handle::file_system_uuid(folder.as_fd()).unwrap_or_default();
    let number = LayerNumber::try_from(number).map_err(|_| OpenError::TooMany(number))?;
    Ok(Layer { root: RealFolder::root(number, folder), file_system: file_system as u64, override_stat, uuid })
}

fn check(writable: Writable, work: &Path) -> Result<Writable, OpenError> {
    let device = |folder: &OwnedFd| rustix::fs::fstat(folder).map(|stat| stat.st_dev).ok();
    if device(&writable.upper) != device(&writable.work) {
        return Err(OpenError::OtherFileSystem { path: work.to_owned() });
    }
    Ok(writable)
}
