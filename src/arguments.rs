//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use plywood::DriverChoice;
use serde::Deserialize;

use crate::commands::{
    bench, changes, check, commit, completions, copy, create, df, diff, export, gc, history, images, info,
    inspect, layer, load, man, mount, mounts, ps, pull, push, rm, rmi, save, snapshotter, tag, umount,
};

/// A container layer store.
///
/// Exit codes: 0 done, 1 a negative answer (check found damage), 2 not found, 64 usage, 75 in use, 77 no privilege,
/// 125 any other failure.
#[derive(Debug, Parser)]
#[command(name = "plywood", version, max_term_width = 100, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    #[arg(
        help = "The store's folder [default: /var/lib/plywood; without root $XDG_DATA_HOME/plywood or ~/.local/share/plywood]"
    )]
    #[arg(long, global = true, value_name = "DIR", env = "PLYWOOD_ROOT", hide_env_values = true)]
    pub(crate) root: Option<PathBuf>,
    /// The storage driver: auto, overlay2 or vfs [default: auto]
    #[arg(long, global = true, value_name = "NAME", env = "PLYWOOD_DRIVER", hide_env_values = true)]
    pub(crate) driver: Option<DriverChoice>,
    #[arg(
        help = "The configuration file [default: /etc/plywood/plywood.toml, then $XDG_CONFIG_HOME/plywood/plywood.toml]"
    )]
    #[arg(long, global = true, value_name = "FILE", env = "PLYWOOD_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// What a command waits for: full (all is on the disk) or none [default: full]
    #[arg(long, global = true, value_name = "WHAT", env = "PLYWOOD_DURABILITY", hide_env_values = true)]
    pub(crate) durability: Option<DurabilityName>,
    /// Layers of an image that are unpacked at once [default: 2]
    #[arg(long, global = true, value_name = "NUMBER", env = "PLYWOOD_WORKERS", hide_env_values = true)]
    pub(crate) workers: Option<NonZeroUsize>,
    /// What to log to stderr: error, warn, info, debug, trace, off, or TARGET=LEVEL,... [default: warn]
    #[arg(long, global = true, value_name = "LEVEL", env = "PLYWOOD_LOG", hide_env_values = true)]
    pub(crate) log_level: Option<String>,
    /// Show no progress, notes and warnings; lists show ids only
    #[arg(short, long, global = true, env = "PLYWOOD_QUIET", hide_env_values = true, value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) quiet: bool,
}

/// What a commit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DurabilityName {
    /// Everything is on the disk.
    Full,
    /// Nothing.
    None,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bring an image into the store
    Pull(pull::Pull),
    /// Write an image into a layout or an archive
    Push(push::Push),
    /// Bring all images of an archive into the store
    Load(load::Load),
    /// Write images into one archive
    Save(save::Save),
    /// List images
    Images(images::Images),
    /// Show everything about images, containers or layers, as JSON
    Inspect(inspect::Inspect),
    /// Show how an image came about
    History(history::History),
    /// Give an image further names
    Tag(tag::Tag),
    /// Remove names, and images without names
    Rmi(rmi::Rmi),
    /// Make a container: a writable layer on an image or on nothing
    Create(create::Create),
    /// List containers
    Ps(ps::Ps),
    /// Remove containers
    Rm(rm::Rm),
    /// Make an image of a container
    Commit(commit::Commit),
    /// List what a container or layer changed: A added, C changed, D deleted
    Changes(changes::Changes),
    /// Write what a container or layer changed as a layer's tar
    Diff(diff::Diff),
    /// Copy files into or out of a container
    Cp(copy::Copy),
    /// Write the whole tree of a container as a tar
    Export(export::Export),
    /// Mount an image, a container or a layer, and print where
    Mount(mount::Mount),
    /// Unmount
    Umount(umount::Umount),
    /// List mounts
    Mounts(mounts::Mounts),
    /// Work on single layers, for scripts and tests
    #[command(subcommand)]
    Layer(layer::Layer),
    /// Serve containerd, and through it Docker and Kubernetes, with snapshots
    Snapshotter(snapshotter::Snapshotter),
    /// Show the store, its driver and the machine
    Info(info::Info),
    /// Show what the store takes
    Df(df::Df),
    /// Free what nothing needs
    Gc(gc::Gc),
    /// Verify the store; exits with 1 when it found damage
    Check(check::Check),
    /// Compare the storage drivers that this machine has
    Bench(bench::Bench),
    /// Print a completion script
    Completions(completions::Completions),
    /// Print the manual page, or write all pages into a folder
    Man(man::Man),
    /// Show the version
    Version,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
