//! The log, on stderr.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::exit::UsageError;

/// What is logged where nothing says otherwise.
const DEFAULT: &str = "warn";

/// Starts the log. `directives` are a level, or `target=level` separated by commas.
pub(crate) fn start(directives: Option<&str>) -> anyhow::Result<()> {
    let directives = directives.unwrap_or(DEFAULT);
    let filter = EnvFilter::try_new(directives).map_err(|error| {
        UsageError(format!(
            "the log level '{directives}' is none of error, warn, info, debug, trace, off: {error}"
        ))
    })?;
    let started =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).without_time().try_init();
    started.map_err(|error| anyhow::anyhow!("start log: {error}"))
}
