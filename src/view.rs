//! A container's, an image's or a layer's tree, held open for a moment.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use plywood_graph::{GraphError, MountTarget};
use plywood_graphdriver::{Access, Contents, ErrorKind, LayerId, LayerRef, MountRequest};
use plywood_tree::resolve::open_root;

use crate::Plywood;

/// How often an unmount is tried that somebody's open file stands in the way of, and how long it waits in between.
const UNMOUNT_TRIES: u32 = 10;
const UNMOUNT_WAIT: Duration = Duration::from_millis(50);

/// What to look at.
pub type ViewTarget<'a> = MountTarget<'a>;

/// A tree, held open. [`close`](Self::close) it; dropping it does its best.
#[derive(Debug)]
pub struct View {
    // Goes before the mount, which its descriptor would keep busy.
    held: Held,
    mount: Option<TemporaryMount>,
}

#[derive(Debug)]
enum Held {
    Mount(OwnedFd),
    Contents(Contents),
}

/// A mount to take down again.
#[derive(Debug)]
struct TemporaryMount {
    plywood: Plywood,
    target: PathBuf,
    ended: bool,
}

impl Plywood {
    /// Holds open the tree of a container, an image or a layer. Only a container's can be had to be written to.
    ///
    /// A mount that is there already is used. Otherwise one is made for the time that the view lives; without the
    /// privilege for that, the driver's own folder is used where it holds the whole tree.
    ///
    /// # Errors
    /// Those of the lookup and of the mount.
    pub fn view(&self, target: ViewTarget<'_>, access: Access) -> Result<View, GraphError> {
        let writable = access == Access::ReadWrite;
        let layer = self.viewed_layer(target)?;
        if !self.driver().capabilities().mounts {
            let parents = self.chain(&layer)?;
            let contents = self.driver().contents(LayerRef::new(&layer, &parents))?;
            return Ok(View { held: Held::Contents(contents), mount: None });
        }
        let usable =
            |record: &plywood_graph::MountRecord| record.layer == layer && !(writable && record.read_only);
        if let Some(record) = self.mounts()?.into_iter().find(usable) {
            return Ok(View { held: Held::Mount(open_root(&record.target)?), mount: None });
        }
        let request = if writable { MountRequest::read_write() } else { MountRequest::inspection() };
        let record = self.mount(target, &request, None)?;
        let mount = TemporaryMount { plywood: self.clone(), target: record.target, ended: false };
        Ok(View { held: Held::Mount(open_root(&mount.target)?), mount: Some(mount) })
    }

    fn viewed_layer(&self, target: ViewTarget<'_>) -> Result<LayerId, GraphError> {
        match target {
            MountTarget::Container(query) => Ok(self.container(query)?.layer),
            MountTarget::Layer(query) => Ok(self.layer(query)?.id),
            MountTarget::Image(query) => {
                let top = self.image(query)?.layers.pop();
                let reason = format!("image '{query}' has no layers");
                top.map(|layer| layer.id).ok_or(GraphError::Invalid { operation: "open image", reason })
            }
        }
    }
}

impl View {
    /// Ends the view.
    ///
    /// # Errors
    /// `InUse` where somebody else has files open in it; the mount then stays, and `plywood mounts` shows it.
    pub fn close(self) -> Result<(), GraphError> {
        let Self { held, mount } = self;
        drop(held);
        mount.map_or(Ok(()), |mut mount| mount.end())
    }
}

impl TemporaryMount {
    fn end(&mut self) -> Result<(), GraphError> {
        self.ended = true;
        let query = self.target.to_string_lossy();
        let mut tries = 1;
        loop {
            match self.plywood.unmount(&query) {
                Err(error) if error.kind() == ErrorKind::InUse && tries < UNMOUNT_TRIES => tries += 1,
                // Another view of the same tree may have taken it down.
                Err(GraphError::NotFound { .. }) => return Ok(()),
                other => return other,
            }
            std::thread::sleep(UNMOUNT_WAIT);
        }
    }
}

impl Drop for TemporaryMount {
    fn drop(&mut self) {
        if !self.ended
            && let Err(error) = self.end()
        {
            tracing::warn!(%error, "a mount was left behind: see 'plywood mounts'");
        }
    }
}

impl AsFd for View {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.held {
            Held::Mount(root) => root.as_fd(),
            Held::Contents(contents) => contents.as_fd(),
        }
    }
}
