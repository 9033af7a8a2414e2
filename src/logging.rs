//! The log, on stderr.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::exit::UsageError;

/// What is logged where nothing says otherwise.
const DEFAULT: &str = "warn";
const QUIET: &str = "error";

/// Starts the log. `directives` are a level, or `target=level` separated by commas.
pub(crate) fn start(directives: Option<&str>, quiet: bool) -> anyhow::Result<()> {
    let directives = directives.unwrap_or(if quiet { QUIET } else { DEFAULT });
    let filter = EnvFilter::try_new(directives).map_err(|error| {
        UsageError(format!(
            "the log level '{directives}' is none of error, warn, info, debug, trace, off: {error}"
        ))
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).without_time();
    let started = log.with_ansi(io::stderr().is_terminal()).try_init();
    started.map_err(|error| anyhow::anyhow!("start log: {error}"))
}
