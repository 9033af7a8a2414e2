//! Media types of OCI and of docker's schema 2.

use plywood_archive::compression::Compression;

pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub(crate) const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// Every layer type that is taken: how it is packed, and whether it is foreign.
const LAYERS: [(&str, Compression, bool); 11] = [
    ("application/vnd.oci.image.layer.v1.tar", Compression::None, false),
    ("application/vnd.oci.image.layer.v1.tar+gzip", Compression::Gzip, false),
    ("application/vnd.oci.image.layer.v1.tar+zstd", Compression::Zstd, false),
    ("application/vnd.oci.image.layer.nondistributable.v1.tar", Compression::None, true),
    ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", Compression::Gzip, true),
    ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", Compression::Zstd, true),
    (DOCKER_LAYER, Compression::None, false),
    ("application/vnd.docker.image.rootfs.diff.tar.gzip", Compression::Gzip, false),
    ("application/vnd.docker.image.rootfs.diff.tar.zstd", Compression::Zstd, false),
    ("application/vnd.docker.image.rootfs.foreign.diff.tar", Compression::None, true),
    ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Compression::Gzip, true),
];

/// What a descriptor of an index, or the document itself, says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DocumentKind {
    /// An index or manifest list.
    Index,
    /// A manifest.
    Manifest,
}

impl DocumentKind {
    /// The kind that a media type stands for, else why it is refused.
    pub(crate) fn of(media_type: &str) -> Result<Self, &'static str> {
        match media_type {
            OCI_INDEX | DOCKER_LIST => Ok(Self::Index),
            OCI_MANIFEST | DOCKER_MANIFEST => Ok(Self::Manifest),
            "application/vnd.docker.distribution.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v1+prettyjws" => {
                Err("schema 1 is too old; copy the image with a current tool first")
            }
            _ => Err("only OCI and docker schema 2 indexes and manifests are taken"),
        }
    }
}

/// What a layer's media type says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LayerKind {
    /// How it is packed.
    pub compression: Compression,
    /// It need not be there: it may have to be fetched from elsewhere.
    pub foreign: bool,
}

impl LayerKind {
    /// The kind that a media type stands for.
    pub(crate) fn of(media_type: &str) -> Option<Self> {
        let known = LAYERS.iter().find(|(known, ..)| *known == media_type);
        known.map(|&(_, compression, foreign)| Self { compression, foreign })
    }
}

/// The OCI media type of a layer packed so.
pub(crate) fn oci_layer(compression: Compression) -> String {
    format!("application/vnd.oci.image.layer.v1.tar{}", compression.media_type_suffix())
}

/// Docker's media type of a layer packed so; it has none for zstd.
pub(crate) fn docker_layer(compression: Compression) -> Option<String> {
    match compression {
        Compression::None => Some(DOCKER_LAYER.to_owned()),
        Compression::Gzip => Some(format!("{DOCKER_LAYER}.gzip")),
        Compression::Zstd => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let known = LayerKind { compression, foreign: false };
            assert_eq!(LayerKind::of(&oci_layer(compression)), Some(known));
            assert_eq!(
                docker_layer(compression).map_or(Some(known), |name| LayerKind::of(&name)),
                Some(known)
            );
        }
    }

    #[test]
    fn unknown_types_are_none() {
        for wrong in
            ["", "application/vnd.oci.image.layer.v1.tar+xz", "application/vnd.oci.image.layer.v1.tar.gzip"]
        {
            assert_eq!(LayerKind::of(wrong), None, "{wrong}");
        }
        assert!(DocumentKind::of("application/vnd.docker.distribution.manifest.v1+prettyjws").is_err());
        assert_eq!(DocumentKind::of(OCI_INDEX), Ok(DocumentKind::Index));
        assert_eq!(DocumentKind::of(DOCKER_MANIFEST), Ok(DocumentKind::Manifest));
    }
}
