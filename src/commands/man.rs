//! `plywood man`.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Command, CommandFactory};
use clap_mangen::Man as Page;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::arguments::Arguments;
use crate::exit::Exit;
use crate::output::{Messages, Output};

/// Prints the manual page, or writes the pages of all commands into a folder. Read it with `plywood man | man -l -`.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The folder, which is made where it is missing
    folder: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(&self, output: &mut Output, messages: Messages) -> anyhow::Result<Exit> {
        // Builds the usage lines and the global options of every command.
        let mut command = Arguments::command();
        command.build();
        match &self.folder {
            Some(folder) => {
                let count = write_all(folder, &command)?;
                messages.note(format_args!("wrote {count} pages into {}", folder.display()));
            }
            None => Page::new(command).render(output)?,
        }
        Ok(Exit::Done)
    }
}

fn write_all(folder: &Path, command: &Command) -> anyhow::Result<usize> {
    match rustix::fs::mkdirat(CWD, folder, Mode::from_raw_mode(0o777)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => {
            return Err(std::io::Error::from(error)).with_context(|| format!("make {}", folder.display()));
        }
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(folder, flags, Mode::empty())
        .map_err(std::io::Error::from)
        .with_context(|| format!("open {}", folder.display()))?;
    let mut count = 0;
    write_page(&opened, command, &mut count)?;
    Ok(count)
}

/// Writes the page of a command and those of its own commands.
fn write_page(folder: &OwnedFd, command: &Command, count: &mut usize) -> anyhow::Result<()> {
    // `plywood-layer-list`, once it is built.
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let file_name = format!("{name}.1");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, file_name.as_str(), flags, Mode::from_raw_mode(0o666))
        .map_err(std::io::Error::from)
        .with_context(|| format!("make {file_name}"))?;
    let mut page = Vec::new();
    Page::new(command.clone()).render(&mut page)?;
    std::fs::File::from(file).write_all(&page).with_context(|| format!("write {file_name}"))?;
    *count += 1;
    command.get_subcommands().try_for_each(|inner| write_page(folder, inner, count))
}
