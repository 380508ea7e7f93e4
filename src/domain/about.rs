//! What an attempt is about, where its step alone does not tell.

use crate::domain::Address;
use crate::domain::Operation;
use crate::domain::PageUrl;

/// The address or the page in question.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum About {
    /// To be verified.
    Address(Address),
    /// To be read.
    Page(PageUrl),
}

impl About {
    /// As text; for the store only.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Address(address) => address.as_str(),
            Self::Page(url) => url.as_str(),
        }
    }

    /// Reads what [`About::as_str`] wrote of an attempt of this operation.
    pub fn parse(operation: Operation, text: &str) -> Option<Self> {
        match operation {
            Operation::FindEmail | Operation::VerifyEmail => Address::parse(text).map(Self::Address),
            Operation::Scrape => PageUrl::parse(text).map(Self::Page),
            Operation::WriteCopy => None,
        }
    }

    /// The address, if it is one.
    pub const fn address(&self) -> Option<&Address> {
        match self {
            Self::Address(address) => Some(address),
            Self::Page(_) => None,
        }
    }
}
