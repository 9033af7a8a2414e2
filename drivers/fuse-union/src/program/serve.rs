//! Mounting, and serving in the background.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use clap::CommandFactory;
use plywood_fuse_union::Union;
use plywood_fuse_union::transport::{Mounter, Session, mount, unmount};
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Arguments;
use super::mount_options::{self, Asked};

type Failure = Box<dyn Error>;

/// Does what the command line asks; returns when the mount is gone, in the foreground or in the background.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.manual {
        return print_manual();
    }
    let asked = mount_options::read(&arguments.options)?;
    start_log(arguments.debug);
    for option in &asked.idle {
        tracing::debug!(option, "has nothing to do here");
    }
    plywood_sys::allocator::share_one_heap();
    raise_open_files();
    // The caller's umask comes with every request.
    rustix::process::umask(Mode::empty());
    // The last path is the mount point.
    let Some(target) = arguments.paths.last() else { return Err("a mount point is missing".into()) };
    let foreground = arguments.foreground || arguments.debug;
    serve(asked, target, foreground)
}

fn serve(asked: Asked, target: &Path, foreground: bool) -> Result<(), Failure> {
    // The working folder is another one in the background.
    let target = &std::path::absolute(target)?;
    let union = Arc::new(Union::open(asked.union)?);
    let (device, mounter) = mount(target, &asked.mount)?;
    tracing::debug!(?mounter, target = %target.display(), "mounted");
    let session = Session::new(device, Arc::clone(&union)).inspect_err(|_| undo(target, mounter))?;
    // Before the caller goes on: who mounted it may end it at once, and the mount must go with it.
    let terminations =
        plywood_sys::daemon::Terminations::hold_back().inspect_err(|_| undo(target, mounter))?;
    if !foreground {
        // What happens from here on nobody sees: all that can go wrong with options and folders has been told.
        plywood_sys::daemon::detach().inspect_err(|_| undo(target, mounter))?;
    }
    let to_unmount = target.clone();
    terminations.run(move || undo(&to_unmount, mounter)).inspect_err(|_| undo(target, mounter))?;
    union.start_trimming();
    session.start()?.wait();
    Ok(())
}

/// A mount that nobody will serve must not stay; it goes with its last user.
fn undo(target: &Path, mounter: Mounter) {
    if let Err(error) = unmount(target, true) {
        tracing::error!(%error, ?mounter, target = %target.display(), "the mount stays, and nobody serves it");
    }
}

fn start_log(debug: bool) {
    let level = if debug { tracing::Level::DEBUG } else { tracing::Level::WARN };
    tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_target(false).init();
}

/// A folder of every layer in use takes a descriptor.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays");
    }
}

fn print_manual() -> Result<(), Failure> {
    let page = clap_mangen::Man::new(Arguments::command()).section("1");
    let mut text = Vec::new();
    page.render(&mut text)?;
    Ok(std::io::stdout().write_all(&text)?)
}
