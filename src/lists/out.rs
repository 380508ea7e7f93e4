//! Where the list goes that is written back. It appears whole, or not at all.

use crate::lists::Format;
use crate::lists::Input;
use crate::lists::ListError;
use std::ffi::OsStr;
use std::io;
use std::io::Seek;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use tempfile::NamedTempFile;

/// A file to be replaced by a rename, or standard output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Out {
    /// This file, new or replaced.
    File(PathBuf),
    /// Standard output, written at the end.
    Stdout,
}

impl From<PathBuf> for Out {
    /// `-` is standard output.
    fn from(path: PathBuf) -> Self {
        if path.as_os_str() == "-" { Self::Stdout } else { Self::File(path) }
    }
}

impl Out {
    /// `NAME.enriched.csv` beside `NAME.anything`, for the word `enriched`; for NDJSON the list's own ending
    /// stays.
    pub fn beside(list: &Path, word: &str, format: Format) -> Self {
        let ending = match format {
            Format::Csv => OsStr::new("csv"),
            Format::Ndjson => list.extension().unwrap_or(OsStr::new("ndjson")),
        };
        let mut name = list.file_stem().unwrap_or_default().to_owned();
        name.push(format!(".{word}."));
        name.push(ending);
        Self::File(list.with_file_name(name))
    }

    /// Makes sure, before anything is spent, that the list can be written here.
    ///
    /// # Errors
    /// `BadInput` when it cannot, or when it would replace the list itself.
    pub fn check(&self, input: &Input) -> Result<(), ListError> {
        let Self::File(path) = self else { return Ok(()) };
        // A rename would put a file in the place of a device such as /dev/null.
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return Err(self.refuse("not a regular file; name another with -o, or - for standard output".to_owned()));
        }
        self.check_spares(input.path(), "the list itself")?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            let missing = format!(
                "cannot be written: there is no folder {}; make it, or name another file with -o",
                folder.display()
            );
            return Err(self.refuse(missing));
        }
        self.begin()
            .map_err(|cause| self.refuse(format!("cannot be written: {}; name another with -o", cause.kind())))?;
        Ok(())
    }

    /// Makes sure that a file that is read is not replaced; `what` says which it is.
    ///
    /// # Errors
    /// `BadInput` when the list would go there, by whatever name.
    pub fn check_spares(&self, file: &Path, what: &str) -> Result<(), ListError> {
        if let Self::File(path) = self
            && let (Ok(out), Ok(file)) = (path.canonicalize(), file.canonicalize())
            && out == file
        {
            return Err(self.refuse(format!("this is {what}; name another file with -o")));
        }
        Ok(())
    }

    fn refuse(&self, problem: String) -> ListError {
        ListError::BadInput { place: self.name(), problem }
    }

    /// A temporary file on the file system it will be renamed on.
    pub(super) fn begin(&self) -> io::Result<NamedTempFile> {
        let Self::File(path) = self else { return NamedTempFile::new() };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".weir-");
        // Readable as any new file of this user is, where a temporary one is private.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        builder.tempfile_in(folder)
    }

    /// Shows the finished file to the world.
    pub(super) fn publish(&self, mut file: NamedTempFile) -> io::Result<()> {
        match self {
            Self::File(path) => {
                file.as_file().sync_all()?;
                file.persist(path)?;
            }
            Self::Stdout => {
                file.rewind()?;
                let mut stdout = io::stdout().lock();
                io::copy(&mut file, &mut stdout)?;
                stdout.flush()?;
            }
        }
        Ok(())
    }

    /// Writing it failed.
    pub(super) fn failed(&self, cause: impl Into<io::Error>) -> ListError {
        ListError::Io { place: self.name(), cause: cause.into() }
    }

    /// What messages call it.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Stdout => "standard output".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_that_is_read_is_not_replaced_whatever_it_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("brief.txt"), "Write.").unwrap();
        std::os::unix::fs::symlink(at("brief.txt"), at("link.txt")).unwrap();
        let problem =
            |out: PathBuf| Out::from(out).check_spares(&at("brief.txt"), "the brief").map_err(|it| it.to_string());
        for out in [at("brief.txt"), at("./brief.txt"), at("link.txt")] {
            let refused = problem(out).unwrap_err();
            assert!(refused.ends_with(": this is the brief; name another file with -o"), "{refused}");
        }
        for out in [at("new.csv"), PathBuf::from("-")] {
            assert_eq!(problem(out), Ok(()));
        }
    }
}
