//! Where a list's bytes come from. They are hashed as they pass.

use crate::lists::ListError;
use sha2::Digest;
use sha2::Sha256;
use std::fs::File;
use std::io;
use std::io::BufReader;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;
use tempfile::NamedTempFile;
use tempfile::TempPath;

/// The most bytes of one record, its line end not counted. A quote that is never closed ends here.
pub const LINE_LIMIT: u64 = 1024 * 1024;

/// A byte order mark, in UTF-8.
pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";

/// Bytes asked of the system at a time.
pub(super) const BUFFER: usize = 64 * 1024;

/// A list that can be read as often as needed.
#[derive(Debug)]
pub struct Input {
    name: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    File(PathBuf),
    Spool(TempPath),
}

impl Input {
    /// A file, which must be a regular one: a pipe cannot be read twice.
    ///
    /// # Errors
    /// `BadInput` when it is not there or is something else.
    pub fn file(path: &Path) -> Result<Self, ListError> {
        let input = Self { name: path.display().to_string(), place: Place::File(path.to_owned()) };
        match path.metadata() {
            Ok(metadata) if metadata.is_file() => Ok(input),
            Ok(_) => Err(input.refuse("not a regular file; pipe it in and give - as FILE".to_owned())),
            Err(cause) => Err(input.refuse(format!("cannot be opened: {cause}"))),
        }
    }

    /// Standard input or a download, kept in a temporary file that goes with the returned value.
    /// `name` is what messages call it.
    ///
    /// # Errors
    /// `Io` when reading or writing fails.
    pub fn spool(name: &str, mut from: impl Read) -> Result<Self, ListError> {
        let failed = |cause| ListError::Io { place: name.to_owned(), cause };
        let mut file = NamedTempFile::new().map_err(failed)?;
        io::copy(&mut from, &mut file).map_err(failed)?;
        Ok(Self { name: name.to_owned(), place: Place::Spool(file.into_temp_path()) })
    }

    /// Where the bytes are.
    pub(super) fn path(&self) -> &Path {
        match &self.place {
            Place::File(path) => path,
            Place::Spool(path) => path,
        }
    }

    /// The ending of its name, lower case, without the point.
    pub(super) fn extension(&self) -> Option<String> {
        Path::new(&self.name).extension().map(|ending| ending.to_string_lossy().to_lowercase())
    }

    /// Begins a reading.
    pub(super) fn open(&self) -> Result<Source, ListError> {
        let file = File::open(self.path()).map_err(|cause| self.refuse(format!("cannot be opened: {cause}")))?;
        Ok(Source { file, hash: Sha256::new(), read: 0, allowed: u64::MAX })
    }

    /// The first bytes, without a byte order mark; enough for any first line.
    pub(super) fn head(&self) -> Result<Vec<u8>, ListError> {
        let mut head = Vec::new();
        self.open()?.take(LINE_LIMIT).read_to_end(&mut head).map_err(|cause| self.read_failed(0, cause))?;
        if head.starts_with(BOM) {
            head.drain(..BOM.len());
        }
        Ok(head)
    }

    /// The whole list cannot be used.
    pub(super) fn refuse(&self, problem: String) -> ListError {
        ListError::BadInput { place: self.name.clone(), problem }
    }

    /// The record that begins at byte `start` cannot be used.
    pub(super) fn refuse_record(&self, start: u64, problem: &str) -> ListError {
        match line_at(self.path(), start) {
            Ok(line) => {
                ListError::BadInput { place: format!("{} line {line}", self.name), problem: problem.to_owned() }
            }
            Err(cause) => ListError::Io { place: self.name.clone(), cause },
        }
    }

    /// The record that begins at byte `start` is not UTF-8.
    pub(super) fn refuse_encoding(&self, start: u64) -> ListError {
        self.refuse_record(start, "not UTF-8; save the list as UTF-8 (in a spreadsheet: \"CSV UTF-8\")")
    }

    /// The record that begins at byte `start` is too long.
    pub(super) fn refuse_length(&self, start: u64) -> ListError {
        self.refuse_record(start, "longer than 1 MiB, the most a line may have; is a quote left open?")
    }

    /// It is not the list that was scanned.
    pub(super) fn changed(&self) -> ListError {
        ListError::Changed(self.name.clone())
    }

    /// Reading stopped in the record that begins at byte `start`.
    pub(super) fn read_failed(&self, start: u64, cause: io::Error) -> ListError {
        match cause.downcast::<Stop>() {
            Ok(Stop::Binary) => {
                self.refuse("not a text file (it holds NUL bytes); save it as CSV or NDJSON, in UTF-8".to_owned())
            }
            Ok(Stop::TooLong) => self.refuse_length(start),
            Err(cause) => ListError::Io { place: self.name.clone(), cause },
        }
    }
}

/// The line of the first record at or behind byte `start`: the parsers do not count the empty
/// lines before it. Reads the list anew, which only an error pays for.
fn line_at(path: &Path, start: u64) -> io::Result<u64> {
    let mut line = 1;
    for (place, byte) in (0..).zip(BufReader::new(File::open(path)?).bytes()) {
        match byte? {
            b'\n' => line += 1,
            b'\r' => {}
            _ if place >= start => break,
            _ => {}
        }
    }
    Ok(line)
}

/// Why a [`Source`] stopped before its end.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error("NUL bytes")]
    Binary,
    #[error("record too long")]
    TooLong,
}

/// One reading of a list's bytes.
pub(super) struct Source {
    file: File,
    hash: Sha256,
    read: u64,
    allowed: u64,
}

impl Source {
    /// Stops a reader that still asks for more when it has had more than the bytes before `offset`.
    pub(super) fn allow_until(&mut self, offset: u64) {
        self.allowed = offset;
    }

    /// SHA-256 of what was read so far.
    pub(super) fn digest(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read > self.allowed {
            return Err(io::Error::other(Stop::TooLong));
        }
        let count = self.file.read(buffer)?;
        let bytes = buffer.get(..count).unwrap_or_default();
        if bytes.contains(&0) {
            return Err(io::Error::other(Stop::Binary));
        }
        self.hash.update(bytes);
        self.read += count as u64;
        Ok(count)
    }
}
