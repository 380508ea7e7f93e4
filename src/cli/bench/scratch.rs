//! Where the stores of a run lie.

use crate::cli::Globals;
use anyhow::Context;
use anyhow::Result;
use std::fs;
use tempfile::TempDir;

/// A directory that goes with the returned value: in `--data`, to measure the disk that is meant,
/// else where the system keeps temporary files.
pub(super) fn scratch(globals: &Globals) -> Result<TempDir> {
    let made = match &globals.data {
        Some(parent) => fs::create_dir_all(parent).and_then(|()| tempfile::tempdir_in(parent)),
        None => tempfile::tempdir(),
    };
    made.context("no directory for the stores can be made")
}
