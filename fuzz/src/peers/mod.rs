//! Other programs' readers of tar, and what they make of an archive.

pub mod differences;
pub mod python;
pub mod tar_crate;

/// An entry as any reader lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Without slashes at the end, which some readers take off.
    pub name: Vec<u8>,
    /// Of a regular file, unpacked; of everything else 0.
    pub size_bytes: u64,
    /// The type flag of ustar; sparse and contiguous files are regular ones.
    pub typeflag: char,
    /// Of a link.
    pub target: Vec<u8>,
}

/// What a reader made of an archive: its entries, or its reason for refusing it.
pub type Listing = Result<Vec<Listed>, String>;

impl Listed {
    pub fn new(name: &[u8], size_bytes: u64, typeflag: u8, target: &[u8]) -> Self {
        let typeflag = match typeflag {
            0 | b'7' | b'S' => '0',
            other => char::from(other),
        };
        let is_link = matches!(typeflag, '1' | '2');
        Self {
            name: without_slashes(name).to_vec(),
            size_bytes: if typeflag == '0' { size_bytes } else { 0 },
            typeflag,
            target: if is_link { target.to_vec() } else { Vec::new() },
        }
    }
}

impl Listed {
    /// The same with names that end before their last NULs.
    pub fn without_nuls(&self) -> Self {
        let ended = |name: &[u8]| {
            let end = name.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            name[..end].to_vec()
        };
        let (name, target) = (ended(&self.name), ended(&self.target));
        Self { name: without_slashes(&name).to_vec(), target, ..self.clone() }
    }
}

fn without_slashes(mut name: &[u8]) -> &[u8] {
    while let Some(shorter) = name.strip_suffix(b"/") {
        name = shorter;
    }
    name
}
