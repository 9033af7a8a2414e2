//! What a text that somebody typed means: a name, an id, the beginning of an id.

use std::collections::BTreeMap;

use plywood_archive::digest::Digest;
use rusqlite::Connection;

use crate::database::{containers, images, layers};
use crate::{ContainerRecord, GraphError, LayerRecord, Reference};

/// Fewer digits of an id are not taken for one.
const FEWEST_DIGITS: usize = 4;

/// An image as found: its id, and the name that it was found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundImage {
    pub(crate) id: Digest,
    pub(crate) name: Option<Reference>,
}

/// The image that `query` means: a name in full, a name without its registry, an id or its beginning, or
/// a digest of a manifest. Names go before ids.
pub(crate) fn image(connection: &Connection, query: &str) -> Result<FoundImage, GraphError> {
    let not_found = || GraphError::NotFound { what: "image", query: query.to_owned() };
    if let Some(hex) = query.strip_prefix("sha256:") {
        return by_digits(connection, query, hex)?.ok_or_else(not_found);
    }
    if let Ok(reference) = query.parse::<Reference>()
        && let Some(found) = by_name(connection, query, &reference)?
    {
        return Ok(found);
    }
    by_digits(connection, query, query)?.ok_or_else(not_found)
}

fn by_name(
    connection: &Connection,
    query: &str,
    reference: &Reference,
) -> Result<Option<FoundImage>, GraphError> {
    let names = images::names(connection)?;
    if let Some((name, id)) = names.iter().find(|(name, _)| name == reference) {
        return Ok(Some(FoundImage { id: *id, name: Some(name.clone()) }));
    }
    if let Some(digest) = reference.digest()
        && let Some(id) = by_name_and_digest(connection, &names, reference, digest)?
    {
        return Ok(Some(FoundImage { id, name: None }));
    }
    let short = reference.domain() == "localhost" && !query.starts_with("localhost/");
    let fitting = names.into_iter().filter(|(name, _)| short && name.ends_with(reference));
    let fitting: BTreeMap<Reference, Digest> = fitting.collect();
    let first = fitting.first_key_value().map(|(name, id)| FoundImage { id: *id, name: Some(name.clone()) });
    if fitting.len() > 1 {
        let candidates = fitting.keys().map(ToString::to_string).collect();
        return Err(GraphError::Ambiguous { query: query.to_owned(), candidates });
    }
    Ok(first)
}

/// `NAME@DIGEST` is the image with that manifest, if any name of it is `NAME`, whatever the tag.
fn by_name_and_digest(
    connection: &Connection,
    names: &[(Reference, Digest)],
    reference: &Reference,
    digest: &Digest,
) -> Result<Option<Digest>, GraphError> {
    let with_manifest = images::ids_by_manifest(connection, digest)?;
    let has_name = |id: &Digest| names.iter().any(|(name, of)| of == id && name.name() == reference.name());
    Ok(with_manifest.into_iter().find(has_name))
}

fn by_digits(connection: &Connection, query: &str, digits: &str) -> Result<Option<FoundImage>, GraphError> {
    if !are_digits(digits, 64) {
        return Ok(None);
    }
    let mut ids = images::ids_by_prefix(connection, digits)?;
    if ids.is_empty()
        && let Ok(digest) = format!("sha256:{digits}").parse::<Digest>()
    {
        ids = images::ids_by_manifest(connection, &digest)?;
    }
    if ids.len() > 1 {
        let candidates = ids.iter().map(ToString::to_string).collect();
        return Err(GraphError::Ambiguous { query: query.to_owned(), candidates });
    }
    Ok(ids.pop().map(|id| FoundImage { id, name: None }))
}

fn are_digits(text: &str, most: usize) -> bool {
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (FEWEST_DIGITS..=most).contains(&text.len()) && text.bytes().all(digit)
}

/// The container that `query` means: a name, an id or its beginning.
pub(crate) fn container(connection: &Connection, query: &str) -> Result<ContainerRecord, GraphError> {
    if let Some(container) = containers::by_name(connection, query)? {
        return Ok(container);
    }
    let mut found =
        if are_digits(query, 64) { containers::by_prefix(connection, query)? } else { Vec::new() };
    if found.len() > 1 {
        let candidates =
            found.iter().map(|container| format!("{} ({})", container.name, container.id)).collect();
        return Err(GraphError::Ambiguous { query: query.to_owned(), candidates });
    }
    found.pop().ok_or_else(|| GraphError::NotFound { what: "container", query: query.to_owned() })
}

/// The layer whose id `query` is, or begins with.
pub(crate) fn layer(connection: &Connection, query: &str) -> Result<LayerRecord, GraphError> {
    let mut found = if are_digits(query, 32) { layers::by_prefix(connection, query)? } else { Vec::new() };
    if found.len() > 1 {
        let candidates = found.iter().map(|row| row.record.id.to_string()).collect();
        return Err(GraphError::Ambiguous { query: query.to_owned(), candidates });
    }
    let found = found.pop().ok_or_else(|| GraphError::NotFound { what: "layer", query: query.to_owned() })?;
    Ok(found.record)
}
