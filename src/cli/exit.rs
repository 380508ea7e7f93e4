//! How the program ends: its exit code, and the one sentence that says why.

use crate::cli::output::OutputError;
use crate::config::Mistakes;
use crate::lists::ListError;
use crate::store::OpenError;
use std::io;
use std::io::Write;
use std::process::ExitCode;

/// How a command ended (CONTRACTS §1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: failed, or an audit found a difference.
    Failed,
    /// 2: bad usage, configuration or input; nothing was changed.
    BadInput,
    /// 130: interrupted, state safe.
    Interrupted,
}

/// What the user can put right by another argument. The sentence names what is wrong and how.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadInput(pub String);

impl Exit {
    /// What a command came to. An error is said on standard error, but for a reader of standard
    /// output that has seen enough.
    pub fn of(outcome: anyhow::Result<Self>) -> Self {
        let error = match outcome {
            Ok(exit) => return exit,
            Err(error) => error,
        };
        if error.downcast_ref::<OutputError>().is_some_and(OutputError::is_closed) {
            return Self::Done;
        }
        // With standard error closed as well, nobody is left to tell.
        let _ = writeln!(io::stderr(), "weir: {error:#}");
        Self::of_error(&error)
    }

    fn of_error(error: &anyhow::Error) -> Self {
        let is_bad_input = error.chain().any(|cause| {
            cause.is::<BadInput>()
                || cause.is::<Mistakes>()
                || cause.is::<OpenError>()
                || cause.downcast_ref().is_some_and(ListError::is_bad_input)
        });
        if is_bad_input { Self::BadInput } else { Self::Failed }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::BadInput => 2,
            Exit::Interrupted => 130,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Usd;
    use crate::ledger::LedgerError;
    use std::io::ErrorKind;

    #[test]
    fn what_the_user_can_put_right_is_bad_input_and_everything_else_a_failure() {
        let list = ListError::BadInput { place: "leads.csv:1".to_owned(), problem: "no column is known".to_owned() };
        for (error, exit) in [
            (BadInput("no".to_owned()).into(), Exit::BadInput),
            (Mistakes(Vec::new()).into(), Exit::BadInput),
            (OpenError::Missing("weir.db".into()).into(), Exit::BadInput),
            (list.into(), Exit::BadInput),
            (ListError::Changed("leads.csv".to_owned()).into(), Exit::Failed),
            (LedgerError::Insufficient { available: Usd::ZERO }.into(), Exit::Failed),
            (anyhow::anyhow!("anything else"), Exit::Failed),
        ] {
            assert_eq!(Exit::of_error(&error), exit, "{error}");
            assert_eq!(Exit::of_error(&error.context("while at work")), exit);
        }
    }

    #[test]
    fn a_reader_that_has_seen_enough_is_no_failure() {
        let output = |kind: ErrorKind| Err(OutputError::from(io::Error::from(kind)).into());
        assert_eq!(Exit::of(output(ErrorKind::BrokenPipe)), Exit::Done);
        assert_eq!(Exit::of(output(ErrorKind::StorageFull)), Exit::Failed);
    }
}
