//! Paths that came from outside, as bytes relative to a layer's root.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Why a path is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathProblem {
    /// It holds `..`.
    #[error("the path has a '..' component, which could leave the layer")]
    ParentComponent,
    /// It holds a NUL byte.
    #[error("the path holds a NUL byte")]
    Nul,
}

/// Brings a path into the one form that this crate uses: no slash at either end, no empty and no `.`
/// components. The root is the empty path.
///
/// # Errors
/// [`PathProblem`] for `..` and NUL, which have no such form.
pub fn clean(raw: &[u8]) -> Result<Vec<u8>, PathProblem> {
    let mut cleaned = Vec::with_capacity(raw.len());
    for component in raw.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return Err(PathProblem::ParentComponent),
            _ if component.contains(&0) => return Err(PathProblem::Nul),
            _ => {
                if !cleaned.is_empty() {
                    cleaned.push(b'/');
                }
                cleaned.extend_from_slice(component);
            }
        }
    }
    Ok(cleaned)
}

/// How many links a path may lead through, as the kernel's own limit (`path_resolution(7)`).
pub(crate) const MOST_LINKS: usize = 40;

/// The components of a path or link's target, `..` among them, empty ones and `.` left out.
pub(crate) fn components(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".").map(<[u8]>::to_vec)
}

/// Splits a clean path into its parent and its last component; the root has no last component.
#[must_use]
pub fn split(cleaned: &[u8]) -> Option<(&[u8], &[u8])> {
    if cleaned.is_empty() {
        return None;
    }
    match cleaned.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => Some((&cleaned[..slash], &cleaned[slash + 1..])),
        None => Some((b"", cleaned)),
    }
}

/// Joins a clean path and one component.
#[must_use]
pub fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(parent.len() + 1 + name.len());
    if !parent.is_empty() {
        joined.extend_from_slice(parent);
        joined.push(b'/');
    }
    joined.extend_from_slice(name);
    joined
}

/// The path as messages show it, with a leading slash: never to be opened.
#[must_use]
pub fn display(cleaned: &[u8]) -> PathBuf {
    PathBuf::from("/").join(OsStr::from_bytes(cleaned.strip_prefix(b"/").unwrap_or(cleaned)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_or_refused() {
        for (raw, cleaned) in [
            (&b"./a//b/./c/"[..], &b"a/b/c"[..]),
            (b"/abs/x", b"abs/x"),
            (b".", b""),
            (b"/", b""),
            (b"a/..b/...", b"a/..b/..."),
            (b"\xff\n", b"\xff\n"),
        ] {
            assert_eq!(clean(raw), Ok(cleaned.to_vec()), "{raw:?}");
        }
        for raw in [&b".."[..], b"../x", b"a/../../x", b"a/.."] {
            assert_eq!(clean(raw), Err(PathProblem::ParentComponent), "{raw:?}");
        }
        assert_eq!(clean(b"a\0b"), Err(PathProblem::Nul));
    }

    #[test]
    fn a_path_splits_into_what_joins_to_it() {
        for path in [&b"a"[..], b"a/b", b"a/b/c"] {
            let (parent, name) = split(path).unwrap_or_default();
            assert_eq!(join(parent, name), path);
        }
        assert_eq!(split(b""), None);
    }
}
