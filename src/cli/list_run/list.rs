//! The list itself, before anything is spent.

use crate::cli::list_run::ListArgs;
use crate::lists;
use crate::lists::Input;
use crate::lists::Mapping;
use crate::lists::Need;
use crate::lists::Out;
use crate::lists::Scan;
use anyhow::Result;
use std::path::Path;
use std::path::PathBuf;

/// A list that has been looked through, and where it goes.
pub(in crate::cli) struct List {
    pub(in crate::cli) input: Input,
    pub(in crate::cli) scan: Scan,
    pub(super) mapping: Mapping,
    pub(super) out: Out,
}

impl List {
    /// Everything about the list that can be wrong. Where nobody says where it goes, that is
    /// `NAME.word.csv` beside it.
    pub(in crate::cli) fn look_through(
        args: &ListArgs,
        output: Option<&PathBuf>,
        word: &str,
        need: Need,
    ) -> Result<Self> {
        let from_stdin = args.file.as_os_str() == "-";
        let input = if from_stdin {
            Input::spool("standard input", std::io::stdin().lock())?
        } else {
            Input::file(&args.file)?
        };
        let mapping = Mapping::parse(&args.mapping)?;
        let scan = lists::scan(&input, args.format, &mapping, need)?;
        let out = match output {
            Some(path) => Out::from(path.clone()),
            None if from_stdin => Out::Stdout,
            None => Out::beside(&args.file, word, scan.format()),
        };
        out.check(&input)?;
        Ok(Self { input, scan, mapping, out })
    }

    /// Makes sure that another file that is read is not replaced by the list; `what` says which it is.
    pub(in crate::cli) fn spare(&self, file: &Path, what: &str) -> Result<()> {
        Ok(self.out.check_spares(file, what)?)
    }
}
