//! What this machine can do, found out by doing it, and without asking any driver.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use plywood_sys::identity::Privilege;
use plywood_sys::mount::{self, Overlay};
use rustix::fs::{CWD, FileType, Mode, OFlags, SeekFrom, XattrFlags};

use crate::need::Need;

/// The machine's facts, each a need that is met or the reason why not.
#[derive(Debug)]
pub struct Machine {
    /// How much of it the caller may act on.
    pub privilege: Privilege,
    facts: Vec<(Need, Result<(), String>)>,
}

type Probe = fn(&Path) -> Result<(), String>;

const PROBES: [(Need, Probe); 9] = [
    (Need::Root, root),
    (Need::Overlay, overlay),
    (Need::EscapedXattrs, escaped_xattrs),
    (Need::UserXattrs, user_xattrs),
    (Need::Acls, acls),
    (Need::Holes, holes),
    (Need::Xfs, xfs),
    (Need::Fuse, |_| opens("/dev/fuse")),
    (Need::DeviceMapper, |_| opens("/dev/mapper/control")),
];

impl Machine {
    /// Tries all there is to know, in a temporary folder.
    #[must_use]
    pub fn probe() -> Self {
        let privilege = Privilege::probe().expect("the caller's privilege can be read");
        let folder = tempfile::tempdir().expect("there are temporary folders");
        let facts = PROBES.map(|(need, probe)| {
            let place = folder.path().join(format!("{need:?}"));
            std::fs::create_dir(&place).expect("folders can be made");
            (need, probe(&place))
        });
        Self { privilege, facts: facts.into() }
    }

    /// Whether a need can be met here. Of a need that is the driver's: whether a driver that has it in it could show it here.
    ///
    /// # Errors
    /// The reason why not.
    pub fn meets(&self, need: Need) -> Result<(), String> {
        match need {
            Need::Mounts => self.fact(Need::Root),
            Need::NativeDiff | Need::SharesPageCache => self.fact(Need::Overlay),
            Need::IndependentApply | Need::Depth(_) | Need::Rootless | Need::Quota | Need::DeviceBacked => {
                Ok(())
            }
            _ => self.fact(need),
        }
    }

    fn fact(&self, need: Need) -> Result<(), String> {
        let found = self.facts.iter().find(|(fact, _)| *fact == need);
        found.map_or_else(|| Err(format!("nobody probes for {need}")), |(_, met)| met.clone())
    }
}

fn text(operation: &str) -> impl Fn(std::io::Error) -> String {
    move |error| format!("{operation}: {error}")
}

fn root(place: &Path) -> Result<(), String> {
    let device = rustix::fs::makedev(1, 3);
    rustix::fs::mknodat(CWD, place.join("null"), FileType::CharacterDevice, Mode::RUSR, device)
        .map_err(|error| format!("make device node: {error}"))?;
    std::os::unix::fs::chown(place.join("null"), Some(12345), Some(70_000)).map_err(text("change owner"))?;
    mount::bind(place, mount::Restrictions::default()).map(drop).map_err(text("bind mount"))
}

fn overlay(place: &Path) -> Result<(), String> {
    let [lower, upper, work] = ["lower", "upper", "work"].map(|name| {
        let path = place.join(name);
        std::fs::create_dir(&path).expect("folders can be made");
        path
    });
    let overlay = Overlay { lower: vec![lower], upper: Some((upper, work)), ..Overlay::default() };
    let mounted = mount::overlay(&overlay).map_err(text("mount overlay"))?;
    rustix::fs::mkdirat(&mounted, "made", Mode::RWXU).map_err(|error| format!("write to overlay: {error}"))
}

fn escaped_xattrs(place: &Path) -> Result<(), String> {
    let lower = [place.join("one"), place.join("two")];
    for folder in &lower {
        std::fs::create_dir(folder).map_err(text("make folder"))?;
    }
    File::create(lower[0].join("file")).map_err(text("make file"))?;
    rustix::fs::lsetxattr(lower[0].join("file"), "trusted.overlay.overlay.probe", b"1", XattrFlags::empty())
        .map_err(|error| format!("set attribute: {error}"))?;
    let overlay = Overlay { lower: lower.into(), ..Overlay::default() };
    let mounted = mount::overlay(&overlay).map_err(text("mount overlay"))?;
    let file = rustix::fs::openat(&mounted, "file", OFlags::RDONLY, Mode::empty())
        .map_err(|error| format!("open a file in an overlay: {error}"))?;
    let mut value = [0_u8; 1];
    rustix::fs::fgetxattr(file, "trusted.overlay.probe", &mut value)
        .map(drop)
        .map_err(|error| format!("an overlay does not show an escaped attribute: {error}"))
}

fn user_xattrs(place: &Path) -> Result<(), String> {
    rustix::fs::lsetxattr(place, "user.probe", b"1", XattrFlags::empty())
        .map_err(|error| format!("set attribute: {error}"))
}

fn acls(place: &Path) -> Result<(), String> {
    rustix::fs::lsetxattr(place, "system.posix_acl_default", crate::tarball::ACL, XattrFlags::empty())
        .map_err(|error| format!("set access control list: {error}"))
}

fn holes(place: &Path) -> Result<(), String> {
    let file = File::create(place.join("file")).map_err(text("make file"))?;
    file.set_len(1 << 24).map_err(text("make file longer"))?;
    let data = rustix::fs::seek(file.as_fd(), SeekFrom::Data(0));
    let blocks = file.metadata().map_err(text("look up"))?.blocks();
    if data == Err(rustix::io::Errno::NXIO) && blocks < 1 << 10 {
        Ok(())
    } else {
        Err("an empty file of 16 MiB has no hole".to_owned())
    }
}

fn xfs(place: &Path) -> Result<(), String> {
    root(place)?;
    opens("/dev/loop-control")?;
    let version = Command::new("mkfs.xfs").arg("-V").output().map_err(text("run mkfs.xfs"))?;
    if version.status.success() { Ok(()) } else { Err("mkfs.xfs -V fails".to_owned()) }
}

fn opens(path: &str) -> Result<(), String> {
    File::options().read(true).write(true).open(path).map(drop).map_err(text(path))
}
