//! What is known of an address.

use std::str::FromStr;

/// A verifier's word about an address, or a finder's about its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Verdict {
    /// It takes mail.
    Valid,
    /// It does not, or must not be written to.
    Invalid,
    /// Its domain takes everything, so nothing can be said of the mailbox.
    CatchAll,
    /// The question was answered without a conclusion.
    Unknown,
}

impl Verdict {
    /// The contract's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Invalid => "invalid",
            Self::CatchAll => "catch_all",
            Self::Unknown => "unknown",
        }
    }
}

impl FromStr for Verdict {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "valid" => Ok(Self::Valid),
            "invalid" => Ok(Self::Invalid),
            "catch_all" => Ok(Self::CatchAll),
            "unknown" => Ok(Self::Unknown),
            _ => Err(()),
        }
    }
}
