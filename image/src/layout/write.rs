//! Writing into a layout's folder, where others may be writing too.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use plywood_archive::digest::{Digest, HashingReader, HashingWriter, Measured};
use rustix::fs::{Dir, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde_json::{Value, json};

use super::confined::Folder;
use super::{INDEX, MARKER, MARKER_CONTENT, check_marker, read_document};
use crate::ImageError;
use crate::document::{Descriptor, parse};
use crate::media_type::OCI_INDEX;
use crate::packing::{BlobSink, Fill};
use crate::partial::{PARTIAL, Partial};

/// Bytes collected before each write.
const BUFFER_BYTES: usize = 256 << 10;

/// A layout's folder that is written to.
///
/// Blobs are complete and durable before they get their name, and all blobs are there before the index names them.
/// The index is changed under a `flock` on the folder itself, which leaves no file behind, so that of two writers
/// at once neither loses an image.
#[derive(Debug)]
pub(crate) struct LayoutFolder {
    root: Folder,
    blobs: Folder,
}

impl LayoutFolder {
    /// Opens a layout, or makes one of a folder that is empty or not there.
    pub(crate) fn open_or_create(path: &Path, location: &str) -> Result<Self, ImageError> {
        make_with_parents(path).map_err(ImageError::io("make", path.display()))?;
        let root = Folder::open(path, location)?;
        let lock = lock(&root)?;
        if root.file(MARKER)?.is_some() {
            check_marker(&root)?;
        } else if let Some(name) = foreign_file(&root)? {
            let reason = format!(
                "it is no layout, and has '{name}' in it; choose a layout, or an empty or new folder"
            );
            return Err(ImageError::unusable(location, reason));
        }
        make_folder(&root, "blobs")?;
        let blobs = root.folder("blobs")?;
        make_folder(&blobs, "sha256")?;
        let blobs = root.folder("blobs/sha256")?;
        if root.file(MARKER)?.is_none() {
            if root.file(INDEX)?.is_none() {
                replace(&root, INDEX, &new_index(&[])?)?;
            }
            replace(&root, MARKER, MARKER_CONTENT)?;
        }
        drop(lock);
        Ok(Self { root, blobs })
    }

    /// Lists an image whose blobs are all there, in place of the one that had the name.
    pub(crate) fn list(&self, image: &Descriptor) -> Result<(), ImageError> {
        sync(&self.blobs, "blobs/sha256")?;
        let _lock = lock(&self.root)?;
        let mut index: Value = match self.root.file(INDEX)? {
            Some(_) => parse(&read_document(&self.root, INDEX)?, self.location(), INDEX)?,
            None => serde_json::from_slice(&new_index(&[])?).map_err(unprintable)?,
        };
        let Some(images) = index.get_mut("manifests").and_then(Value::as_array_mut) else {
            return Err(ImageError::malformed(self.location(), INDEX, "it has no list of manifests"));
        };
        images.retain(|other| !is_replaced_by(other, image));
        images.push(index_entry(image)?);
        replace(&self.root, INDEX, &serde_json::to_vec(&index).map_err(unprintable)?)
    }
}

impl BlobSink for LayoutFolder {
    fn location(&self) -> &str {
        use super::Files;
        self.root.location()
    }

    fn size_of(&self, digest: &Digest) -> Result<Option<u64>, ImageError> {
        let Some((file, size_bytes)) = self.blobs.file(&digest.hex())? else { return Ok(None) };
        let mut reader = HashingReader::new(file);
        let copied = std::io::copy(&mut reader, &mut std::io::sink());
        copied.map_err(ImageError::io("read", self.blobs.shown(&digest.hex())))?;
        let measured = reader.finish();
        Ok((measured.digest == *digest && measured.size_bytes == size_bytes).then_some(size_bytes))
    }

    fn put(&mut self, fill: Fill<'_>) -> Result<Measured, ImageError> {
        let partial = Partial::create(&self.blobs)?;
        let mut writer = HashingWriter::new(BufWriter::with_capacity(BUFFER_BYTES, partial.file()));
        fill(&mut writer)?;
        let (mut buffer, measured) = writer.finish();
        buffer.flush().map_err(ImageError::io("write", partial.shown()))?;
        drop(buffer);
        if self.size_of(&measured.digest)? != Some(measured.size_bytes) {
            partial.publish(&measured.digest.hex())?;
        }
        Ok(measured)
    }
}

/// An index that lists these images, as JSON.
pub(crate) fn new_index(images: &[Descriptor]) -> Result<Vec<u8>, ImageError> {
    let images = images.iter().map(index_entry).collect::<Result<Vec<Value>, ImageError>>()?;
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": images });
    serde_json::to_vec(&index).map_err(unprintable)
}

/// An image as an index lists it.
fn index_entry(image: &Descriptor) -> Result<Value, ImageError> {
    serde_json::to_value(image).map_err(unprintable)
}

fn unprintable(source: serde_json::Error) -> ImageError {
    ImageError::Document { location: "layout".to_owned(), member: INDEX.to_owned(), source }
}

/// An entry gives way to one of its name; one without a name only to itself.
fn is_replaced_by(other: &Value, image: &Descriptor) -> bool {
    let name = other.pointer("/annotations/org.opencontainers.image.ref.name").and_then(Value::as_str);
    let same_digest =
        || other.get("digest").and_then(Value::as_str) == Some(image.digest.to_string().as_str());
    name == image.reference_name() && (name.is_some() || same_digest())
}

/// Waits for the folder's other writers. Closing the answer lets them go on.
fn lock(folder: &Folder) -> Result<File, ImageError> {
    // A descriptor of its own: one that was duplicated would share its lock.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let own = rustix::fs::openat(folder.fd(), ".", flags, Mode::empty())
        .map_err(ImageError::io("open", folder.shown(".")))?;
    rustix::fs::flock(&own, FlockOperation::LockExclusive)
        .map_err(ImageError::io("lock", folder.shown(".")))?;
    Ok(File::from(own))
}

/// Makes the folder that the user named, and those above it.
fn make_with_parents(path: &Path) -> rustix::io::Result<()> {
    let make = || rustix::fs::mkdir(path, Mode::from_raw_mode(0o755));
    let made = match (make(), path.parent()) {
        (Err(Errno::NOENT), Some(parent)) if !parent.as_os_str().is_empty() => {
            make_with_parents(parent)?;
            make()
        }
        (made, _) => made,
    };
    if made == Err(Errno::EXIST) { Ok(()) } else { made }
}

fn make_folder(parent: &Folder, name: &str) -> Result<(), ImageError> {
    match rustix::fs::mkdirat(parent.fd(), name, Mode::from_raw_mode(0o755)) {
        Ok(()) => sync(parent, "."),
        Err(Errno::EXIST) => Ok(()),
        Err(error) => {
            Err(ImageError::Io { operation: "make", path: parent.shown(name), source: error.into() })
        }
    }
}

/// Writes a small file whole or not at all.
fn replace(folder: &Folder, name: &str, bytes: &[u8]) -> Result<(), ImageError> {
    let partial = Partial::create(folder)?;
    (partial.file()).write_all(bytes).map_err(ImageError::io("write", folder.shown(name)))?;
    partial.publish(name)?;
    sync(folder, ".")
}

fn sync(folder: &Folder, name: &str) -> Result<(), ImageError> {
    rustix::fs::fsync(folder.fd()).map_err(ImageError::io("sync", folder.shown(name)))
}

/// A file that does not come from a layout being made, by somebody who perhaps did not get to its marker.
fn foreign_file(folder: &Folder) -> Result<Option<String>, ImageError> {
    let listed = || ImageError::io("list", folder.shown("."));
    for entry in Dir::read_from(folder.fd()).map_err(listed())? {
        let entry = entry.map_err(listed())?;
        let name = entry.file_name().to_string_lossy();
        if !matches!(&*name, "." | ".." | "blobs" | INDEX) && !name.starts_with(PARTIAL) {
            return Ok(Some(name.into_owned()));
        }
    }
    Ok(None)
}
