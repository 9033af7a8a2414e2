//! One gzip member, unpacked by ISA-L: RFC 1952's header here, the rest there.

use std::io::{self, BufRead, Read};

use flate2::Crc;
use plywood_sys::inflate::Inflater;

/// Flags of the header (RFC 1952, 2.3.1).
const HEADER_CRC: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;

/// Longer names and comments are refused, as flate2 does.
const LONGEST_TEXT: usize = 65_535;

/// Reads the plain bytes of the one member that its source begins with, and consumes nothing after it.
pub(super) struct Member<R> {
    source: R,
    inflater: Inflater,
    stage: Stage,
}

/// Where the reading is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Header,
    Body,
    End,
    Failed,
}

impl<R> Member<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, inflater: Inflater::new(), stage: Stage::Header }
    }

    pub(super) fn get_ref(&self) -> &R {
        &self.source
    }

    pub(super) fn into_inner(self) -> R {
        self.source
    }
}

impl<R: BufRead> Member<R> {
    fn inflate(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let input = self.source.fill_buf()?;
            let given = input.len();
            let step = self
                .inflater
                .step(input, buffer)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            self.source.consume(step.consumed);
            if step.finished {
                self.stage = Stage::End;
            }
            if step.finished || step.produced > 0 {
                return Ok(step.produced);
            }
            match given {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                // It takes what it is given, or has something to give: this never happens, and must not go on for ever.
                _ if step.consumed == 0 => return Err(invalid("the decoder does not get on")),
                _ => {}
            }
        }
    }

    fn advance(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.stage {
            Stage::Header => {
                Header { source: &mut self.source, crc: Crc::new() }.read()?;
                self.stage = Stage::Body;
                self.inflate(buffer)
            }
            Stage::Body => self.inflate(buffer),
            Stage::End => Ok(0),
            Stage::Failed => Err(invalid("the member was refused before")),
        }
    }
}

impl<R: BufRead> Read for Member<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let answer = self.advance(buffer);
        if answer.is_err() {
            self.stage = Stage::Failed;
        }
        answer
    }
}

/// The header, as it is read.
struct Header<'a, R> {
    source: &'a mut R,
    crc: Crc,
}

impl<R: BufRead> Header<'_, R> {
    /// Passes over the header, verifying what it says of itself.
    fn read(&mut self) -> io::Result<()> {
        let [magic, other_magic, method, flags, ..] = self.take::<10>()?;
        if (magic, other_magic, method) != (0x1f, 0x8b, 8) || flags & RESERVED != 0 {
            return Err(invalid("invalid gzip header"));
        }
        if flags & EXTRA != 0 {
            let length = u16::from_le_bytes(self.take::<2>()?);
            (0..length).try_for_each(|_| self.take::<1>().map(drop))?;
        }
        for text in [NAME, COMMENT] {
            if flags & text != 0 {
                self.pass_over_text()?;
            }
        }
        if flags & HEADER_CRC != 0 {
            let expected = self.crc.sum() & 0xffff;
            if u32::from(u16::from_le_bytes(self.take::<2>()?)) != expected {
                return Err(invalid("the gzip header's checksum differs"));
            }
        }
        Ok(())
    }

    fn pass_over_text(&mut self) -> io::Result<()> {
        for _ in 0..=LONGEST_TEXT {
            if self.take::<1>()? == [0] {
                return Ok(());
            }
        }
        Err(invalid("a text of the gzip header is too long"))
    }

    fn take<const LENGTH: usize>(&mut self) -> io::Result<[u8; LENGTH]> {
        let mut bytes = [0; LENGTH];
        self.source.read_exact(&mut bytes)?;
        self.crc.update(&bytes);
        Ok(bytes)
    }
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}
