//! Platforms: what an image runs on.

use std::fmt;
use std::str::FromStr;

/// What an image runs on, in Go's words: `linux/arm64/v8`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Platform {
    /// The operating system: `linux`.
    pub os: String,
    /// The processor: `amd64`.
    pub architecture: String,
    /// The processor's variant: `v8`.
    pub variant: Option<String>,
}

/// A text that is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a platform: type OS/ARCHITECTURE[/VARIANT] such as linux/arm64/v8")]
pub struct InvalidPlatform {
    /// What was given.
    pub text: String,
}

impl Platform {
    /// Names a platform, its words as they are.
    #[must_use]
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let variant = variant.filter(|variant| !variant.is_empty()).map(str::to_owned);
        Self { os: os.to_owned(), architecture: architecture.to_owned(), variant }
    }

    /// The platform of this machine.
    #[must_use]
    pub fn host() -> Self {
        Self::new(std::env::consts::OS, go_architecture(std::env::consts::ARCH), None)
    }

    /// How well an image for `self` serves a machine of `machine`: the higher the better, `None` where it does not
    /// run. An older variant serves a newer machine.
    pub(crate) fn suitability(&self, machine: &Self) -> Option<u32> {
        if self.os != machine.os || self.architecture != machine.architecture {
            return None;
        }
        match (self.variant_number(), machine.variant_number()) {
            (Some(image), Some(machine)) => (image <= machine).then_some(image),
            _ => (self.variant == machine.variant).then_some(0),
        }
    }

    /// The number of the variant, where it has one; a missing variant is the one that the field assumes.
    fn variant_number(&self) -> Option<u32> {
        match (&self.variant, self.architecture.as_str()) {
            (Some(variant), _) => variant.strip_prefix('v')?.parse().ok(),
            (None, "arm") => Some(7),
            (None, "arm64") => Some(8),
            (None, "amd64") => Some(1),
            (None, _) => None,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(formatter, "/{variant}"))
    }
}

impl FromStr for Platform {
    type Err = InvalidPlatform;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let word = |word: &&str| {
            !word.is_empty()
                && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
        };
        let words: Vec<&str> = text.split('/').collect();
        match words.as_slice() {
            [os, architecture] if words.iter().all(word) => {
                Ok(Self::new(os, go_architecture(architecture), None))
            }
            [os, architecture, variant] if words.iter().all(word) => {
                Ok(Self::new(os, go_architecture(architecture), Some(variant)))
            }
            _ => Err(InvalidPlatform { text: text.to_owned() }),
        }
    }
}

/// Go's word for a processor that Rust, `uname` or a person calls `name`.
fn go_architecture(name: &str) -> &str {
    match name {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "x86" | "i386" | "i686" => "386",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "powerpc64" => "ppc64",
        "loongarch64" => "loong64",
        "mips64" if cfg!(target_endian = "little") => "mips64le",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn platforms_are_parsed_in_gos_words() {
        for (text, shown) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/arm64/v8", "linux/arm64/v8"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/x86_64", "linux/amd64"),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), shown);
        }
        for wrong in ["", "linux", "linux/", "/amd64", "linux/arm64/v8/x", "linux//v8", "linux/amd 64"] {
            assert!(wrong.parse::<Platform>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_older_variant_serves_a_newer_machine() {
        let suits = |image: &str, machine: &str| {
            image.parse::<Platform>().unwrap().suitability(&machine.parse().unwrap())
        };
        assert!(suits("linux/arm64", "linux/arm64/v8").is_some());
        assert!(suits("linux/arm64/v8", "linux/arm64").is_some());
        assert!(suits("linux/arm/v6", "linux/arm/v7") < suits("linux/arm/v7", "linux/arm/v7"));
        assert_eq!(suits("linux/arm/v7", "linux/arm/v6"), None);
        assert_eq!(suits("linux/amd64/v3", "linux/amd64"), None);
        assert_eq!(suits("linux/amd64", "linux/arm64"), None);
        assert_eq!(suits("windows/amd64", "linux/amd64"), None);
        assert!(suits("linux/riscv64", "linux/riscv64").is_some());
    }
}
