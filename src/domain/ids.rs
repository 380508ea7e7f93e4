//! Every id is its own type: a workspace is never handed where a job is wanted.

use std::fmt;
use std::sync::Arc;

/// Declares a cheap-to-clone text id.
macro_rules! text_id {
    ($(#[$doc:meta] $name:ident),+ $(,)?) => {$(
        #[$doc]
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text as it is; whoever reads it from outside has checked its form.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

text_id! {
    /// A customer: owns wallets, keys and jobs.
    WorkspaceId,
    /// A job, unique in the store.
    JobId,
    /// A lead, unique in its job.
    LeadId,
    /// A provider's name: its table in the configuration.
    ProviderName,
    /// A waterfall's name: its table in the configuration.
    WaterfallName,
    /// A campaign of a workspace.
    CampaignId,
    /// A worker process, from its start to its end.
    WorkerId,
    /// The first 12 hex digits of the SHA-256 of the effective live configuration.
    ConfigVersion,
}

/// Declares a small counting id.
macro_rules! number_id {
    ($(#[$doc:meta] $name:ident),+ $(,)?) => {$(
        #[$doc]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(u32);

        impl $name {
            /// The first of its kind.
            pub const FIRST: Self = Self(1);

            /// From the number it was stored as.
            pub const fn new(n: u32) -> Self {
                Self(n)
            }

            /// The number to store.
            pub const fn get(self) -> u32 {
                self.0
            }

            /// The one after this; saturates, because four thousand million is never reached.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

number_id! {
    /// Counts the attempts of one lead, over all its runs, from 1.
    AttemptNo,
    /// Counts the runs of a job, from 1; `resume` begins the next.
    Run,
}
