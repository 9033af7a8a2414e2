//! A layer's tar, rebuilt byte for byte from its files and its recipe.

use std::io::{self, Read, Write};

use plywood_archive::digest::Measured;
use plywood_archive::recipe::{self, RecipeError};
use plywood_graphdriver::{Contents, LayerId, LayerRef};
use plywood_tree::ContentsFiles;

use crate::import::any_cause;
use crate::store::Inner;
use crate::{GraphError, LayerRecord, LayerState};

/// Writes the tar of a committed layer, and compares it with the diff id.
pub(crate) fn layer_tar(
    inner: &Inner,
    record: &LayerRecord,
    parents: &[LayerId],
    out: &mut dyn Write,
) -> Result<Measured, GraphError> {
    let corrupt =
        |reason: String| GraphError::Corrupt { what: format!("layer {}", record.id.short()), reason };
    let expected = match (record.state, record.diff_id) {
        (LayerState::Committed, Some(diff_id)) => diff_id,
        (LayerState::Damaged, _) => return Err(corrupt("it was found damaged earlier".to_owned())),
        (state, _) => {
            let reason = format!("layer {} is {}, not committed", record.id.short(), state.as_str());
            return Err(GraphError::Invalid { operation: "export layer", reason });
        }
    };
    let contents = inner.driver.contents(LayerRef::new(&record.id, parents))?;
    let measured = rebuild(inner, &record.id, &contents, out)?;
    if measured.digest != expected {
        let actual = measured.digest;
        return Err(corrupt(format!("its tar has the digest {actual}, and should have {expected}")));
    }
    Ok(measured)
}

/// Writes the tar that a layer's recipe describes.
pub(crate) fn rebuild(
    inner: &Inner,
    id: &LayerId,
    contents: &Contents,
    out: &mut dyn Write,
) -> Result<Measured, GraphError> {
    let mut open_recipe = || inner.open_recipe(id).map(|file| Box::new(file) as Box<dyn Read>);
    let mut files = ContentsFiles::new(contents, inner.temporary.descriptor());
    let mut watched = Watched { out, error: None };
    let rebuilt = recipe::rebuild(&mut open_recipe, &mut files, &mut watched);
    let written = watched.error;
    rebuilt.map_err(|error| {
        let what = format!("layer {}", id.short());
        if let Some(source) = written {
            return GraphError::Output { what, source };
        }
        let of_scratch = matches!(error, RecipeError::Scratch { .. });
        let error = GraphError::Source { what, source: io::Error::other(error) };
        if of_scratch || any_cause(&error, &is_of_the_system) { error } else { corrupt(error) }
    })
}

/// A failure that says nothing about the layer: no memory, no descriptors, no permission.
pub(crate) fn is_of_the_system(cause: &(dyn std::error::Error + 'static)) -> bool {
    use rustix::io::Errno;
    let code = cause.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
    let passing =
        [Errno::NOMEM, Errno::MFILE, Errno::NFILE, Errno::ACCESS, Errno::PERM, Errno::INTR, Errno::NOSPC];
    code.is_some_and(|code| passing.iter().any(|errno| errno.raw_os_error() == code))
}

fn corrupt(error: GraphError) -> GraphError {
    let GraphError::Source { what, source } = error else { return error };
    // The whole chain in one line: what is said about damage is stored in reports, which have no sources.
    let mut reason = source.to_string();
    let mut cause = source.get_ref().and_then(|inner| inner.source());
    while let Some(next) = cause {
        reason.push_str(": ");
        reason.push_str(&next.to_string());
        cause = next.source();
    }
    GraphError::Corrupt { what, reason }
}

/// Remembers the error of the writer, which is the reader's and no fault of the layer.
struct Watched<'a> {
    out: &'a mut dyn Write,
    error: Option<io::Error>,
}

impl Watched<'_> {
    fn note<T>(&mut self, answer: io::Result<T>) -> io::Result<T> {
        answer.map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted {
                self.error = Some(error);
            }
            kind.into()
        })
    }
}

impl Write for Watched<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let answer = self.out.write(bytes);
        self.note(answer)
    }

    fn flush(&mut self) -> io::Result<()> {
        let answer = self.out.flush();
        self.note(answer)
    }
}
