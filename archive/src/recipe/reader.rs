//! Reads a recipe operation by operation.

use std::io::{self, BufReader, Read};

use zstd::stream::read::Decoder;

use super::format::{
    MAGIC, PATH_BYTES, SEGMENTS, STRUCTURE_BYTES, TAG_DISPLACED, TAG_END, TAG_FILE, TAG_STRUCTURE, TAG_ZEROS,
    VERSION, WINDOW_LOG_MAX,
};
use super::{Operation, RecipeError, Trailer};
use crate::tar::Segment;

/// How much is unpacked at a time.
const BUFFER_BYTES: usize = 64 << 10;

/// Reads a recipe, one operation at a time. The content of a [`Operation::Displaced`] is read with
/// [`read_content`](Self::read_content) before the next operation is asked for, or passed over.
///
/// The iteration ends only at a trailer that agrees with the operations and after zstd's checksum was found right:
/// a recipe that is cut off or corrupt ends in an error.
pub struct Reader<R: Read> {
    plain: BufReader<Decoder<'static, BufReader<R>>>,
    /// Content of the last displaced file that was not read yet.
    content_bytes: u64,
    operations: u64,
    size_bytes: u64,
    trailer: Option<Trailer>,
    failed: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the header of a recipe.
    ///
    /// # Errors
    ///
    /// [`RecipeError`] where this is no recipe or one of a later version, and where reading fails.
    pub fn new(mut inner: R) -> Result<Self, RecipeError> {
        let read = |source| RecipeError::Read { operation: 0, source };
        let mut header = [0; MAGIC.len() + 1];
        match inner.read_exact(&mut header) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(RecipeError::Magic),
            result => result.map_err(read)?,
        }
        if !header.starts_with(&MAGIC) {
            return Err(RecipeError::Magic);
        }
        let version = header[MAGIC.len()];
        if version != VERSION {
            return Err(RecipeError::Version { found: version, known: VERSION });
        }
        let mut decoder = Decoder::new(inner).map_err(read)?;
        decoder.window_log_max(WINDOW_LOG_MAX).map_err(read)?;
        let plain = BufReader::with_capacity(BUFFER_BYTES, decoder);
        Ok(Self { plain, content_bytes: 0, operations: 0, size_bytes: 0, trailer: None, failed: false })
    }

    /// Reads further content of the displaced file that came last; 0 at its end.
    ///
    /// # Errors
    ///
    /// [`RecipeError::Read`] where reading fails or the recipe is cut off.
    pub fn read_content(&mut self, buffer: &mut [u8]) -> Result<usize, RecipeError> {
        let wanted = usize::try_from(self.content_bytes).map_or(buffer.len(), |left| left.min(buffer.len()));
        if wanted == 0 {
            return Ok(0);
        }
        let result = self.exactly(wanted, |plain| plain.read_exact(&mut buffer[..wanted]));
        self.failed |= result.is_err();
        result
    }

    /// Gives the trailer, once the operations have come to their end.
    pub fn trailer(&self) -> Option<&Trailer> {
        self.trailer.as_ref()
    }

    fn exactly(
        &mut self,
        count: usize,
        read: impl FnOnce(&mut BufReader<Decoder<'static, BufReader<R>>>) -> io::Result<()>,
    ) -> Result<usize, RecipeError> {
        read(&mut self.plain).map_err(|source| self.read_error(source))?;
        self.content_bytes -= count as u64;
        Ok(count)
    }

    fn read_error(&self, source: io::Error) -> RecipeError {
        RecipeError::Read { operation: self.operations, source }
    }

    fn corrupt(&self, reason: &'static str) -> RecipeError {
        RecipeError::Corrupt { operation: self.operations, reason }
    }

    fn next_operation(&mut self) -> Result<Option<Operation>, RecipeError> {
        self.pass_content()?;
        let [tag] = self.array()?;
        let operation = match tag {
            TAG_END => return self.end().map(|()| None),
            TAG_STRUCTURE => {
                Operation::Structure(self.bytes(STRUCTURE_BYTES, "a structure that is too long")?)
            }
            TAG_ZEROS => Operation::Zeros(self.number()?),
            TAG_FILE => Operation::File { path: self.path()?, segments: self.segments()? },
            TAG_DISPLACED => {
                let (path, length) = (self.path()?, self.number()?);
                self.content_bytes = length;
                Operation::Displaced { path, length }
            }
            _ => return Err(self.corrupt("an operation that is not known")),
        };
        let size = operation.tar_bytes().and_then(|count| self.size_bytes.checked_add(count));
        self.size_bytes = size.ok_or_else(|| self.corrupt("a size that overflows"))?;
        self.operations += 1;
        Ok(Some(operation))
    }

    fn pass_content(&mut self) -> Result<(), RecipeError> {
        let left = std::mem::take(&mut self.content_bytes);
        let passed = io::copy(&mut self.plain.by_ref().take(left), &mut io::sink());
        if passed.map_err(|source| self.read_error(source))? < left {
            return Err(self.read_error(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(())
    }

    /// Checks the trailer, and that nothing follows; zstd checks its checksum in doing so.
    fn end(&mut self) -> Result<(), RecipeError> {
        let trailer = Trailer::decode(&self.array()?).ok_or_else(|| self.corrupt("a malformed trailer"))?;
        if trailer.operations != self.operations || trailer.size_bytes != self.size_bytes {
            return Err(self.corrupt("a trailer that does not agree with the operations"));
        }
        let mut following = [0];
        if self.plain.read(&mut following).map_err(|source| self.read_error(source))? > 0 {
            return Err(self.corrupt("data after the trailer"));
        }
        self.trailer = Some(trailer);
        Ok(())
    }

    fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], RecipeError> {
        let mut bytes = [0; LENGTH];
        self.plain.read_exact(&mut bytes).map_err(|source| self.read_error(source))?;
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u64, RecipeError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.corrupt("a number of more than 64 bits"))
    }

    fn count(&mut self, limit: usize, reason: &'static str) -> Result<usize, RecipeError> {
        let count = self.number()?;
        usize::try_from(count).ok().filter(|count| *count <= limit).ok_or_else(|| self.corrupt(reason))
    }

    fn bytes(&mut self, limit: usize, reason: &'static str) -> Result<Vec<u8>, RecipeError> {
        // Bounded by a small limit, so that setting it aside at once is safe.
        let mut bytes = vec![0; self.count(limit, reason)?];
        self.plain.read_exact(&mut bytes).map_err(|source| self.read_error(source))?;
        Ok(bytes)
    }

    fn path(&mut self) -> Result<Vec<u8>, RecipeError> {
        let path = self.bytes(PATH_BYTES, "a path that is too long")?;
        if path.is_empty() { Err(self.corrupt("an empty path")) } else { Ok(path) }
    }

    fn segments(&mut self) -> Result<Vec<Segment>, RecipeError> {
        let count = self.count(SEGMENTS, "too many ranges")?;
        let mut segments = Vec::with_capacity(count);
        for _ in 0..count {
            let segment = Segment { offset: self.number()?, length: self.number()? };
            if segment.offset.checked_add(segment.length).is_none() {
                return Err(self.corrupt("a range that overflows"));
            }
            segments.push(segment);
        }
        Ok(segments)
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Operation, RecipeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.trailer.is_some() {
            return None;
        }
        let result = self.next_operation().transpose();
        self.failed = matches!(result, Some(Err(_)));
        result
    }
}
