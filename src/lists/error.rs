//! What can go wrong with a list, by what the caller does next.

use std::io;

/// Why a list could not be read or written. Every message stands alone.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The list, the mapping or OUT cannot be used as it is. Nothing was spent: exit 2.
    #[error("{place}: {problem}")]
    BadInput {
        /// The list, with the line where there is one; or the option at fault.
        place: String,
        /// What is wrong, and how to put it right.
        problem: String,
    },
    /// The list is no longer the one that was scanned. OUT is untouched: exit 1.
    #[error("{0}: the list changed while it was worked on; nothing was written. Run it again on the list as it is now")]
    Changed(String),
    /// Reading or writing failed for a reason outside the list: exit 1.
    #[error("{place}: {cause}")]
    Io {
        /// What was read or written.
        place: String,
        /// The system's reason.
        cause: io::Error,
    },
}

impl ListError {
    /// Can the user put it right by another input or option? Then the exit code is 2.
    pub const fn is_bad_input(&self) -> bool {
        match self {
            Self::BadInput { .. } => true,
            Self::Changed(_) | Self::Io { .. } => false,
        }
    }

    /// The same error met after the scan: what the scan accepted and is now bad has changed.
    pub(super) fn since_scan(self) -> Self {
        match self {
            Self::BadInput { place, .. } => Self::Changed(place),
            Self::Changed(_) | Self::Io { .. } => self,
        }
    }
}
