//! How a lead ends: status and reason, two vocabularies that are closed in version 1, and what goes with them.

use crate::domain::Address;
use crate::domain::ProviderName;
use crate::domain::Verdict;
use std::fmt;
use std::str::FromStr;

/// How a lead ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Status {
    /// An address, verdict `valid`.
    Verified,
    /// An address that may bounce, accepted by policy or the best one left.
    Risky,
    /// An address is known, but could not be verified.
    Unverified,
    /// Everything applicable was really tried; there is no acceptable address.
    NotFound,
    /// Not fully searched, no address; something must change first.
    Skipped,
    /// Providers did not answer properly; running it again is safe.
    Failed,
    /// Copy was written for it.
    Written,
}

/// Why a lead ended so.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reason {
    /// Nothing is missing.
    None,
    /// The balance cannot pay what is left to try.
    WalletEmpty,
    /// The waterfall's cap per lead is reached.
    LeadCap,
    /// The job's cap is reached.
    JobCap,
    /// Platform credits are used up (a later issue fills that wallet).
    CreditsExhausted,
    /// The customer's own key does not work.
    KeyRejected,
    /// A finder did not answer properly, or no model did.
    ProvidersUnavailable,
    /// No verifier answered properly.
    VerifiersUnavailable,
    /// The waterfall has no verifier.
    NoVerifier,
    /// No step of the waterfall fits the lead.
    NoSteps,
    /// The lead has too little to work with, or with it a model would be told too much.
    InvalidInput,
    /// The lead's time was up.
    Deadline,
    /// The job was cancelled.
    Cancelled,
    /// The model, or its provider's filter, declined to write, or what it wrote is no e-mail.
    Refused,
    /// The model's output was cut off by its cap.
    Truncated,
}

impl Reason {
    /// Can the reason have changed, so that `resume` tries the lead again?
    pub const fn is_resumable(self) -> bool {
        match self {
            // The same question would be answered alike, and was billed.
            Self::None | Self::NoVerifier | Self::InvalidInput | Self::Refused | Self::Truncated => false,
            Self::WalletEmpty
            | Self::LeadCap
            | Self::JobCap
            | Self::CreditsExhausted
            | Self::KeyRejected
            | Self::ProvidersUnavailable
            | Self::VerifiersUnavailable
            | Self::NoSteps
            | Self::Deadline
            | Self::Cancelled => true,
        }
    }
}

/// Words of a closed set, both ways.
macro_rules! words {
    ($type:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl $type {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The contract's word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl FromStr for $type {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                match text { $($word => Ok(Self::$variant),)+ _ => Err(()) }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words!(Status {
    Verified = "verified",
    Risky = "risky",
    Unverified = "unverified",
    NotFound = "not_found",
    Skipped = "skipped",
    Failed = "failed",
    Written = "written",
});

words!(Reason {
    None = "none",
    WalletEmpty = "wallet_empty",
    LeadCap = "lead_cap",
    JobCap = "job_cap",
    CreditsExhausted = "credits_exhausted",
    KeyRejected = "key_rejected",
    ProvidersUnavailable = "providers_unavailable",
    VerifiersUnavailable = "verifiers_unavailable",
    NoVerifier = "no_verifier",
    NoSteps = "no_steps",
    InvalidInput = "invalid_input",
    Deadline = "deadline",
    Cancelled = "cancelled",
    Refused = "refused",
    Truncated = "truncated",
});

/// How a lead ended in one run: what its result says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ending {
    /// How.
    pub status: Status,
    /// Why.
    pub reason: Reason,
    /// The address the customer gets, if any.
    pub address: Option<Address>,
    /// What is known of that address.
    pub verdict: Option<Verdict>,
    /// Who found it; `None` when it came with the lead.
    pub found_by: Option<ProviderName>,
    /// Whose verdict it is.
    pub verified_by: Option<ProviderName>,
}

impl Ending {
    /// An ending without an address.
    pub const fn without_address(status: Status, reason: Reason) -> Self {
        Self { status, reason, address: None, verdict: None, found_by: None, verified_by: None }
    }

    /// Is (status, reason) one of the pairs of CONTRACTS §2?
    pub fn is_allowed(&self) -> bool {
        use Reason as R;
        match self.status {
            Status::Verified | Status::NotFound | Status::Written => matches!(self.reason, R::None),
            Status::Risky => {
                matches!(
                    self.reason,
                    R::None | R::WalletEmpty | R::ProvidersUnavailable | R::LeadCap | R::JobCap | R::Deadline
                )
            }
            Status::Unverified => matches!(
                self.reason,
                R::WalletEmpty
                    | R::LeadCap
                    | R::JobCap
                    | R::NoVerifier
                    | R::VerifiersUnavailable
                    | R::KeyRejected
                    | R::Deadline
                    | R::Cancelled
            ),
            Status::Skipped => matches!(
                self.reason,
                R::WalletEmpty
                    | R::LeadCap
                    | R::JobCap
                    | R::CreditsExhausted
                    | R::KeyRejected
                    | R::NoSteps
                    | R::InvalidInput
                    | R::Cancelled
            ),
            Status::Failed => {
                matches!(self.reason, R::ProvidersUnavailable | R::Deadline | R::Refused | R::Truncated)
            }
        }
    }
}
