//! Paths that came from outside, as bytes relative to a layer's root.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use plywood_graphdriver::DriverResult;

use crate::fail::refuse;

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

/// Answers the target of the symlink at a path, or nothing where something else is there.
pub(crate) type LinkAt<'a> = dyn FnMut(&[u8]) -> DriverResult<Option<Vec<u8>>> + 'a;

/// Resolves the links on the way to a clean path's last component, as inside a root; `link_at` answers the target of the link at
/// a path that has no links before it. What is not there stays as it is.
pub(crate) fn follow(cleaned: &[u8], link_at: &mut LinkAt<'_>) -> DriverResult<Vec<u8>> {
    let mut at: Vec<Vec<u8>> = Vec::new();
    let mut ahead: VecDeque<Vec<u8>> = components(cleaned).collect();
    let mut links = 0;
    while let Some(component) = ahead.pop_front() {
        if component == b".." {
            at.pop();
            continue;
        }
        at.push(component);
        let target = if ahead.is_empty() { None } else { link_at(&at.join(&b'/'))? };
        let Some(target) = target else { continue };
        links += 1;
        if links > MOST_LINKS {
            return Err(refuse("look up", cleaned, "a parent of it is a loop of symlinks (ELOOP)"));
        }
        at.pop();
        if target.first() == Some(&b'/') {
            at.clear();
        }
        for component in components(&target).collect::<Vec<_>>().into_iter().rev() {
            ahead.push_front(component);
        }
    }
    Ok(at.join(&b'/'))
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
