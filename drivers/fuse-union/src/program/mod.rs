//! The program `fuse-union`: fuse-overlayfs' command line over the library.

mod arguments;
mod mount_options;
mod serve;

pub(crate) use arguments::Arguments;
pub(crate) use serve::run;
