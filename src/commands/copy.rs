//! `plywood cp`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use plywood::{Access, MountTarget, Skipped, View};

use crate::commands::sink;
use crate::exit::{Exit, UsageError};
use crate::program::Program;
use crate::transfer::spot::Spot;
use crate::transfer::{self, Keeping};

/// Copies files and folders as docker cp does: into a folder that is there, else under the name given; SOURCE/. copies
/// what is in a folder. A path in a container follows its links inside the container only.
#[derive(Debug, Args)]
pub(crate) struct Copy {
    /// CONTAINER:PATH, a local path (begin it with ./ if it has a colon), or - for a tar on standard input
    source: OsString,
    /// CONTAINER:PATH, a local path, or - for a tar on standard output
    destination: OsString,
    /// Keep owners and groups; out of a container also set-user-id bits, devices and all attributes
    #[arg(long, short)]
    archive: bool,
    /// Copy what a link at SOURCE leads to
    #[arg(long, short = 'L')]
    follow_link: bool,
}

/// One end of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Container { name: String, path: Vec<u8> },
    Local(PathBuf),
    Stream,
}

impl End {
    fn parse(text: &OsStr) -> anyhow::Result<Self> {
        let bytes = text.as_bytes();
        if bytes == b"-" {
            return Ok(Self::Stream);
        }
        let colon = bytes.iter().position(|byte| *byte == b':');
        let Some(colon) =
            colon.filter(|colon| *colon > 0 && !bytes.starts_with(b"/") && !bytes.starts_with(b"."))
        else {
            return Ok(Self::Local(OsString::from_vec(bytes.to_vec()).into()));
        };
        let name = String::from_utf8_lossy(&bytes[..colon]).into_owned();
        let path = bytes[colon + 1..].to_vec();
        if path.is_empty() {
            return Err(UsageError(format!(
                "there is no path after '{name}:'; type {name}:/ for the whole tree"
            ))
            .into());
        }
        Ok(Self::Container { name, path })
    }

    /// Opens the container, where it is one.
    fn view(&self, program: &Program<'_>, access: Access) -> anyhow::Result<Option<View>> {
        match self {
            Self::Container { name, .. } => {
                Ok(Some(program.plywood.view(MountTarget::Container(name), access)?))
            }
            Self::Local(_) | Self::Stream => Ok(None),
        }
    }
}

/// The spot of an end that is none of the streams.
fn spot<'a>(end: &End, view: Option<&'a View>) -> anyhow::Result<Option<Spot<'a>>> {
    match (end, view) {
        (End::Container { path, .. }, Some(view)) => Ok(Some(Spot::in_container(view.as_fd(), path))),
        (End::Local(path), _) => Spot::on_host(path).map(Some),
        _ => Ok(None),
    }
}

impl Copy {
    pub(crate) fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        let (from, to) = (End::parse(&self.source)?, End::parse(&self.destination)?);
        let is_container = |end: &End| matches!(end, End::Container { .. });
        if !is_container(&from) && !is_container(&to) {
            let reason = "neither end is in a container: type CONTAINER:PATH for one of them";
            return Err(UsageError(reason.to_owned()).into());
        }
        let same = matches!((&from, &to), (End::Container { name: one, .. }, End::Container { name: other, .. }) if one == other);
        // A second mount of one container would be refused.
        let from_view = from.view(program, if same { Access::ReadWrite } else { Access::ReadOnly })?;
        let to_view = if same { None } else { to.view(program, Access::ReadWrite)? };
        let copied = self.between(
            program,
            (&from, from_view.as_ref()),
            (&to, to_view.as_ref().or(from_view.as_ref())),
        );
        for view in [from_view, to_view].into_iter().flatten() {
            view.close().context("the copy is done, but the mount made for it stays")?;
        }
        program.warn_of_skipped(&copied?);
        Ok(Exit::Done)
    }

    fn between(
        &self,
        program: &mut Program<'_>,
        from: (&End, Option<&View>),
        to: (&End, Option<&View>),
    ) -> anyhow::Result<Skipped> {
        let may_change_owners = program.plywood.privilege().may_change_owners();
        let keeping = Keeping { everything: self.archive, may_change_owners };
        let source = spot(from.0, from.1)?;
        let source = if self.follow_link { source.map(Spot::followed).transpose()? } else { source };
        match (source, spot(to.0, to.1)?) {
            (Some(source), Some(target)) => transfer::copy(&source, &target, keeping),
            (Some(source), None) => {
                sink::refuse_terminal(program)?;
                transfer::pack(&source, program.output)?;
                Ok(Skipped::default())
            }
            // A tar says whose its files are.
            (None, Some(target)) => {
                transfer::unpack(io::stdin().lock(), &target, Keeping { everything: true, ..keeping })
            }
            (None, None) => Ok(Skipped::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ends_are_told_apart() {
        let container = |name: &str, path: &str| End::Container { name: name.to_owned(), path: path.into() };
        let table = [
            ("-", End::Stream),
            ("web:/etc", container("web", "/etc")),
            ("web:a:b", container("web", "a:b")),
            ("./web:/etc", End::Local("./web:/etc".into())),
            ("/a:b", End::Local("/a:b".into())),
            ("plain", End::Local("plain".into())),
            (":x", End::Local(":x".into())),
        ];
        for (text, end) in table {
            assert_eq!(End::parse(OsStr::new(text)).unwrap(), end, "{text}");
        }
        assert!(End::parse(OsStr::new("web:")).is_err());
    }
}
