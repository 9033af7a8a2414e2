//! Rebuilds a tar from its recipe and its tree.

use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom, Write};

use super::{Operation, Reader, RecipeError};
use crate::digest::{HashingWriter, Measured};
use crate::tar::Segment;

/// How much of a file is read at a time.
const BUFFER_BYTES: usize = 128 << 10;

/// A temporary file as [`rebuild`] uses it.
pub trait ReadWriteSeek: Read + Write + Seek {}

impl<T: Read + Write + Seek + ?Sized> ReadWriteSeek for T {}

/// A file that can be read anywhere.
pub trait ReadAt {
    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` where the file ends before the buffer is full; what reading answers.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

/// The tree of a layer, as far as rebuilding needs it.
pub trait RecipeTree {
    /// Opens the regular file at `path`, which is raw as the recipe names it and must be resolved within the tree.
    ///
    /// # Errors
    ///
    /// What opening answers.
    fn open(&mut self, path: &[u8]) -> io::Result<Box<dyn ReadAt>>;

    /// Makes an anonymous temporary file for displaced contents; asked for at most once.
    ///
    /// # Errors
    ///
    /// What making it answers.
    fn scratch(&mut self) -> io::Result<Box<dyn ReadWriteSeek>>;
}

/// Writes the tar that a recipe describes to `out` and gives its measure.
///
/// The recipe is opened twice: first to gather the contents of files that later entries of the layer replaced, then
/// to write. Nothing is written before the whole recipe was found sound.
///
/// # Errors
///
/// [`RecipeError::Mismatch`] where the bytes differ from those that were recorded: what was written is void then, as
/// it is after every other error.
pub fn rebuild(
    open_recipe: &mut dyn FnMut() -> io::Result<Box<dyn Read>>,
    tree: &mut dyn RecipeTree,
    out: &mut dyn Write,
) -> Result<Measured, RecipeError> {
    let displaced = DisplacedContents::gather(&mut open(open_recipe)?, tree)?;
    let mut reader = open(open_recipe)?;
    let mut rebuilding = Rebuilding {
        tree,
        displaced,
        out: HashingWriter::new(out),
        opened: None,
        buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
    };
    for (position, operation) in (0..).zip(reader.by_ref()) {
        rebuilding.follow(position, operation?)?;
    }
    let (out, actual) = rebuilding.out.finish();
    out.flush().map_err(|source| RecipeError::Output { source })?;
    match reader.trailer().and_then(|trailer| trailer.measured) {
        Some(expected) if expected != actual => Err(RecipeError::Mismatch { expected, actual }),
        _ => Ok(actual),
    }
}

fn open(
    open_recipe: &mut dyn FnMut() -> io::Result<Box<dyn Read>>,
) -> Result<Reader<Box<dyn Read>>, RecipeError> {
    Reader::new(open_recipe().map_err(|source| RecipeError::Read { operation: 0, source })?)
}

/// Where a displaced content lies in the temporary file.
struct Content {
    /// The position of its operation: it stands for files named before.
    operation: u64,
    offset: u64,
    length: u64,
}

/// The contents that later entries replaced.
struct DisplacedContents {
    /// For each path in the order of their operations.
    by_path: HashMap<Vec<u8>, Vec<Content>>,
    scratch: Option<Box<dyn ReadWriteSeek>>,
}

impl DisplacedContents {
    /// Reads a whole recipe and copies displaced contents to a temporary file, which is made only if there are any.
    fn gather(reader: &mut Reader<Box<dyn Read>>, tree: &mut dyn RecipeTree) -> Result<Self, RecipeError> {
        let mut contents = Self { by_path: HashMap::new(), scratch: None };
        let mut buffer = vec![0; BUFFER_BYTES];
        let (mut operation, mut offset) = (0, 0);
        while let Some(next) = reader.next() {
            if let Operation::Displaced { path, length } = next? {
                if contents.scratch.is_none() {
                    let made = tree.scratch();
                    contents.scratch = Some(made.map_err(|source| scratch_error(&path, source))?);
                }
                while let count @ 1.. = reader.read_content(&mut buffer)? {
                    contents.keep(&path, &buffer[..count])?;
                }
                contents.by_path.entry(path).or_default().push(Content { operation, offset, length });
                offset += length;
            }
            operation += 1;
        }
        Ok(contents)
    }

    fn keep(&mut self, path: &[u8], bytes: &[u8]) -> Result<(), RecipeError> {
        match &mut self.scratch {
            Some(scratch) => scratch.write_all(bytes).map_err(|source| scratch_error(path, source)),
            None => Ok(()),
        }
    }

    /// Says where the content lies that `path` meant at operation `position`, if it was replaced after that.
    fn find(&self, path: &[u8], position: u64) -> Option<(u64, u64)> {
        let contents = self.by_path.get(path)?;
        let next = contents.partition_point(|content| content.operation <= position);
        contents.get(next).map(|content| (content.offset, content.length))
    }

    fn read(&mut self, path: &[u8], buffer: &mut [u8], offset: u64) -> Result<(), RecipeError> {
        let Some(scratch) = &mut self.scratch else {
            return Ok(());
        };
        let read = scratch.seek(SeekFrom::Start(offset)).and_then(|_| scratch.read_exact(buffer));
        read.map_err(|source| scratch_error(path, source))
    }
}

fn scratch_error(path: &[u8], source: io::Error) -> RecipeError {
    RecipeError::Scratch { path: path.to_vec(), source }
}

/// The second pass.
struct Rebuilding<'a> {
    tree: &'a mut dyn RecipeTree,
    displaced: DisplacedContents,
    out: HashingWriter<&'a mut dyn Write>,
    /// The file that was read last: an operation of the same path often follows.
    opened: Option<(Vec<u8>, Box<dyn ReadAt>)>,
    buffer: Box<[u8]>,
}

impl Rebuilding<'_> {
    fn follow(&mut self, position: u64, operation: Operation) -> Result<(), RecipeError> {
        match operation {
            Operation::Structure(bytes) => self.write(&bytes),
            Operation::Zeros(count) => self.write_zeros(count),
            Operation::File { path, segments } => match self.displaced.find(&path, position) {
                Some(content) => self.copy_displaced(position, &path, &segments, content),
                None => self.copy_file(path, &segments),
            },
            Operation::Displaced { .. } => Ok(()),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), RecipeError> {
        self.out.write_all(bytes).map_err(|source| RecipeError::Output { source })
    }

    fn write_zeros(&mut self, mut count: u64) -> Result<(), RecipeError> {
        self.buffer.fill(0);
        while count > 0 {
            let length = piece(count);
            write(&mut self.out, &self.buffer[..length])?;
            count -= length as u64;
        }
        Ok(())
    }

    fn copy_file(&mut self, path: Vec<u8>, segments: &[Segment]) -> Result<(), RecipeError> {
        let (path, file) = match self.opened.take() {
            Some((opened, file)) if opened == path => (path, file),
            _ => match self.tree.open(&path) {
                Ok(file) => (path, file),
                Err(source) => return Err(RecipeError::Tree { path, source }),
            },
        };
        for segment in segments {
            let (mut offset, end) = (segment.offset, segment.offset + segment.length);
            while offset < end {
                let buffer = &mut self.buffer[..piece(end - offset)];
                if let Err(source) = file.read_exact_at(buffer, offset) {
                    return Err(RecipeError::Tree { path, source });
                }
                write(&mut self.out, buffer)?;
                offset += buffer.len() as u64;
            }
        }
        self.opened = Some((path, file));
        Ok(())
    }

    /// Copies ranges of a displaced content, which starts and ends within the temporary file.
    fn copy_displaced(
        &mut self,
        operation: u64,
        path: &[u8],
        segments: &[Segment],
        (start, length): (u64, u64),
    ) -> Result<(), RecipeError> {
        for segment in segments {
            let (mut offset, end) = (segment.offset, segment.offset + segment.length);
            if end > length {
                return Err(RecipeError::Corrupt { operation, reason: "a range past a displaced content" });
            }
            while offset < end {
                let buffer = &mut self.buffer[..piece(end - offset)];
                self.displaced.read(path, buffer, start + offset)?;
                write(&mut self.out, buffer)?;
                offset += buffer.len() as u64;
            }
        }
        Ok(())
    }
}

fn write(out: &mut HashingWriter<&mut dyn Write>, bytes: &[u8]) -> Result<(), RecipeError> {
    out.write_all(bytes).map_err(|source| RecipeError::Output { source })
}

/// Gives how many of `left` bytes are handled next.
fn piece(left: u64) -> usize {
    usize::try_from(left).map_or(BUFFER_BYTES, |left| left.min(BUFFER_BYTES))
}
