//! Where images come from and go to: `oci:DIR[:REF]` and its like.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Transports of other tools that are recognised and refused.
const REFUSED: [&str; 10] = [
    "docker",
    "docker-daemon",
    "containers-storage",
    "dir",
    "ostree",
    "atomic",
    "sif",
    "tarball",
    "http",
    "https",
];

/// Where an image comes from or goes to, in skopeo's syntax.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Location {
    /// `oci:DIR[:REF]`: a folder in the OCI image layout.
    Oci {
        /// The folder.
        folder: PathBuf,
        /// The image in it, as its `org.opencontainers.image.ref.name` says.
        reference: Option<String>,
    },
    /// `oci-archive:FILE[:REF]`: an OCI image layout in a tar.
    OciArchive {
        /// The tar.
        file: PathBuf,
        /// The image in it, as its `org.opencontainers.image.ref.name` says.
        reference: Option<String>,
    },
    /// `docker-archive:FILE[:REF]`: what `docker save` writes.
    DockerArchive {
        /// The tar.
        file: PathBuf,
        /// The image in it, as its tag says.
        reference: Option<String>,
    },
}

/// A text that is no location.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a location: {reason}")]
pub struct InvalidLocation {
    /// What was given.
    pub text: String,
    /// What is wrong with it, and what to type.
    pub reason: String,
}

impl Location {
    /// The folder or file, without transport and reference.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Oci { folder, .. } => folder,
            Self::OciArchive { file, .. } | Self::DockerArchive { file, .. } => file,
        }
    }

    /// The image in it, where one is named.
    #[must_use]
    pub fn reference(&self) -> Option<&str> {
        match self {
            Self::Oci { reference, .. }
            | Self::OciArchive { reference, .. }
            | Self::DockerArchive { reference, .. } => reference.as_deref(),
        }
    }

    fn transport(&self) -> &'static str {
        match self {
            Self::Oci { .. } => "oci",
            Self::OciArchive { .. } => "oci-archive",
            Self::DockerArchive { .. } => "docker-archive",
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.transport(), self.path().display())?;
        self.reference().map_or(Ok(()), |reference| write!(formatter, ":{reference}"))
    }
}

impl FromStr for Location {
    type Err = InvalidLocation;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|reason| InvalidLocation { text: text.to_owned(), reason })
    }
}

fn parse(text: &str) -> Result<Location, String> {
    const WORKING: &str = "oci:DIR[:REF], oci-archive:FILE[:REF] and docker-archive:FILE[:REF] work";
    let Some((transport, rest)) = text.split_once(':') else { return Err(advice_for_bare(text)) };
    if REFUSED.contains(&transport) {
        return Err(format!("'{transport}:' is not supported; {WORKING}"));
    }
    if !matches!(transport, "oci" | "oci-archive" | "docker-archive") {
        return Err(advice_for_bare(text));
    }
    let (path, reference) = match rest.split_once(':') {
        Some((path, reference)) => (path, Some(reference)),
        None => (rest, None),
    };
    if path.is_empty() {
        return Err(format!("there is no path after '{transport}:'; {WORKING}"));
    }
    if path.starts_with("//") {
        return Err(format!("'{transport}:' takes a path, not a URL"));
    }
    let reference = reference.map(check_reference).transpose()?;
    Ok(match transport {
        "oci" => Location::Oci { folder: path.into(), reference },
        "oci-archive" => Location::OciArchive { file: path.into(), reference },
        _ => Location::DockerArchive { file: path.into(), reference },
    })
}

/// What to type instead of a bare path or name.
fn advice_for_bare(text: &str) -> String {
    let looks_like_path = text.starts_with(['/', '.']) || text.ends_with('/');
    let looks_like_archive = [".tar", ".tar.gz", ".tgz", ".tar.zst"].iter().any(|end| text.ends_with(end));
    if text.is_empty() {
        "it is empty; type for example oci:DIR:REF".to_owned()
    } else if looks_like_archive {
        format!("type oci-archive:{text} or docker-archive:{text}")
    } else if looks_like_path {
        format!(
            "type oci:{text} for a layout folder, oci-archive:{text} or docker-archive:{text} for an archive"
        )
    } else {
        format!(
            "registries are not supported; copy the image into a layout first and type oci:DIR:{text}, or type \
             oci-archive:FILE:{text} or docker-archive:FILE:{text} for one in an archive"
        )
    }
}

/// A reference is one line of printable text: it is shown, and compared byte for byte.
fn check_reference(reference: &str) -> Result<String, String> {
    if reference.is_empty() {
        Err("there is nothing after the last ':'; leave it away for the only image".to_owned())
    } else if reference.chars().any(|character| character.is_control() || character.is_whitespace()) {
        Err("the reference has spaces or control characters".to_owned())
    } else {
        Ok(reference.to_owned())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn locations_are_parsed_and_shown_again() {
        let table = [
            ("oci:img", "oci", "img", None),
            ("oci:/a/b:1.0", "oci", "/a/b", Some("1.0")),
            ("oci:./img:localhost/app:1", "oci", "./img", Some("localhost/app:1")),
            ("oci-archive:a.tar", "oci-archive", "a.tar", None),
            ("oci-archive:a.tar:x", "oci-archive", "a.tar", Some("x")),
            ("docker-archive:a.tar:quay.io:443/a/b:2", "docker-archive", "a.tar", Some("quay.io:443/a/b:2")),
        ];
        for (text, transport, path, reference) in table {
            let location: Location = text.parse().unwrap();
            assert_eq!(location.transport(), transport, "{text}");
            assert_eq!(location.path(), Path::new(path), "{text}");
            assert_eq!(location.reference(), reference, "{text}");
            assert_eq!(location.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_location_is_refused_with_what_to_type() {
        let working = "oci:DIR[:REF], oci-archive:FILE[:REF] and docker-archive:FILE[:REF] work";
        let table = [
            ("docker://alpine", working),
            ("docker-daemon:alpine:3", working),
            ("containers-storage:alpine", working),
            ("dir:/tmp/x", working),
            ("https://example.org/a.tar", working),
            ("oci:", "no path after 'oci:'"),
            ("oci::latest", "no path after 'oci:'"),
            ("oci://host/a", "not a URL"),
            ("oci:img:", "nothing after the last ':'"),
            ("oci:img:a b", "spaces or control characters"),
            ("oci:img:a\nb", "spaces or control characters"),
            ("", "oci:DIR:REF"),
            ("alpine", "oci:DIR:alpine"),
            ("alpine:3", "oci:DIR:alpine:3"),
            ("OCI:img", "oci:DIR:OCI:img"),
            ("./img", "oci:./img for a layout folder"),
            ("/srv/img:x", "oci:/srv/img:x for a layout folder"),
            ("app.tar", "oci-archive:app.tar or docker-archive:app.tar"),
            ("/a/app.tar.gz", "docker-archive:/a/app.tar.gz"),
        ];
        for (text, advice) in table {
            let error = text.parse::<Location>().unwrap_err().to_string();
            assert!(error.contains(advice), "{text}: {error}");
        }
    }
}
