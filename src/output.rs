//! What the program says: data on stdout, messages on stderr.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use serde_json::Value;

use crate::exit::AlreadyShown;
use crate::hint;

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 128 << 10;

/// The standard output. Every failure to write is answered; that of a reader who went away is remembered.
#[derive(Debug)]
pub(crate) struct Output {
    writer: BufWriter<Watched>,
}

/// Remembers that the reader went away.
#[derive(Debug)]
struct Watched {
    stdout: Stdout,
    closed: Cell<bool>,
}

impl Write for Watched {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.watch(self.stdout.lock().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.watch(self.stdout.lock().flush())
    }
}

impl Watched {
    fn watch<T>(&self, answer: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &answer
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            self.closed.set(true);
        }
        answer
    }
}

impl Output {
    pub(crate) fn stdout() -> Self {
        let watched = Watched { stdout: io::stdout(), closed: Cell::new(false) };
        Self { writer: BufWriter::with_capacity(BUFFER_BYTES, watched) }
    }

    /// Whether the reader went away.
    pub(crate) fn is_closed(&self) -> bool {
        self.writer.get_ref().closed.get()
    }

    /// Whether a person would get to see the bytes.
    pub(crate) fn is_terminal(&self) -> bool {
        self.writer.get_ref().stdout.is_terminal()
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, text: impl fmt::Display) -> io::Result<()> {
        writeln!(self.writer, "{text}")
    }

    /// Writes JSON, indented, and a line's end.
    pub(crate) fn json(&mut self, value: &Value) -> anyhow::Result<()> {
        serde_json::to_writer_pretty(&mut self.writer, value)?;
        Ok(writeln!(self.writer)?)
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// What is said on stderr. Nobody is left to be told that it cannot be written to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Messages {
    quiet: bool,
}

impl Messages {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { quiet }
    }

    /// Whether only what was asked for and failures are to be said.
    pub(crate) fn is_quiet(self) -> bool {
        self.quiet
    }

    /// Tells how it went.
    pub(crate) fn note(self, text: impl fmt::Display) {
        if !self.quiet {
            self.say(format_args!("{text}"));
        }
    }

    /// Tells of something that is not as one would think.
    pub(crate) fn warn(self, text: impl fmt::Display) {
        if !self.quiet {
            self.say(format_args!("plywood: warning: {text}"));
        }
    }

    /// Tells why something failed, all the way down, and what to do next.
    pub(crate) fn failure(self, error: &anyhow::Error) {
        if error.is::<AlreadyShown>() {
            return;
        }
        self.say(format_args!("plywood: {}", chain(error)));
        if let Some(advice) = hint::of(error) {
            self.say(format_args!("hint: {advice}"));
        }
    }

    #[allow(clippy::unused_self, reason = "stderr belongs to the messages")]
    fn say(self, text: fmt::Arguments<'_>) {
        drop(writeln!(io::stderr().lock(), "{text}"));
    }
}

/// The messages of an error and its sources, each once.
fn chain(error: &anyhow::Error) -> String {
    let mut shown: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if shown.last() != Some(&text) {
            shown.push(text);
        }
    }
    shown.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_says_everything_once() {
        let inner = io::Error::from(io::ErrorKind::NotFound);
        let error = anyhow::Error::from(inner).context("open /x").context("open /x").context("pull oci:x");
        assert_eq!(chain(&error), "pull oci:x: open /x: entity not found");
    }
}
