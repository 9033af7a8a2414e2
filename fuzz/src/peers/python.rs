//! Python's tarfile, in a process that lives as long as this one.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::{Listed, Listing};

const SCRIPT: &str = include_str!("tarfile_peer.py");

thread_local! {
    static PEER: RefCell<Option<Peer>> = const { RefCell::new(None) };
}

struct Peer {
    /// Its input ends with this process, and it with its input.
    _child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// Lists an archive.
pub fn list(archive: &[u8]) -> Listing {
    PEER.with_borrow_mut(|peer| peer.get_or_insert_with(Peer::start).list(archive))
}

impl Peer {
    fn start() -> Self {
        let mut command = Command::new("python3");
        command.args(["-S", "-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the differential target takes python3");
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { _child: child, input, output: BufReader::new(output) }
    }

    fn list(&mut self, archive: &[u8]) -> Listing {
        self.input.write_all(&u32::try_from(archive.len()).unwrap().to_le_bytes()).unwrap();
        self.input.write_all(archive).unwrap();
        self.input.flush().unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        if let Some(reason) = answer["refused"].as_str() {
            return Err(reason.to_owned());
        }
        Ok(answer["entries"].as_array().unwrap().iter().map(listed).collect())
    }
}

fn listed(entry: &Value) -> Listed {
    let bytes = |key: &str| {
        let digits = entry[key].as_str().unwrap().as_bytes();
        let pair = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(pair).collect::<Vec<u8>>()
    };
    // What is negative, or larger than any size, is equal to nothing here.
    let size = entry["size"].as_u64().unwrap_or(u64::MAX);
    let typeflag = u8::try_from(entry["type"].as_u64().unwrap()).unwrap();
    Listed::new(&bytes("name"), size, typeflag, &bytes("target"))
}
