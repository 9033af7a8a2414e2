//! Snapshots with mapped ids: containerd says how in two labels, where the plugin is configured with the capability `remap-ids`.

use std::collections::BTreeMap;

use tonic::Status;

/// How users are mapped: `INSIDE:OUTSIDE:COUNT`, several separated by commas.
const USERS: &str = "containerd.io/snapshot/uidmapping";
/// The same of groups.
const GROUPS: &str = "containerd.io/snapshot/gidmapping";

/// The mappings that labels ask for, as the mount options that containerd takes itself; none where they ask for none.
pub(crate) fn options(labels: &BTreeMap<String, String>) -> Vec<String> {
    let option = |label: &str, name: &str| labels.get(label).map(|mapping| format!("{name}={mapping}"));
    [option(USERS, "uidmap"), option(GROUPS, "gidmap")].into_iter().flatten().collect()
}

/// The user and the group outside that are root inside, where labels map ids.
///
/// # Errors
/// `InvalidArgument` for a mapping that is none, or that has no root.
#[allow(clippy::result_large_err, reason = "tonic's own type")]
pub(crate) fn root(labels: &BTreeMap<String, String>) -> Result<Option<(u32, u32)>, Status> {
    match (labels.get(USERS), labels.get(GROUPS)) {
        (None, None) => Ok(None),
        (users, groups) => {
            let outside = |label: &str, mapping: Option<&String>| {
                let mapping = mapping.map_or("", String::as_str);
                outside_root(mapping).ok_or_else(|| {
                    Status::invalid_argument(format!("the label {label}={mapping} maps no root"))
                })
            };
            Ok(Some((outside(USERS, users)?, outside(GROUPS, groups)?)))
        }
    }
}

/// What a mapping maps 0 to.
fn outside_root(mapping: &str) -> Option<u32> {
    let mut root = None;
    for range in mapping.split(',') {
        let numbers: Vec<u32> = range.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
        let [inside, outside, count] = numbers[..] else { return None };
        if inside == 0 && count > 0 {
            root = Some(outside);
        }
    }
    root
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn labels(users: &str, groups: &str) -> BTreeMap<String, String> {
        [(USERS, users), (GROUPS, groups)].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    #[test]
    fn the_root_outside_is_found() {
        assert_eq!(root(&BTreeMap::new()).unwrap(), None);
        assert_eq!(root(&labels("0:1000:65536", "0:2000:65536")).unwrap(), Some((1000, 2000)));
        assert_eq!(root(&labels("5:9:1,0:1000:5", "0:7:1")).unwrap(), Some((1000, 7)));
        for wrong in ["", "0:1", "1:1000:5", "0:x:1", "0:1:0", "0:1000:5,"] {
            assert!(root(&labels(wrong, "0:1:1")).is_err(), "{wrong}");
        }
        let options = options(&labels("0:1000:65536", "0:2000:65536"));
        assert_eq!(options, ["uidmap=0:1000:65536", "gidmap=0:2000:65536"]);
    }
}
