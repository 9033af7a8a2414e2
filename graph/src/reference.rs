//! Names of images: `name[:tag][@digest]`, normalised.
//!
//! A name without a registry is one of this machine, `localhost/NAME`, as `podman load` has it; a name without a tag and a
//! digest gets the tag `latest`; `docker.io/NAME` is `docker.io/library/NAME`.

use std::fmt;
use std::str::FromStr;

use plywood_archive::digest::Digest;

/// The longest name, registry included, in bytes, as the distribution specification has it.
const LONGEST_NAME: usize = 255;
/// The longest tag, in bytes.
const LONGEST_TAG: usize = 128;

/// A normalised name of an image.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// A text that is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not an image name: {reason}")]
pub struct InvalidReference {
    /// What was given, cut at 300 characters.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Reference {
    /// The registry, with its port: `docker.io`, `localhost`, `127.0.0.1:5055`.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The path in the registry: `library/alpine`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag; `None` only where there is a digest.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The manifest's digest, where the name has it.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Registry and path, without tag and digest.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// Whether somebody who types `other` without a registry can mean this name: the tags and digests are
    /// the same, and its path ends with theirs.
    pub(crate) fn ends_with(&self, other: &Self) -> bool {
        let path = self.path.strip_suffix(other.path.as_str());
        let whole_components = path.is_some_and(|front| front.is_empty() || front.ends_with('/'));
        whole_components && self.tag == other.tag && (other.digest.is_none() || self.digest == other.digest)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.domain, self.path)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(formatter, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|reason| InvalidReference { text: text.chars().take(300).collect(), reason })
    }
}

fn parse(text: &str) -> Result<Reference, String> {
    let (front, digest) = match text.split_once('@') {
        Some((front, digest)) => (front, Some(digest.parse::<Digest>().map_err(|error| error.to_string())?)),
        None => (text, None),
    };
    // A colon before the last slash belongs to the registry's port.
    let after_slash = front.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match front[after_slash..].find(':') {
        Some(colon) => (&front[..after_slash + colon], Some(&front[after_slash + colon + 1..])),
        None => (front, None),
    };
    let tag = match (tag, digest) {
        (Some(tag), _) => Some(check_tag(tag)?.to_owned()),
        (None, Some(_)) => None,
        (None, None) => Some("latest".to_owned()),
    };
    let (domain, path) = split_domain(name);
    check_domain(domain)?;
    check_path(path)?;
    let (domain, path) = normalise(domain, path);
    if domain.len() + 1 + path.len() > LONGEST_NAME {
        return Err(format!("it is longer than {LONGEST_NAME} bytes"));
    }
    Ok(Reference { domain, path, tag, digest })
}

/// The first component is a registry if it looks like a host: it has a dot or a port, or it is `localhost`.
fn split_domain(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((first, rest)) if first == "localhost" || first.contains(['.', ':']) => (first, rest),
        _ => ("localhost", name),
    }
}

fn normalise(domain: &str, path: &str) -> (String, String) {
    let domain = if domain == "index.docker.io" { "docker.io" } else { domain };
    let path = if domain == "docker.io" && !path.contains('/') {
        format!("library/{path}")
    } else {
        path.to_owned()
    };
    (domain.to_owned(), path)
}

fn check_tag(tag: &str) -> Result<&str, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let valid = !tag.is_empty()
        && tag.len() <= LONGEST_TAG
        && tag.bytes().next().is_some_and(plain)
        && tag.bytes().all(|byte| plain(byte) || matches!(byte, b'.' | b'-'));
    let shown = tag.chars().take(LONGEST_TAG).collect::<String>();
    if valid {
        Ok(tag)
    } else {
        Err(format!("the tag '{shown}' is not up to 128 letters, digits, '_', '.' and '-'"))
    }
}

fn check_domain(domain: &str) -> Result<(), String> {
    // An IPv6 address in brackets has colons of its own.
    let (host, port) = match domain.rfind(']') {
        Some(bracket) => (&domain[..=bracket], domain[bracket + 1..].strip_prefix(':')),
        None => domain.split_once(':').map_or((domain, None), |(host, port)| (host, Some(port))),
    };
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host_valid = match bracketed {
        Some(address) => {
            !address.is_empty() && address.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':')
        }
        None => host.split('.').all(label),
    };
    let port_valid =
        port.is_none_or(|port| port.parse::<u16>().is_ok() && port.bytes().all(|b| b.is_ascii_digit()));
    // Whatever follows a bracket and is no port would otherwise be lost.
    let complete = host.len() + port.map_or(0, |port| port.len() + 1) == domain.len();
    if host_valid && port_valid && complete { Ok(()) } else { Err(format!("'{domain}' is not a registry")) }
}

fn check_path(path: &str) -> Result<(), String> {
    for component in path.split('/') {
        if component.is_empty() {
            return Err("a component of the name is empty".to_owned());
        }
        if component.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(format!("'{component}' has upper-case letters"));
        }
        if !component_is_valid(component.as_bytes()) {
            return Err(format!(
                "'{component}' is not letters and digits joined by '.', '_', '__' or dashes"
            ));
        }
    }
    Ok(())
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn component_is_valid(component: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = component.first().is_some_and(plain) && component.last().is_some_and(plain);
    let separator =
        |run: &[u8]| matches!(run, b"" | b"." | b"_" | b"__") || run.iter().all(|byte| *byte == b'-');
    ends && component.split(plain).all(separator)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_are_normalised() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let with_digest = format!("quay.io/a/b@{digest}");
        let with_both = format!("app:1@{digest}");
        let table = [
            ("app", "localhost/app:latest"),
            ("app:1.0", "localhost/app:1.0"),
            ("team/app", "localhost/team/app:latest"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/app", "localhost:5000/app:latest"),
            ("127.0.0.1:5055/bb:1", "127.0.0.1:5055/bb:1"),
            ("[::1]:5055/bb:1", "[::1]:5055/bb:1"),
            ("docker.io/alpine", "docker.io/library/alpine:latest"),
            ("index.docker.io/alpine:3", "docker.io/library/alpine:3"),
            ("docker.io/me/alpine", "docker.io/me/alpine:latest"),
            ("a__b--c.d_e", "localhost/a__b--c.d_e:latest"),
            (with_digest.as_str(), with_digest.as_str()),
        ];
        for (text, expected) in table {
            let reference = text.parse::<Reference>().unwrap();
            assert_eq!(reference.to_string(), expected);
            assert_eq!(expected.parse::<Reference>().unwrap(), reference, "a second pass changes nothing");
        }
        assert_eq!(with_both.parse::<Reference>().unwrap().to_string(), format!("localhost/{with_both}"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(256);
        let long_tag = format!("a:{}", "t".repeat(129));
        let table = [
            "",
            ":",
            "app:",
            ":tag",
            "app:-x",
            "App",
            "a//b",
            "/a",
            "a/",
            "a..b",
            "a___b",
            "-a",
            "a-",
            "../x",
            "a b",
            "app@sha256:12",
            "app@",
            "app:a:b",
            "host.:1/a",
            "host:99999/a",
            "host:+1/a",
            "[::1]x/a",
            "ä",
            long.as_str(),
            long_tag.as_str(),
            "localhost/",
            "docker.io/",
        ];
        for text in table {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_short_name_fits_the_end_of_a_long_one_by_whole_components() {
        let full: Reference = "docker.io/library/alpine:3".parse().unwrap();
        let fits = |text: &str| full.ends_with(&text.parse().unwrap());
        assert!(fits("alpine:3") && fits("library/alpine:3"));
        assert!(!fits("pine:3") && !fits("alpine") && !fits("alpine:4") && !fits("other/alpine:3"));
    }
}
