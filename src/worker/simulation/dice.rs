//! Chance that can be repeated: splitmix64.

use std::time::Duration;

/// A sequence of numbers that its seed decides.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    pub(super) const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// From 0 to just below `n`.
    pub(super) const fn below(&mut self, n: u64) -> u64 {
        self.roll() % n
    }

    /// Both ends included.
    pub(super) const fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    pub(super) const fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// A place in a list of so many.
    pub(super) fn place(&mut self, of: usize) -> usize {
        usize::try_from(self.below(u64::try_from(of).unwrap())).unwrap()
    }

    pub(super) const fn ms(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.between(from, to))
    }

    /// Dice of their own for another part of the world: what one rolls changes nothing for the other.
    pub(super) const fn fork(&mut self) -> Self {
        Self::new(self.roll())
    }
}

/// Always the same number for the same words of the same seed.
pub(super) fn number_of(seed: u64, words: &str) -> u64 {
    // FNV-1a, then mixed, so that like words have unlike numbers.
    let start = 0xcbf2_9ce4_8422_2325 ^ mix(seed);
    mix(words.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
}

const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
