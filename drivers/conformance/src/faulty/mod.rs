//! A driver with one thing wrong: what a suite is worth is how many of these it finds.

mod fault;
mod leaks;
mod tars;

use std::io::{Read, Write};
use std::path::Path;
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
}

impl FaultyDriver {
    /// Puts a fault into a driver.
    #[must_use]
    pub fn new(inner: Box<dyn GraphDriver>, fault: Fault) -> Self {
        Self { inner, fault, diffs: AtomicU64::new(0) }
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
        self.inner.snapshot(new, access)
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
        let usage = self.inner.diff(layer, &mut whole)?;
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
        changes.into_iter().try_for_each(visit)
    }

    fn mount_specs(&self, layer: LayerRef<'_>, request: &MountRequest<'_>) -> DriverResult<Vec<MountSpec>> {
        self.inner.mount_specs(layer, request)
    }

    fn mount(&self, layer: LayerRef<'_>, request: &MountRequest<'_>, target: &Path) -> DriverResult<Mounted> {
        let mounted = self.inner.mount(layer, &self.request(request), target)?;
        leaks::leak(self.fault, target);
        if self.fault == Fault::KeptMount {
            mounted.keep();
            return Ok(Mounted::new(target.to_owned(), Box::new(Nothing)));
        }
        Ok(mounted)
    }

    fn contents(&self, layer: LayerRef<'_>) -> DriverResult<Contents> {
        self.inner.contents(layer)
    }

    fn seal(&self, layer: LayerRef<'_>, resettle: Option<&mut dyn Resettle>) -> DriverResult<()> {
        match self.fault {
            Fault::SealIgnored => Ok(()),
            _ => self.inner.seal(layer, resettle),
        }
    }

    fn remove(&self, id: &LayerId) -> DriverResult<()> {
        let there = || self.inner.layers().is_ok_and(|layers| layers.contains(id));
        match self.fault {
            Fault::RemoveLeaves => Ok(()),
            Fault::RemoveOfAbsentFails if !there() => {
                Err(DriverError::new(ErrorKind::NotFound, "remove layer", "it is not there").on(id))
            }
            _ => self.inner.remove(id),
        }
    }

    fn usage(&self, layer: LayerRef<'_>) -> DriverResult<Usage> {
        self.inner.usage(layer)
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

/// Takes nothing down.
struct Nothing;

impl plywood_graphdriver::Teardown for Nothing {
    fn unmount(&mut self, _target: &Path) -> DriverResult<()> {
        Ok(())
    }
}
