//! An e-mail address, in the one form that is compared and stored.

use std::fmt;
use std::sync::Arc;

/// A plausible e-mail address, trimmed and lower-cased, at most 254 bytes. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(Arc<str>);

impl Address {
    /// The address in `text`, or `None` when it cannot be one: empty, "n/a", masked with `*`
    /// (Prospeo masks what it does not reveal), without a dotted domain, with spaces or control
    /// characters. A display form is not taken apart.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (local, domain) = text.rsplit_once('@')?;
        let plausible = |c: char| !c.is_whitespace() && !c.is_control() && !"*,;:<>()[]\\\"".contains(c);
        let labels_ok = domain.contains('.') && domain.split('.').all(|label| !label.is_empty());
        let ok =
            !local.is_empty() && !local.contains('@') && text.len() <= 254 && text.chars().all(plausible) && labels_ok;
        ok.then(|| Self(text.to_lowercase().into()))
    }

    /// The address as text; for requests, the store and the customer's own output only.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plausible_addresses_are_trimmed_and_lower_cased() {
        for (text, stored) in [
            (" Ada@Acme.Test ", "ada@acme.test"),
            ("a.b+c@x.co.uk", "a.b+c@x.co.uk"),
            ("o'neil@acme.test", "o'neil@acme.test"),
        ] {
            assert_eq!(Address::parse(text).unwrap().as_str(), stored);
        }
    }

    #[test]
    fn impossible_addresses_count_as_absent() {
        for text in ["", "n/a", "ada", "@acme.test", "ada@acme", "a***@acme.test", "ada@acme..test", "a b@acme.test"] {
            assert_eq!(Address::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn debug_does_not_show_the_address() {
        assert_eq!(format!("{:?}", Address::parse("ada@acme.test")), "Some(Address(…))");
    }
}
