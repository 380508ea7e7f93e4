//! A small, fast hash that never changes: FNV-1a over texts, finished by splitmix64's mixer.

/// A hash under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Hash(u64);

impl Hash {
    /// Of nothing yet, under a seed.
    pub(super) const fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// With a text, whatever its ASCII case; texts do not run into each other.
    #[must_use]
    pub(super) fn text(self, text: &str) -> Self {
        // 0xff is in no UTF-8 text.
        let bytes = text.bytes().map(|byte| byte.to_ascii_lowercase()).chain([0xff]);
        Self(bytes.fold(self.0, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
    }

    /// With a number.
    #[must_use]
    pub(super) const fn number(self, n: u64) -> Self {
        Self(mix(self.0 ^ n))
    }

    /// All 64 bits.
    pub(super) const fn value(self) -> u64 {
        mix(self.0)
    }

    /// A number below `n`, drawn for one `purpose`; draws for different purposes are independent.
    pub(super) fn draw(self, purpose: &str, n: u64) -> u64 {
        self.text(purpose).value() % n
    }

    /// One of these texts, of which there is at least one, drawn for one `purpose`.
    pub(super) fn pick<'t>(self, purpose: &str, texts: &[&'t str]) -> &'t str {
        let drawn = self.draw(purpose, u64::try_from(texts.len()).unwrap_or(u64::MAX));
        usize::try_from(drawn).ok().and_then(|at| texts.get(at)).copied().unwrap_or_default()
    }

    /// A number from 0 up to, but without, 1.
    pub(super) const fn fraction(self) -> f64 {
        (self.value() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

const fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_told_apart_but_not_by_case() {
        let of = |a: &str, b: &str| Hash::new(1).text(a).text(b).value();
        assert_eq!(of("Ada", "Sample"), of("ada", "SAMPLE"));
        assert_ne!(of("ab", "c"), of("a", "bc"));
        assert_ne!(of("a", "b"), Hash::new(2).text("a").text("b").value());
    }

    #[test]
    fn every_text_is_picked_some_time() {
        let texts = ["one", "two", "three"];
        let picked = |text| (0..100).any(|n| Hash::new(7).number(n).pick("text", &texts) == text);
        assert!(texts.into_iter().all(picked));
    }

    #[test]
    fn draws_are_even() {
        let below_half = (0..10_000).filter(|&n| Hash::new(7).number(n).fraction() < 0.5).count();
        assert!((4_800..5_200).contains(&below_half), "{below_half}");
    }
}
