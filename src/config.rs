//! The configuration: flags, then variables (clap reads both), then files, then defaults.

use std::io::Read;
use std::path::{Path, PathBuf};

use plywood::{Durability, ExpansionLimit, Limits, OpenOptions};
use rustix::fs::{Mode, OFlags};
use serde::Deserialize;

use crate::arguments::{DurabilityName, Global};

/// The machine's file.
const SYSTEM_FILE: &str = "/etc/plywood/plywood.toml";
/// More than any honest file has.
const LONGEST_FILE_BYTES: u64 = 1 << 20;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("read configuration {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The file does not say what it should; the source names the line.
    #[error("configuration {}", path.display())]
    Parse {
        path: PathBuf,
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A value that no key takes.
    #[error("configuration {}: {key} = \"{value}\": {reason}", path.display())]
    Value { path: PathBuf, key: &'static str, value: String, reason: String },
}

/// A file. Keys that are not known are refused: a misspelt limit would be none.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    root: Option<PathBuf>,
    driver: Option<String>,
    durability: Option<DurabilityName>,
    workers: Option<usize>,
    log: Option<String>,
    #[serde(default)]
    limits: LimitsTable,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsTable {
    entries: Option<u64>,
    path_bytes: Option<usize>,
    component_bytes: Option<usize>,
    depth: Option<usize>,
    pax_bytes: Option<usize>,
    xattr_value_bytes: Option<usize>,
    xattr_entry_bytes: Option<usize>,
    expansion_ratio: Option<u64>,
    expansion_past_bytes: Option<u64>,
}

/// What holds for this run.
#[derive(Debug)]
pub(crate) struct Config {
    /// How to open the store.
    pub(crate) open: OpenOptions,
    /// What to log.
    pub(crate) log: Option<String>,
}

impl Config {
    /// Puts together what the command line, the environment and the files say.
    pub(crate) fn load(global: &Global) -> Result<Self, ConfigError> {
        let mut config = Self { open: OpenOptions::default(), log: None };
        match &global.config {
            Some(path) => config.take(path, &read(path)?.ok_or_else(|| missing(path))?)?,
            None => {
                for path in default_files() {
                    if let Some(text) = read(&path)? {
                        config.take(&path, &text)?;
                    }
                }
            }
        }
        config.overrule(global);
        Ok(config)
    }

    /// Takes what a file says, over what earlier ones said.
    fn take(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let parsed = toml::from_str(text);
        let file: File = parsed
            .map_err(|source| ConfigError::Parse { path: path.to_owned(), source: Box::new(source) })?;
        if let Some(root) = file.root {
            if !root.is_absolute() {
                let reason = "it has to be an absolute path".to_owned();
                return Err(value(path, "root", &root.display(), reason));
            }
            self.open.root = Some(root);
        }
        if let Some(driver) = file.driver {
            self.open.driver = driver
                .parse()
                .map_err(|error: plywood::UnknownDriver| value(path, "driver", &driver, error.to_string()))?;
        }
        if file.workers == Some(0) {
            return Err(value(path, "workers", &0, "it takes at least one".to_owned()));
        }
        self.open.workers = file.workers.or(self.open.workers);
        self.open.durability = file.durability.map_or(self.open.durability, Durability::from);
        self.log = file.log.or(self.log.take());
        file.limits.lay_over(&mut self.open.limits, &mut self.open.expansion);
        Ok(())
    }

    /// Lets the command line and the environment have the last word.
    fn overrule(&mut self, global: &Global) {
        self.open.root = global.root.clone().or(self.open.root.take());
        self.open.driver = global.driver.unwrap_or(self.open.driver);
        self.open.durability = global.durability.map_or(self.open.durability, Durability::from);
        self.open.workers = global.workers.map(usize::from).or(self.open.workers);
        self.log = global.log_level.clone().or(self.log.take());
    }
}

impl LimitsTable {
    fn lay_over(self, limits: &mut Limits, expansion: &mut ExpansionLimit) {
        fn lay<T>(said: Option<T>, over: &mut T) {
            if let Some(said) = said {
                *over = said;
            }
        }
        lay(self.entries, &mut limits.entries);
        lay(self.path_bytes, &mut limits.path_bytes);
        lay(self.component_bytes, &mut limits.component_bytes);
        lay(self.depth, &mut limits.depth);
        lay(self.pax_bytes, &mut limits.pax_bytes);
        lay(self.xattr_value_bytes, &mut limits.xattr_value_bytes);
        lay(self.xattr_entry_bytes, &mut limits.xattr_entry_bytes);
        lay(self.expansion_ratio, &mut expansion.ratio);
        lay(self.expansion_past_bytes, &mut expansion.past_bytes);
    }
}

impl From<DurabilityName> for Durability {
    fn from(name: DurabilityName) -> Self {
        match name {
            DurabilityName::Full => Self::Full,
            DurabilityName::None => Self::None,
        }
    }
}

fn default_files() -> Vec<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let own = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
    let own = own.map(|folder| folder.join("plywood/plywood.toml"));
    std::iter::once(PathBuf::from(SYSTEM_FILE)).chain(own).collect()
}

/// The file's text; `None` where it is not there.
fn read(path: &Path) -> Result<Option<String>, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let file = match rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => std::fs::File::from(file),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
        Err(error) => return Err(failed(error.into())),
    };
    let mut text = String::new();
    file.take(LONGEST_FILE_BYTES).read_to_string(&mut text).map_err(failed)?;
    Ok(Some(text))
}

fn missing(path: &Path) -> ConfigError {
    ConfigError::Read { path: path.to_owned(), source: std::io::ErrorKind::NotFound.into() }
}

fn value(path: &Path, key: &'static str, value: &impl ToString, reason: String) -> ConfigError {
    ConfigError::Value { path: path.to_owned(), key, value: value.to_string(), reason }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use plywood::DriverChoice;

    fn taken(texts: &[&str]) -> Result<Config, ConfigError> {
        let mut config = Config { open: OpenOptions::default(), log: None };
        for text in texts {
            config.take(Path::new("/etc/x.toml"), text)?;
        }
        Ok(config)
    }

    #[test]
    fn later_files_win_key_by_key() {
        let first = "root = '/a'\ndriver = 'vfs'\nworkers = 3\n[limits]\nentries = 5\ndepth = 6";
        let config = taken(&[first, "root = '/b'\n[limits]\ndepth = 7"]).unwrap();
        assert_eq!(config.open.root.as_deref(), Some(Path::new("/b")));
        assert_eq!(config.open.driver, DriverChoice::Named("vfs"));
        assert_eq!(config.open.workers, Some(3));
        assert_eq!((config.open.limits.entries, config.open.limits.depth), (5, 7));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_place() {
        let unknown = format!("{:#}", anyhow::Error::from(taken(&["workers = 1\nworker = 2"]).unwrap_err()));
        assert!(unknown.contains("line 2") && unknown.contains("worker"), "{unknown}");
        for text in
            ["root = 'a'", "driver = 'btrfs'", "workers = 0", "durability = 'some'", "[limits]\nx = 1", "x"]
        {
            assert!(taken(&[text]).is_err(), "{text}");
        }
    }

    #[test]
    fn flags_overrule_files() {
        let mut config = taken(&["root = '/a'\nworkers = 3\nlog = 'debug'"]).unwrap();
        config.overrule(&Global { root: Some("/c".into()), ..Global::default() });
        assert_eq!(config.open.root.as_deref(), Some(Path::new("/c")));
        assert_eq!((config.open.workers, config.log.as_deref()), (Some(3), Some("debug")));
    }
}
