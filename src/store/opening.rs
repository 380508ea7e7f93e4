//! What a store is, and why one cannot be opened.

use std::path::PathBuf;

/// Is a store for simulated providers or for paid ones? The two never share a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nature {
    /// Calls cost money.
    Paid,
    /// Calls go to the sandbox.
    Sandbox,
}

impl Nature {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Sandbox => "sandbox",
        }
    }
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It was made for the other nature.
    #[error(
        "{store} is a {found} store and cannot be used as a {wanted} one: sandbox and real money never share a store; \
         choose another --data directory, or another database"
    )]
    OtherNature {
        /// Which file, or which database.
        store: String,
        /// What it is.
        found: String,
        /// What was wanted.
        wanted: &'static str,
    },
    /// A later version of the program has changed its tables.
    #[error("{store} was written by a newer weir (schema {found}; this one knows {known}): use that version")]
    Newer {
        /// Which file, or which database.
        store: String,
        /// Its schema version.
        found: i64,
        /// The latest this program knows.
        known: i64,
    },
    /// There is none, and this command does not make one.
    #[error(
        "there is no store at {0}: `weir enrich` makes one; a sandbox run's store needs --sandbox, one in another \
         directory --data"
    )]
    Missing(PathBuf),
    /// It is no store, or cannot be read or written.
    #[error("{store} cannot be used as a store: {why}")]
    Unusable {
        /// Which file, or which database.
        store: String,
        /// What the file system or SQLite said.
        why: String,
    },
}
