//! Inflating with ISA-L, Intel's library for storage: the fastest inflate that works on streams (docs/adr/0008).

use std::error::Error;
use std::fmt;
use std::ptr;

use isal_sys::igzip_lib as isal;

/// One deflate stream of a gzip member, its header left out and its trailer verified.
pub struct Inflater {
    /// Its pointers are null between calls.
    state: Box<isal::inflate_state>,
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input that were used.
    pub consumed: usize,
    /// Bytes of the output that were written.
    pub produced: usize,
    /// The stream is over, its checksum and length verified; nothing after the trailer was consumed.
    pub finished: bool,
}

/// ISA-L refused the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CorruptDeflate {
    /// What `isal_inflate` answered (`igzip_lib.h`).
    code: i32,
}

impl fmt::Display for CorruptDeflate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.code {
            isal::ISAL_INVALID_BLOCK => "invalid deflate block",
            isal::ISAL_INVALID_SYMBOL => "invalid deflate symbol",
            isal::ISAL_INVALID_LOOKBACK => "distance too far back",
            isal::ISAL_INCORRECT_CHECKSUM => "checksum or length differs from the trailer's",
            _ => "corrupt deflate stream",
        })
    }
}

impl Error for CorruptDeflate {}

// SAFETY: the state is owned alone, and its pointers are null whenever no call is under way.
unsafe impl Send for Inflater {}

impl fmt::Debug for Inflater {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Inflater")
            .field("block_state", &self.state.block_state)
            .finish_non_exhaustive()
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

impl Inflater {
    /// Begins a stream. It takes some 90 KiB.
    #[must_use]
    pub fn new() -> Self {
        let zeroed = Box::<isal::inflate_state>::new_zeroed();
        // SAFETY: numbers, arrays of numbers, a union of numbers and raw pointers, all of which may be zero.
        let mut state = unsafe { zeroed.assume_init() };
        // SAFETY: the state is ISA-L's own type, exclusively borrowed.
        unsafe { isal::isal_inflate_init(&raw mut *state) };
        state.crc_flag = isal::ISAL_GZIP_NO_HDR_VER;
        Self { state }
    }

    /// Inflates some of `input` into `output`. With no input it writes what it holds back.
    ///
    /// # Errors
    /// Where the stream is not valid, or its trailer says something else; it must not be used further then.
    pub fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, CorruptDeflate> {
        let given = u32::try_from(input.len()).unwrap_or(u32::MAX);
        let room = u32::try_from(output.len()).unwrap_or(u32::MAX);
        // ISA-L reads through this pointer only, though its type does not say so.
        self.state.next_in = input.as_ptr().cast_mut();
        self.state.avail_in = given;
        self.state.next_out = output.as_mut_ptr();
        self.state.avail_out = room;
        // SAFETY: both pointers are good for the lengths beside them, which are no more than the slices', and the slices outlive
        // the call; the state was initialised.
        let code = unsafe { isal::isal_inflate(&raw mut *self.state) };
        let step = Step {
            consumed: (given - self.state.avail_in) as usize,
            produced: (room - self.state.avail_out) as usize,
            finished: self.state.block_state == isal::isal_block_state_ISAL_BLOCK_FINISH,
        };
        self.state.next_in = ptr::null_mut();
        self.state.next_out = ptr::null_mut();
        self.state.avail_in = 0;
        self.state.avail_out = 0;
        if code < 0 { Err(CorruptDeflate { code }) } else { Ok(step) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// `hello` as one stored block, with its trailer.
    const HELLO: &[u8] = b"\x01\x05\0\xfa\xffhello\x86\xa6\x10\x36\x05\0\0\0";

    #[test]
    fn a_stream_ends_at_its_trailer_and_not_behind_it() {
        let mut output = [0; 16];
        let step = Inflater::new().step(&[HELLO, b"more"].concat(), &mut output).unwrap();
        assert_eq!(step, Step { consumed: HELLO.len(), produced: 5, finished: true });
        assert_eq!(&output[..5], b"hello");
    }

    #[test]
    fn byte_by_byte_is_the_same() {
        let (mut inflater, mut plain, mut finished) = (Inflater::new(), Vec::new(), false);
        for byte in HELLO {
            assert!(!finished);
            let mut output = [0; 1];
            let mut input = std::slice::from_ref(byte);
            loop {
                let step = inflater.step(input, &mut output).unwrap();
                input = &input[step.consumed..];
                plain.extend_from_slice(&output[..step.produced]);
                finished = step.finished;
                if step.produced == 0 {
                    break;
                }
            }
            assert!(input.is_empty());
        }
        assert!(finished);
        assert_eq!(plain, b"hello");
    }

    #[test]
    fn another_trailer_is_an_error() {
        for index in [HELLO.len() - 8, HELLO.len() - 4] {
            let mut bytes = HELLO.to_vec();
            bytes[index] ^= 1;
            let error = Inflater::new().step(&bytes, &mut [0; 16]).unwrap_err();
            assert!(error.to_string().contains("trailer"), "{error}");
        }
    }
}
