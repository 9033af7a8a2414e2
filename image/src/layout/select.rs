//! Which image of a layout is meant: by reference, then by platform.

use std::collections::HashSet;

use plywood_archive::digest::Digest;

use super::{Layout, blob_name};
use crate::document::{Descriptor, Index, Manifest};
use crate::media_type::DocumentKind;
use crate::{ImageError, Platform};

/// How far indexes may be nested.
const DEEPEST_INDEX: usize = 8;

/// An entry of a layout's index, with all entries of the same name.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// The name, where there is one.
    pub reference: Option<String>,
    /// The full name that containerd and docker add.
    pub containerd_name: Option<String>,
    /// Manifests and indexes of that name; several where an index is spread out.
    pub entries: Vec<Descriptor>,
}

/// Groups an index by name. Entries without a name are one image each, unless platforms tell them apart.
pub(crate) fn candidates(index: &Index) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    for entry in &index.manifests {
        let name = (entry.reference_name(), entry.containerd_name());
        let same = found.iter_mut().find(|candidate| {
            let known = (candidate.reference.as_deref(), candidate.containerd_name.as_deref());
            let named = name != (None, None);
            known == name && (named || candidate.entries.iter().all(|other| told_apart(entry, other)))
        });
        match same {
            Some(candidate) => candidate.entries.push(entry.clone()),
            None => found.push(Candidate {
                reference: name.0.map(str::to_owned),
                containerd_name: name.1.map(str::to_owned),
                entries: vec![entry.clone()],
            }),
        }
    }
    found
}

fn told_apart(one: &Descriptor, other: &Descriptor) -> bool {
    one.digest == other.digest || matches!((one.platform(), other.platform()), (Some(a), Some(b)) if a != b)
}

/// The one image that `reference` names, or the only one.
pub(crate) fn choose(layout: &Layout, reference: Option<&str>) -> Result<Candidate, ImageError> {
    let mut found = candidates(&layout.index()?);
    if found.is_empty() {
        return Err(ImageError::unusable(layout.location(), "there is no image in it"));
    }
    let present = names(&found);
    let location = layout.location().to_owned();
    if let Some(reference) = reference {
        let exact = found.iter().position(|candidate| candidate.reference.as_deref() == Some(reference));
        let full =
            || found.iter().position(|candidate| candidate.containerd_name.as_deref() == Some(reference));
        let Some(place) = exact.or_else(full) else {
            return Err(ImageError::NoSuchReference { location, reference: reference.to_owned(), present });
        };
        return Ok(found.swap_remove(place));
    }
    match found.len() {
        1 => Ok(found.swap_remove(0)),
        _ => Err(ImageError::SeveralImages { location, present }),
    }
}

fn names(candidates: &[Candidate]) -> Vec<String> {
    let name = |candidate: &Candidate| match (&candidate.reference, &candidate.containerd_name) {
        (Some(name), _) | (None, Some(name)) => name.clone(),
        (None, None) => "one without a name".to_owned(),
    };
    let mut names: Vec<String> = candidates.iter().map(name).collect();
    names.sort();
    names.dedup();
    names
}

/// What was found below an index.
#[derive(Default)]
struct Gathered {
    seen: HashSet<Digest>,
    manifests: Vec<Descriptor>,
}

impl Layout {
    /// The manifest among `entries` and the indexes below them that serves `platform` best. Where `any` says so, a
    /// manifest that stands alone is taken whatever its platform.
    pub(crate) fn manifest_for(
        &self,
        entries: &[Descriptor],
        platform: &Platform,
        any: bool,
    ) -> Result<Descriptor, ImageError> {
        let mut gathered = Gathered::default();
        for entry in entries {
            self.gather(entry, 0, &mut gathered)?;
        }
        match gathered.manifests.as_slice() {
            [only] if any && entries.iter().all(|entry| entry.digest == only.digest) => Ok(only.clone()),
            [] => Err(self.nothing_usable(entries)),
            _ => self.best_of(gathered.manifests, platform),
        }
    }

    /// Every manifest of the layout, of whatever name and platform. An index that cannot be read is left out.
    pub(crate) fn all_manifests(&self) -> Result<Vec<Descriptor>, ImageError> {
        let mut gathered = Gathered::default();
        for entry in &self.index()?.manifests {
            if let Err(error) = self.gather(entry, 0, &mut gathered) {
                tracing::warn!(%error, "an index of the layout is left out");
            }
        }
        Ok(gathered.manifests)
    }

    fn best_of(&self, manifests: Vec<Descriptor>, wanted: &Platform) -> Result<Descriptor, ImageError> {
        // A manifest that says no platform (`None`) is good enough where nothing better is there.
        let mut best: Option<(Option<u32>, Descriptor)> = None;
        let mut present = Vec::new();
        for manifest in manifests {
            let suitability = match self.platform_of(&manifest)? {
                None => None,
                Some(platform) => {
                    // Attestations stand beside the images under this name.
                    if platform.os != "unknown" {
                        present.push(platform.to_string());
                    }
                    let Some(suitability) = platform.suitability(wanted) else { continue };
                    Some(suitability)
                }
            };
            if best.as_ref().is_none_or(|(known, _)| *known < suitability) {
                best = Some((suitability, manifest));
            }
        }
        present.sort();
        present.dedup();
        best.map(|(_, manifest)| manifest).ok_or_else(|| ImageError::NoPlatform {
            location: self.location().to_owned(),
            wanted: wanted.to_string(),
            present,
        })
    }

    /// Gathers the manifests at and below an entry. What was seen is not looked at again, so that no index can make
    /// this long; of what is neither manifest nor index only the type is kept, as the specification asks.
    fn gather(&self, entry: &Descriptor, depth: usize, gathered: &mut Gathered) -> Result<(), ImageError> {
        if !gathered.seen.insert(entry.digest) {
            return Ok(());
        }
        let member = blob_name(&entry.digest);
        match DocumentKind::of(&entry.media_type) {
            Err(_) => {}
            Ok(DocumentKind::Manifest) => gathered.manifests.push(entry.clone()),
            Ok(DocumentKind::Index) if depth == DEEPEST_INDEX => {
                let reason = format!("indexes are nested more than {DEEPEST_INDEX} deep");
                return Err(ImageError::malformed(self.location(), member, reason));
            }
            Ok(DocumentKind::Index) => {
                let bytes = self.document(entry)?;
                let index = Index::parse(&bytes, Some(&entry.media_type), self.location(), &member)?;
                for below in &index.manifests {
                    self.gather(below, depth + 1, gathered)?;
                }
            }
        }
        Ok(())
    }

    /// Why there is no manifest at all: the type of the first entry, or an empty index.
    fn nothing_usable(&self, entries: &[Descriptor]) -> ImageError {
        let location = self.location().to_owned();
        let refused =
            entries.iter().find_map(|entry| Some((entry, DocumentKind::of(&entry.media_type).err()?)));
        match refused {
            Some((entry, reason)) => ImageError::MediaType {
                location,
                member: entry.digest.to_string(),
                media_type: entry.media_type.clone(),
                reason,
            },
            None => ImageError::unusable(&location, "its indexes have no manifest that is understood"),
        }
    }

    /// The platform of a manifest: as its descriptor says, else as its config does.
    fn platform_of(&self, descriptor: &Descriptor) -> Result<Option<Platform>, ImageError> {
        if let Some(platform) = descriptor.platform() {
            return Ok(Some(platform));
        }
        let member = blob_name(&descriptor.digest);
        let bytes = self.document(descriptor)?;
        let manifest = Manifest::parse(&bytes, Some(&descriptor.media_type), self.location(), &member)?;
        let (_, config) = self.config_of(&manifest)?;
        Ok(config.platform())
    }
}
