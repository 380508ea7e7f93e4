//! Fingerprints: what was asked, in sixteen bytes.

use sha2::Digest;
use sha2::Sha256;
use std::fmt;

/// The first 16 bytes of a SHA-256 over labelled parts. Equal fingerprints mean the same question.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// Of optional texts, compared without regard to case; an absent part differs from an empty one.
    pub fn of<'a>(label: &str, parts: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        Self::hashed(label, parts.into_iter().map(|part| part.map(str::to_lowercase)))
    }

    /// Of texts, letter for letter: of a page's address, or of what a model is told.
    pub fn exactly<'a>(label: &str, parts: impl IntoIterator<Item = &'a str>) -> Self {
        Self::hashed(label, parts.into_iter().map(Some))
    }

    fn hashed<T: AsRef<str>>(label: &str, parts: impl Iterator<Item = Option<T>>) -> Self {
        let mut hash = Sha256::new();
        hash.update(label.as_bytes());
        for part in parts {
            match part {
                None => hash.update([0]),
                Some(text) => {
                    let text = text.as_ref();
                    hash.update([1]);
                    hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
                    hash.update(text.as_bytes());
                }
            }
        }
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(hash.finalize()) {
            *to = from;
        }
        Self(bytes)
    }

    /// From the bytes it was stored as.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        let of = |parts: &[Option<&str>]| Fingerprint::of("x", parts.iter().copied());
        assert_ne!(of(&[Some("ab"), Some("c")]), of(&[Some("a"), Some("bc")]));
        assert_ne!(of(&[None, Some("a")]), of(&[Some("a"), None]));
        assert_ne!(of(&[None]), of(&[Some("")]));
        assert_eq!(of(&[Some("Ada")]), of(&[Some("ada")]));
    }
}
