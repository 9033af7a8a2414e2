//! What to do next after a failure, where that is known.

use plywood::{DriverError, ErrorKind, GraphError, ImageError, OpenError};

/// The advice for an error, without a full stop.
pub(crate) fn of(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(|cause| {
        let graph = cause.downcast_ref().and_then(of_graph);
        let image = cause.downcast_ref().and_then(of_image);
        let driver = cause.downcast_ref().and_then(of_driver);
        let open = cause.downcast_ref().and_then(of_open);
        graph.or(image).or(driver).or(open)
    })
}

/// An error that only passes another on hides it from the chain.
fn of_image(error: &ImageError) -> Option<&'static str> {
    match error {
        ImageError::Graph(error) => of_graph(error),
        _ => None,
    }
}

fn of_graph(error: &GraphError) -> Option<&'static str> {
    match error {
        GraphError::NotFound { what, .. } => Some(match *what {
            "image" | "name" => "see what there is with 'plywood images'",
            "container" => "see what there is with 'plywood ps'",
            "layer" => "see what there is with 'plywood layer list'",
            "mount" => "see what there is with 'plywood mounts'",
            _ => "see what there is with 'plywood images', 'plywood ps' and 'plywood layer list'",
        }),
        GraphError::InUse { what: "image", .. } => Some(
            "remove its containers with 'plywood rm' and its mounts with 'plywood umount', or use --force",
        ),
        GraphError::InUse { what: "container", .. } => {
            Some("unmount it with 'plywood umount', or use --force")
        }
        GraphError::InUse { what: "layer", .. } => {
            Some("see 'plywood mounts', 'plywood ps' and 'plywood images'")
        }
        GraphError::InUse { what: "mount", .. } => {
            Some("end the processes that use it (fuser -vm DIR), then try again")
        }
        GraphError::AlreadyExists { what: "container", .. } => {
            Some("take another --name, or remove that one with 'plywood rm'")
        }
        GraphError::AlreadyExists { what: "mount", .. } => Some("unmount it first with 'plywood umount'"),
        GraphError::Ambiguous { .. } => Some("type more of it"),
        GraphError::DigestMismatch { .. } | GraphError::SizeMismatch { .. } => {
            Some("the source is damaged or was changed: fetch it again")
        }
        GraphError::Corrupt { .. } => Some("run 'plywood check --mark', then pull the image again"),
        GraphError::Busy { .. } => Some("try again"),
        GraphError::Driver(error) => of_driver(error),
        _ => None,
    }
}

fn of_driver(error: &DriverError) -> Option<&'static str> {
    match error.kind {
        ErrorKind::NoSpace => Some("see 'plywood df', and free space with 'plywood rmi' and 'plywood gc'"),
        ErrorKind::Corrupt => Some("run 'plywood check'"),
        ErrorKind::LimitExceeded => Some("limits can be raised in the configuration file, under [limits]"),
        _ => None,
    }
}

fn of_open(error: &OpenError) -> Option<&'static str> {
    match error {
        OpenError::NoHome => Some("name the store's folder with --root or PLYWOOD_ROOT"),
        OpenError::NoStore { .. } => {
            Some("see --root and PLYWOOD_ROOT; 'plywood pull' and 'plywood create' make a store")
        }
        OpenError::OtherDriver { .. } => Some("leave --driver away, or name another folder with --root"),
        OpenError::Driver { source, .. } if source.kind == ErrorKind::PermissionDenied => {
            Some("without root use --driver vfs, or 'unshare --user --map-auto --map-root-user --mount'")
        }
        OpenError::Driver { .. } => Some("--driver vfs works on every file system"),
        OpenError::Io { .. } => Some("name a folder that you can write to with --root"),
        _ => None,
    }
}
