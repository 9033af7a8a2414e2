//! Extension headers that wait for the entry they belong to.

use super::entry::Xattrs;
use super::header::Header;
use super::limits::Limits;
use super::pax::Attributes;
use super::{TarErrorKind, xattrs};

/// The `x`, `L` and `K` headers before an entry. Two programs seldom agree on what several of a kind, or both kinds
/// together, mean: that is refused.
#[derive(Default)]
pub(super) struct Pending {
    attributes: Option<Attributes>,
    long_path: Option<Vec<u8>>,
    long_target: Option<Vec<u8>>,
}

/// What the extension headers of an entry say, global ones included.
pub(super) struct Extended {
    pub(super) attributes: Attributes,
    pub(super) long_path: Option<Vec<u8>>,
    pub(super) long_target: Option<Vec<u8>>,
    /// Whether the entry has an `x` header of its own.
    pub(super) has_own: bool,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.attributes.is_none() && self.long_path.is_none() && self.long_target.is_none()
    }

    /// Takes the records of an `x` header.
    pub(super) fn pax(&mut self, records: &[u8], global: &Attributes) -> Result<(), TarErrorKind> {
        if self.long_path.is_some() || self.long_target.is_some() {
            return Err(mixed());
        }
        if self.attributes.is_some() {
            return Err(TarErrorKind::Extension { reason: "an entry has two PAX headers" });
        }
        let mut attributes = global.clone();
        attributes.apply(records)?;
        self.attributes = Some(attributes);
        Ok(())
    }

    /// Takes the text of an `L` header.
    pub(super) fn long_path(&mut self, text: Vec<u8>) -> Result<(), TarErrorKind> {
        self.check_gnu(self.long_path.is_some())?;
        self.long_path = Some(without_nul(text, "GNU long path")?);
        Ok(())
    }

    /// Takes the text of a `K` header.
    pub(super) fn long_target(&mut self, text: Vec<u8>) -> Result<(), TarErrorKind> {
        self.check_gnu(self.long_target.is_some())?;
        self.long_target = Some(without_nul(text, "GNU long link target")?);
        Ok(())
    }

    fn check_gnu(&self, repeated: bool) -> Result<(), TarErrorKind> {
        if self.attributes.is_some() {
            return Err(mixed());
        }
        if repeated {
            return Err(TarErrorKind::Extension { reason: "an entry has two GNU long names of a kind" });
        }
        Ok(())
    }

    /// Gives what applies to the entry whose header has come.
    pub(super) fn resolve(self, global: &Attributes) -> Extended {
        let has_own = self.attributes.is_some();
        let attributes = self.attributes.unwrap_or_else(|| {
            let mut inherited = global.clone();
            inherited.inherited_xattrs = inherited.xattrs.len();
            inherited
        });
        Extended { attributes, long_path: self.long_path, long_target: self.long_target, has_own }
    }
}

fn mixed() -> TarErrorKind {
    TarErrorKind::Extension { reason: "an entry has both a PAX header and a GNU long name" }
}

/// Takes off the NULs at the end, which GNU tar writes; one within is refused.
fn without_nul(mut text: Vec<u8>, field: &'static str) -> Result<Vec<u8>, TarErrorKind> {
    while text.last() == Some(&0) {
        text.pop();
    }
    if text.contains(&0) {
        return Err(TarErrorKind::Name { field, reason: "holds a NUL" });
    }
    Ok(text)
}

impl Extended {
    /// Gives the entry's path, checked.
    pub(super) fn path(&mut self, header: &Header, limits: &Limits) -> Result<Vec<u8>, TarErrorKind> {
        let sparse = self.attributes.sparse.name.take();
        let path = sparse.or_else(|| self.attributes.path.take()).or_else(|| self.long_path.take());
        let path = path.unwrap_or_else(|| header.path());
        check_path(&path, "path", limits)?;
        Ok(path)
    }

    /// Gives the target of a link, checked; a hard link's is a path, a symlink's any text.
    pub(super) fn target(
        &mut self,
        header: &Header,
        hard: bool,
        limits: &Limits,
    ) -> Result<Vec<u8>, TarErrorKind> {
        let target = self.attributes.link_target.take().or_else(|| self.long_target.take());
        let target = target.unwrap_or_else(|| header.link_target().to_vec());
        if hard {
            check_path(&target, "link target", limits)?;
        } else {
            check_text(&target, "link target", limits)?;
        }
        Ok(target)
    }

    /// Gives the extended attributes, each name once, within limits.
    pub(super) fn xattrs(&mut self, limits: &Limits) -> Result<Xattrs, TarErrorKind> {
        xattrs::resolve(&mut self.attributes, limits)
    }
}

fn check_text(text: &[u8], field: &'static str, limits: &Limits) -> Result<(), TarErrorKind> {
    if text.is_empty() {
        return Err(TarErrorKind::Name { field, reason: "is empty" });
    }
    if text.len() > limits.path_bytes {
        let what = if field == "path" { "bytes of path" } else { "bytes of link target" };
        return Err(TarErrorKind::Limit { what, limit: limits.path_bytes as u64 });
    }
    Ok(())
}

fn check_path(path: &[u8], field: &'static str, limits: &Limits) -> Result<(), TarErrorKind> {
    check_text(path, field, limits)?;
    let mut depth = 0;
    for component in path.split(|byte| *byte == b'/') {
        if component.len() > limits.component_bytes {
            let limit = limits.component_bytes as u64;
            return Err(TarErrorKind::Limit { what: "bytes in a component of a path", limit });
        }
        depth += usize::from(!component.is_empty() && component != b".");
    }
    if depth > limits.depth {
        return Err(TarErrorKind::Limit { what: "components of a path", limit: limits.depth as u64 });
    }
    Ok(())
}
