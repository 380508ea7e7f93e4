//! The load on the wallets: the same for the ledger and for its floor.

/// In every wallet at first, in nano-dollars: a million dollars, so that nothing is refused.
pub(super) const FUNDED: i64 = 1_000_000_000_000_000;

/// Held for a call, in nano-dollars.
pub(super) const HELD: i64 = 10;

/// How the wallets are pressed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Measured, after the warm-up.
    pub(super) seconds: u32,
    /// Loops, each with one request under way; so many at each store.
    pub(super) in_flight: u32,
    /// Used in turn.
    pub(super) wallets: u32,
}

/// What is taken in the end, in nano-dollars: every third time less than was held.
pub(super) const fn owed(ticket: u32) -> i64 {
    if ticket.is_multiple_of(3) { 7 } else { HELD }
}
