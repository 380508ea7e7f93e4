//! Chance that comes again: the same seed, the same throws.

/// splitmix64.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `n`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(n).unwrap()).unwrap()
    }

    /// In another order.
    pub(super) fn shuffle<T>(&mut self, things: &mut [T]) {
        for left in (1..things.len()).rev() {
            things.swap(left, self.below(left + 1));
        }
    }
}
