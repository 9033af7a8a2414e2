//! Embeds a store: pulls an image, changes a file in a container of it, and commits the change.
//!
//! ```text
//! cargo run --example embed -- STORE_FOLDER oci:LAYOUT:REF
//! ```

use std::error::Error;
use std::io::{Write, stdout};

use plywood::{CommitOptions, MountRequest, MountTarget, OpenOptions, Platform, Plywood, PullOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(source)) = (arguments.next(), arguments.next()) else {
        return Err("usage: embed STORE_FOLDER oci:LAYOUT:REF".into());
    };
    Ok(writeln!(stdout(), "{}", change_an_image(&folder, &source)?)?)
}

/// Answers what changed and the id of the new image.
///
/// # Errors
/// The first failure; what was made by then stays in the store.
pub fn change_an_image(folder: &str, source: &str) -> Result<String, Box<dyn Error>> {
    let plywood = Plywood::open(OpenOptions { root: Some(folder.into()), ..OpenOptions::default() })?;
    let options = PullOptions { name: Some("embedded:1".parse()?), platform: Platform::host() };
    let pulled = plywood::pull(&plywood, &source.parse()?, &options, &())?;
    let container = plywood.create_container(Some(&pulled.image.to_string()), Some("example"))?;

    let target = MountTarget::Container("example");
    let mount = plywood.mount(target, &MountRequest::read_write(), None)?;
    // A name in a tree that nobody trusts is opened below its root, wherever links in it point to.
    let root = plywood_tree::resolve::open_root(&mount.target)?;
    let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CREATE | rustix::fs::OFlags::NOFOLLOW;
    let note = rustix::fs::openat(&root, "embedded", flags, rustix::fs::Mode::from_raw_mode(0o644))?;
    std::fs::File::from(note).write_all(b"written by an engine\n")?;
    drop(root);
    plywood.unmount("example")?;

    let mut changes = Vec::new();
    plywood.changes(&container.layer, &mut |change| {
        changes.push(format!("{} /{}", change.kind.letter(), String::from_utf8_lossy(&change.path)));
        Ok(())
    })?;
    let image =
        plywood::commit(&plywood, "example", Some("embedded:2".parse()?), &CommitOptions::default(), &())?;
    Ok(format!("{}\ncommitted {image}", changes.join("\n")))
}
