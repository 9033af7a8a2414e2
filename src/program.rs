//! What a command works with: the open store, the output and the messages.

use plywood::{
    Access, GraphError, LayerId, LayerRecord, MountTarget, OpenOptions, Ownership, Plywood, Skipped,
};

use crate::exit::{AlreadyShown, Exit};
use crate::output::{Messages, Output};

/// An open store and the ways to talk to the caller.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    pub(crate) plywood: Plywood,
    pub(crate) output: &'a mut Output,
    pub(crate) messages: Messages,
    /// What the store was opened with.
    pub(crate) options: OpenOptions,
}

/// Something in the store that a name stands for.
#[derive(Debug)]
pub(crate) enum Named {
    Container,
    Image,
    Layer,
}

impl Named {
    /// As the store takes it.
    pub(crate) fn target<'q>(&self, query: &'q str) -> MountTarget<'q> {
        match self {
            Self::Container => MountTarget::Container(query),
            Self::Image => MountTarget::Image(query),
            Self::Layer => MountTarget::Layer(query),
        }
    }
}

impl Program<'_> {
    /// Finds out what a name stands for: a container, else an image, else a layer.
    pub(crate) fn named(&self, query: &str) -> Result<Named, GraphError> {
        let absent = |error: &GraphError| matches!(error, GraphError::NotFound { .. });
        match self.plywood.container(query) {
            Err(error) if absent(&error) => {}
            found => return found.map(|_| Named::Container),
        }
        match self.plywood.image(query) {
            Err(error) if absent(&error) => {}
            found => return found.map(|_| Named::Image),
        }
        match self.plywood.layer(query) {
            Err(error) if absent(&error) => {
                Err(GraphError::NotFound { what: "container, image or layer", query: query.to_owned() })
            }
            found => found.map(|_| Named::Layer),
        }
    }

    /// The layer that the name of a container, or a layer's id, stands for.
    pub(crate) fn own_layer(&self, query: &str) -> Result<LayerId, GraphError> {
        match self.plywood.container(query) {
            Ok(container) => return Ok(container.layer),
            Err(GraphError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        match self.plywood.layer(query) {
            Ok(layer) => Ok(layer.id),
            Err(GraphError::NotFound { .. }) => {
                Err(GraphError::NotFound { what: "container or layer", query: query.to_owned() })
            }
            Err(error) => Err(error),
        }
    }

    /// The layer with the id, where one is given.
    pub(crate) fn parent(&self, query: Option<&str>) -> Result<Option<LayerRecord>, GraphError> {
        query.map(|query| self.plywood.layer(query)).transpose()
    }

    /// Says, for commands that unpack, that owners are not kept.
    pub(crate) fn warn_of_owners(&self) {
        if self.plywood.ownership() == Ownership::Caller {
            self.messages.warn("without root the files belong to you, whatever owners the layers name");
        }
    }

    /// Says what was left out.
    pub(crate) fn warn_of_skipped(&self, skipped: &Skipped) {
        for (count, what) in [(skipped.devices, "device node"), (skipped.xattrs, "extended attribute")] {
            if count > 0 {
                let plural = if count == 1 { "" } else { "s" };
                self.messages.warn(format_args!("{count} {what}{plural} could not be kept, and left out"));
            }
        }
    }

    /// Does something with each of several names, failures of one not keeping it from the others.
    pub(crate) fn each<T>(
        &mut self,
        names: &[T],
        mut act: impl FnMut(&mut Self, &T) -> anyhow::Result<()>,
    ) -> anyhow::Result<Exit> {
        let mut failed = None;
        for name in names {
            if let Err(error) = act(self, name) {
                if self.output.is_closed() {
                    return Err(error);
                }
                self.messages.failure(&error);
                failed.get_or_insert(Exit::of(&error));
            }
        }
        failed.map_or(Ok(Exit::Done), |exit| Err(AlreadyShown(exit).into()))
    }

    /// The access that a flag stands for.
    pub(crate) fn access(read_only: bool) -> Access {
        if read_only { Access::ReadOnly } else { Access::ReadWrite }
    }
}
