//! A driver with one thing wrong: what a suite is worth is how many of these it finds.

mod fault;
mod mounts;
mod tars;

use std::collections::HashSet;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use plywood_graphdriver::{
    Access, Applied, ApplyOptions, Capabilities, Change, ChangeKind, Contents, DriverError, DriverResult,
    DriverStatus, ErrorKind, GraphDriver, LayerId, LayerRef, MountRequest, MountSpec, Mounted, Ownership,
    Resettle, Usage,
};

pub use fault::Fault;

/// Wraps a driver and gets one thing wrong that the driver gets right.
#[derive(Debug)]
pub struct FaultyDriver {
    inner: Box<dyn GraphDriver>,
    fault: Fault,
    diffs: AtomicU64,
    sealed: Mutex<HashSet<LayerId>>,
}

impl FaultyDriver {
    /// Puts a fault into a driver.
    #[must_use]
    pub fn new(inner: Box<dyn GraphDriver>, fault: Fault) -> Self {
        Self { inner, fault, diffs: AtomicU64::new(0), sealed: Mutex::default() }
    }

    /// Applies the tar as it is for its recipe, then again as the fault has it: what is wrong is the tree, not the recipe.
    fn apply_rewritten(
        &self,
        layer: LayerRef<'_>,
        tar: &[u8],
        options: ApplyOptions<'_>,
    ) -> DriverResult<Applied> {
        let Some(rewritten) = tars::applied(self.fault, tar) else {
            return self.inner.apply(layer, &mut &tar[..], options);
        };
        let mut again = ApplyOptions::new(Ownership::FromLayer);
        (again.limits, again.ownership) = (options.limits, options.ownership);
        self.inner.apply(layer, &mut &tar[..], options)?;
        self.inner.remove(layer.id)?;
        self.inner.apply(layer, &mut &rewritten[..], again)
    }

    fn accepts_twice(&self) -> bool {
        matches!(self.fault, Fault::TakenIdAccepted | Fault::MadeTwice)
    }

    /// Leaves a file in a new layer, by way of a mount.
    fn litter(&self, new: LayerRef<'_>) -> DriverResult<()> {
        let target = tempfile::tempdir().unwrap();
        let mounted = self.inner.mount(new, &MountRequest::read_write(), target.path())?;
        std::fs::create_dir(target.path().join("lost+found")).unwrap();
        mounted.unmount()
    }

    /// The error without the layer's name, where that is the fault.
    fn named<T>(&self, answer: DriverResult<T>) -> DriverResult<T> {
        answer.map_err(|mut error| {
            if self.fault == Fault::NamelessErrors {
                error.layer = None;
            }
            error
        })
    }

    fn request<'a>(&self, request: &MountRequest<'a>) -> MountRequest<'a> {
        match self.fault {
            Fault::ReadOnlyIgnored => MountRequest { read_only: request.inspection, ..*request },
            Fault::InspectionIgnored => MountRequest { inspection: false, ..*request },
            _ => *request,
        }
    }

    fn changed(&self, changes: &mut Vec<Change>) {
        match self.fault {
            Fault::ChangesWithoutParents => {
                let all = changes.clone();
                let inside = |outer: &Change, inner: &Change| {
                    inner.path.strip_prefix(&outer.path[..]).is_some_and(|rest| rest.starts_with(b"/"))
                };
                changes.retain(|change| {
                    change.kind != ChangeKind::Modified || !all.iter().any(|other| inside(change, other))
                });
            }
            Fault::ChangesListRoot => {
                changes.insert(0, Change { path: Vec::new(), kind: ChangeKind::Modified });
            }
            Fault::ChangesUnsorted => changes.reverse(),
            Fault::ChangesForgetDeletions => changes.retain(|change| change.kind != ChangeKind::Deleted),
            Fault::ChangesSayAdded => changes
                .iter_mut()
                .filter(|change| change.kind == ChangeKind::Modified)
                .for_each(|change| change.kind = ChangeKind::Added),
            _ => {}
        }
    }
}

impl GraphDriver for FaultyDriver {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn snapshot(&self, new: LayerRef<'_>, access: Access) -> DriverResult<()> {
        let access = if self.fault == Fault::ViewWritable { Access::ReadWrite } else { access };
        match self.inner.snapshot(new, access) {
            Ok(()) if self.fault == Fault::BaseNotEmpty && new.parents.is_empty() => self.litter(new),
            Err(error) if error.kind == ErrorKind::AlreadyExists && self.accepts_twice() => Ok(()),
            answer => answer,
        }
    }

    fn apply(
        &self,
        layer: LayerRef<'_>,
        tar: &mut dyn Read,
        options: ApplyOptions<'_>,
    ) -> DriverResult<Applied> {
        let mut whole = Vec::new();
        tar.read_to_end(&mut whole).map_err(|error| DriverError::system("read tar", error))?;
        match self.apply_rewritten(layer, &whole, options) {
            Err(error) if self.fault == Fault::AppliedTwice && error.kind == ErrorKind::AlreadyExists => {
                Ok(Applied::default())
            }
            answer => answer,
        }
    }

    fn diff(&self, layer: LayerRef<'_>, tar: &mut dyn Write) -> DriverResult<Usage> {
        let mut whole = Vec::new();
        let mut usage = match self.inner.diff(layer, &mut whole) {
            Err(error) if error.kind == ErrorKind::NotFound && self.fault == Fault::AbsentIsEmpty => {
                Usage::default()
            }
            answer => self.named(answer)?,
        };
        if self.fault == Fault::DiffOfNoSize {
            usage = Usage::default();
        }
        let times_before = self.diffs.fetch_add(1, Ordering::Relaxed);
        let shown = tars::written(self.fault, &whole, times_before).unwrap_or(whole);
        tar.write_all(&shown).map_err(|error| DriverError::system("write tar", error))?;
        Ok(usage)
    }

    fn changes(
        &self,
        layer: LayerRef<'_>,
        visit: &mut dyn FnMut(Change) -> DriverResult<()>,
    ) -> DriverResult<()> {
        if self.fault == Fault::None {
            return self.inner.changes(layer, visit);
        }
        let mut changes = Vec::new();
        self.inner.changes(layer, &mut |change| {
            changes.push(change);
            Ok(())
        })?;
        self.changed(&mut changes);
        match changes.into_iter().try_for_each(visit) {
            Err(_) if self.fault == Fault::VisitorIgnored => Ok(()),
            answer => answer,
        }
    }

    fn mount_specs(&self, layer: LayerRef<'_>, request: &MountRequest<'_>) -> DriverResult<Vec<MountSpec>> {
        let read_only = request.read_only || self.fault == Fault::SpecsReadOnly;
        self.inner.mount_specs(layer, &MountRequest { read_only, ..*request })
    }

    fn mount(&self, layer: LayerRef<'_>, request: &MountRequest<'_>, target: &Path) -> DriverResult<Mounted> {
        let mounted = self.inner.mount(layer, &self.request(request), target)?;
        mounts::leak(self.fault, target);
        if self.fault == Fault::KeptMount {
            mounted.keep();
            return Ok(Mounted::new(target.to_owned(), Box::new(mounts::Nothing)));
        }
        if self.fault == Fault::LazyUnmount {
            mounted.keep();
            return Ok(Mounted::new(target.to_owned(), Box::new(mounts::Lazily)));
        }
        Ok(mounted)
    }

    fn contents(&self, layer: LayerRef<'_>) -> DriverResult<Contents> {
        if self.fault == Fault::ContentsEmpty {
            return Ok(Contents::new(plywood_tree::resolve::open_root(Path::new("/proc/self/ns"))?, None));
        }
        self.inner.contents(layer)
    }

    fn seal(&self, layer: LayerRef<'_>, resettle: Option<&mut dyn Resettle>) -> DriverResult<()> {
        match self.fault {
            Fault::SealIgnored => Ok(()),
            Fault::SecondSealFails if !self.sealed.lock().unwrap().insert(layer.id.clone()) => {
                Err(DriverError::new(ErrorKind::AlreadyExists, "seal", "it is sealed").on(layer.id))
            }
            _ => self.inner.seal(layer, resettle),
        }
    }

    fn remove(&self, id: &LayerId) -> DriverResult<()> {
        let there = || self.inner.layers().is_ok_and(|layers| layers.contains(id));
        match self.fault {
            Fault::RemoveLeaves => Ok(()),
            Fault::InUseIgnored => match self.inner.remove(id) {
                Err(error) if error.kind == ErrorKind::InUse => Ok(()),
                answer => answer,
            },
            Fault::RemoveOfAbsentFails if !there() => {
                Err(DriverError::new(ErrorKind::NotFound, "remove layer", "it is not there").on(id))
            }
            _ => self.inner.remove(id),
        }
    }

    fn usage(&self, layer: LayerRef<'_>) -> DriverResult<Usage> {
        let mut usage = self.inner.usage(layer)?;
        let parents = std::iter::successors(layer.parent(), plywood_graphdriver::LayerRef::parent);
        match self.fault {
            Fault::UsageOfParents => {
                for parent in parents {
                    usage += self.inner.usage(parent)?;
                }
            }
            Fault::UsageOfGrowth => {
                for parent in parents {
                    let below = self.inner.usage(parent)?;
                    usage.size_bytes = usage.size_bytes.saturating_sub(below.size_bytes);
                }
            }
            _ => {}
        }
        Ok(usage)
    }

    fn layers(&self) -> DriverResult<Vec<LayerId>> {
        let mut layers = self.inner.layers()?;
        if self.fault == Fault::LayersForget {
            layers.pop();
        }
        Ok(layers)
    }

    fn status(&self) -> DriverResult<DriverStatus> {
        self.inner.status()
    }
}
