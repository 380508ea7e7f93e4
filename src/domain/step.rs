//! A step: one operation at one provider, and whose key pays for it.

use crate::domain::ProviderName;
use std::fmt;
use std::str::FromStr;

/// What a provider is asked to do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Operation {
    /// Find a work address for a person.
    FindEmail,
    /// Say whether an address takes mail.
    VerifyEmail,
    /// Read a web page.
    Scrape,
    /// Write an e-mail.
    WriteCopy,
}

impl Operation {
    /// The contract's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FindEmail => "find_email",
            Self::VerifyEmail => "verify_email",
            Self::Scrape => "scrape",
            Self::WriteCopy => "write_copy",
        }
    }
}

impl FromStr for Operation {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "find_email" => Ok(Self::FindEmail),
            "verify_email" => Ok(Self::VerifyEmail),
            "scrape" => Ok(Self::Scrape),
            "write_copy" => Ok(Self::WriteCopy),
            _ => Err(()),
        }
    }
}

/// One (provider, operation) of a waterfall. A name, not a position, so that a changed
/// configuration cannot shift it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Step {
    /// The provider's table in the configuration.
    pub provider: ProviderName,
    /// What it is asked to do.
    pub operation: Operation,
}

impl Step {
    /// A step by its parts.
    pub const fn new(provider: ProviderName, operation: Operation) -> Self {
        Self { provider, operation }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.provider, self.operation.as_str())
    }
}

impl FromStr for Step {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (provider, operation) = text.rsplit_once('.').ok_or(())?;
        Ok(Self::new(ProviderName::new(provider), operation.parse()?))
    }
}

/// Whose key a call is made with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum KeySource {
    /// The customer's: nothing is charged.
    Own,
    /// Ours: paid from the metered balance.
    House,
}

impl KeySource {
    /// The contract's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::House => "house",
        }
    }
}

impl FromStr for KeySource {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "own" => Ok(Self::Own),
            "house" => Ok(Self::House),
            _ => Err(()),
        }
    }
}
