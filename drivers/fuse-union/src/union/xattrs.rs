//! Extended attributes, with those of the layers themselves hidden.

use std::sync::Arc;

use plywood_tree::xattr::POSIX_ACLS;
use rustix::io::Errno;

use super::Union;
use super::formats;
use super::node::Node;
use crate::request::{Answer, Changes};

impl Union {
    /// The name under which an attribute is kept.
    fn kept_name(&self, name: &[u8]) -> Answer<Vec<u8>> {
        if self.options.no_xattrs || (self.options.no_access_control_lists && POSIX_ACLS.contains(&name)) {
            return Err(Errno::OPNOTSUPP);
        }
        formats::kept(name).ok_or(Errno::NODATA)
    }

    pub(super) fn get_xattr(&self, node: &Arc<Node>, name: &[u8]) -> Answer<Vec<u8>> {
        let kept = self.kept_name(name)?;
        self.with_real(node, |real| real.xattr(&kept))
    }

    pub(super) fn list_xattrs(&self, node: &Arc<Node>) -> Answer<Vec<u8>> {
        if self.options.no_xattrs {
            return Err(Errno::OPNOTSUPP);
        }
        #[allow(clippy::redundant_closure_for_method_calls, reason = "the path is of one lifetime only")]
        let names = self.with_real(node, |real| real.xattr_names())?;
        let mut list = Vec::with_capacity(names.len());
        for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            let hidden = self.options.no_access_control_lists && POSIX_ACLS.contains(&name);
            if let Some(shown) = formats::shown(name).filter(|_| !hidden) {
                list.extend_from_slice(&shown);
                list.push(0);
            }
        }
        Ok(list)
    }

    pub(super) fn put_xattr(
        &self,
        node: &Arc<Node>,
        name: &[u8],
        value: &[u8],
        flags: u32,
        kill_group: bool,
    ) -> Answer<()> {
        let kept = self.kept_name(name).map_err(own_name)?;
        self.copy_up(node, u64::MAX)?;
        self.with_real(node, |real| real.set_xattr(&kept, value, flags))?;
        if kill_group {
            let mode = self.stat(node)?.st_mode & !0o2000;
            self.change(node, &Changes { mode: Some(mode & 0o7777), ..Changes::default() })?;
        }
        Self::after_change(node, name)
    }

    pub(super) fn drop_xattr(&self, node: &Arc<Node>, name: &[u8]) -> Answer<()> {
        let kept = self.kept_name(name).map_err(own_name)?;
        if !self.is_upper(node) {
            // What is not there needs no copy to be removed from.
            self.with_real(node, |real| real.xattr(&kept))?;
            self.copy_up(node, u64::MAX)?;
        }
        self.with_real(node, |real| real.remove_xattr(&kept))?;
        Self::after_change(node, name)
    }

    /// A folder passes its default access control list on.
    fn after_change(node: &Arc<Node>, name: &[u8]) -> Answer<()> {
        if node.is_folder() && POSIX_ACLS.contains(&name) {
            node.folder()?.lock().inheritance = None;
        }
        Ok(())
    }
}

/// Attributes of the layers' own are not there to be read, and not to be written.
fn own_name(error: Errno) -> Errno {
    if error == Errno::NODATA { Errno::PERM } else { error }
}
