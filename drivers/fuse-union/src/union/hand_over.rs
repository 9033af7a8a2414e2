//! Content for the kernel before it asks: a small file of a lower layer comes with the answer to its first opening.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use super::Union;
use super::node::Node;
use crate::request::Answer;

/// Bytes of a file at most: most files of an image are smaller, and the kernel's first read asks for no more (its readahead).
const SMALL: usize = 128 << 10;

/// Threads at most that do this at a time. Each may wait for a page that somebody is reading, for which another thread must be left.
const AT_ONCE: usize = 8;

thread_local! {
    static CONTENT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Union {
    /// Gives the kernel the content of a lower file that is opened for the first time, if it is small. Where that fails the kernel asks.
    pub(super) fn hand_over(&self, node: &Arc<Node>) {
        let Ok(file) = node.file() else { return };
        if self.is_upper(node) || file.handed_over.swap(true, Ordering::Relaxed) {
            return;
        }
        if self.handing_over.fetch_add(1, Ordering::Relaxed) < AT_ONCE
            && let Err(error) = self.hand_over_content(node)
        {
            tracing::trace!(node = node.id, %error, "the kernel will ask for the content");
        }
        self.handing_over.fetch_sub(1, Ordering::Relaxed);
    }

    fn hand_over_content(&self, node: &Arc<Node>) -> Answer<()> {
        let Some(kernel) = self.kernel() else { return Ok(()) };
        // Who wants to write the file copies it up first, and waits.
        let _unwritten = node.copying.lock();
        if self.is_upper(node) {
            return Ok(());
        }
        CONTENT.with_borrow_mut(|content| {
            content.resize(SMALL + 1, 0);
            match self.read_file(node, 0, content)? {
                length if length <= SMALL => kernel.keep_content(node.id, &content[..length]),
                _ => Err(Errno::FBIG),
            }
        })
    }
}
