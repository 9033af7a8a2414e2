//! Owners shown for other owners.

/// One range of ids that are shown for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first as programs see it.
    pub shown: u32,
    /// The first as the layers have it.
    pub kept: u32,
    /// How many.
    pub length: u32,
}

/// The owners and groups that programs see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ids {
    /// Ranges of users; none is every user as it is.
    pub users: Vec<Range>,
    /// Ranges of groups.
    pub groups: Vec<Range>,
    /// The one user that all files are shown to belong to.
    pub squash_user: Option<u32>,
    /// The one group.
    pub squash_group: Option<u32>,
}

/// Shown for an id that no range has (`/proc/sys/kernel/overflowuid`).
const NOBODY: u32 = 65_534;

impl Ids {
    /// The user shown for one that a layer has.
    pub(crate) fn shown_user(&self, kept: u32) -> u32 {
        self.squash_user.unwrap_or_else(|| show(&self.users, kept))
    }

    /// The group shown for one that a layer has.
    pub(crate) fn shown_group(&self, kept: u32) -> u32 {
        self.squash_group.unwrap_or_else(|| show(&self.groups, kept))
    }

    /// The user that a layer gets for one that a program gives; nothing where owners are not kept, or there is none.
    pub(crate) fn kept_user(&self, shown: u32) -> Option<u32> {
        if self.squash_user.is_some() { None } else { keep(&self.users, shown) }
    }

    /// The group that a layer gets for one that a program gives.
    pub(crate) fn kept_group(&self, shown: u32) -> Option<u32> {
        if self.squash_group.is_some() { None } else { keep(&self.groups, shown) }
    }

    /// Reads ranges as `shown:kept:length`, one after the other, separated by colons, as fuse-overlayfs takes them.
    #[must_use]
    pub fn ranges(text: &str) -> Option<Vec<Range>> {
        let numbers: Vec<u32> = text.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
        if numbers.is_empty() || !numbers.len().is_multiple_of(3) {
            return None;
        }
        let ranges = numbers.chunks_exact(3);
        Some(ranges.map(|range| Range { shown: range[0], kept: range[1], length: range[2] }).collect())
    }
}

fn show(ranges: &[Range], kept: u32) -> u32 {
    if ranges.is_empty() {
        return kept;
    }
    let find = |range: &Range| {
        let offset = kept.checked_sub(range.kept)?;
        (offset < range.length).then(|| range.shown.saturating_add(offset))
    };
    ranges.iter().find_map(find).unwrap_or(NOBODY)
}

fn keep(ranges: &[Range], shown: u32) -> Option<u32> {
    if ranges.is_empty() {
        return Some(shown);
    }
    ranges.iter().find_map(|range| {
        let offset = shown.checked_sub(range.shown)?;
        (offset < range.length).then(|| range.kept.saturating_add(offset))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_map_both_ways() {
        let users = Ids::ranges("0:1000:1:1:100000:65536").unwrap();
        let ids = Ids { users, ..Ids::default() };
        for (shown, kept) in [(0, 1000), (1, 100_000), (65_536, 165_535)] {
            assert_eq!((ids.shown_user(kept), ids.kept_user(shown)), (shown, Some(kept)));
        }
        assert_eq!((ids.shown_user(7), ids.kept_user(70_000)), (NOBODY, None));
        assert_eq!((ids.shown_group(7), ids.kept_group(7)), (7, Some(7)));
        for wrong in ["", "1:2", "a:b:c", "1:2:3:4"] {
            assert_eq!(Ids::ranges(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn squashed_owners_are_shown_and_never_kept() {
        let ids = Ids { squash_user: Some(0), squash_group: Some(5), ..Ids::default() };
        assert_eq!((ids.shown_user(9), ids.shown_group(9)), (0, 5));
        assert_eq!((ids.kept_user(9), ids.kept_group(9)), (None, None));
    }
}
