//! Who works on a job of an embedded store: an OS file lock, which the kernel frees at death.

use crate::domain::JobId;
use crate::domain::WorkerId;
use std::fs::File;
use std::fs::OpenOptions;
use std::fs::TryLockError;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

/// What this process is called as the owner of slices, where a lock keeps others off.
pub fn this_process() -> WorkerId {
    WorkerId::new(format!("process-{}", std::process::id()))
}

/// This process owns the job until this is dropped, or the process ends.
#[derive(Debug)]
pub struct JobLock {
    _file: File,
}

/// Why a job is not ours.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else works on it now.
    #[error("job {job} is already running in process {process}; wait for it, or stop it first")]
    Taken {
        /// Which job.
        job: JobId,
        /// The other process's id, as it wrote it down.
        process: String,
    },
    /// The lock file cannot be made or locked.
    #[error("{path} cannot be locked: {error}")]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// What the file system said.
        error: io::Error,
    },
}

impl JobLock {
    /// Takes the job, if nobody has it. Lock files lie in `directory`, beside the store.
    ///
    /// # Errors
    /// `Taken` names the process that has it.
    pub fn take(directory: &Path, job: &JobId) -> Result<Self, LockError> {
        let path = directory.join("locks").join(format!("{job}.lock"));
        let unusable = |error| LockError::Unusable { path: path.clone(), error };
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(unusable)?;
        }
        let open = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let mut file = open.map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut process = String::new();
                file.read_to_string(&mut process).map_err(unusable)?;
                return Err(LockError::Taken { job: job.clone(), process: process.trim().to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        write_process(&mut file).map_err(unusable)?;
        Ok(Self { _file: file })
    }
}

fn write_process(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_has_one_owner_and_the_other_learns_who() {
        let directory = tempfile::tempdir().unwrap();
        let job = JobId::new("job_1");
        let lock = JobLock::take(directory.path(), &job).unwrap();
        let refused = JobLock::take(directory.path(), &job).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(lock);
        assert!(JobLock::take(directory.path(), &job).is_ok());
    }
}
