//! A container's, an image's or a layer's tree, held open for a moment.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use plywood_graph::{GraphError, HeldMount, MountTarget};
use plywood_graphdriver::{Access, Contents, LayerId, LayerRef, MountRequest};
use plywood_tree::resolve::open_root;

use crate::Plywood;

/// What to look at.
pub type ViewTarget<'a> = MountTarget<'a>;

/// A tree, held open. [`close`](Self::close) it; dropping it does its best.
#[derive(Debug)]
pub struct View {
    // Goes before the mount, which its descriptor would keep busy.
    held: Held,
    mount: Option<HeldMount>,
}

#[derive(Debug)]
enum Held {
    Mount(OwnedFd),
    Contents(Contents),
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
        let mount = self.mount_held(target, &request)?;
        Ok(View { held: Held::Mount(open_root(mount.target())?), mount: Some(mount) })
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
    /// `InUse` where somebody else has files open in it; the mount then ends with them.
    pub fn close(self) -> Result<(), GraphError> {
        let Self { held, mount } = self;
        drop(held);
        mount.map_or(Ok(()), HeldMount::end)
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
