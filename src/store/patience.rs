//! What becomes of boundaries while the store cannot be used.
//!
//! What a call has brought is held by its boundary alone: that one is kept, and tried again, until the store has
//! taken it or is closed. A boundary that brings nothing fails after [`PATIENCE`]: whoever asked may ask again.
//! What is kept is bounded by the leads in flight, since each waits for its one boundary.

use crate::ledger::Boundary;
use crate::ledger::LedgerError;
use crate::ledger::Responder;
use std::time::Duration;
use tokio::time::Instant;

/// How long a boundary is tried again that brings nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A boundary on its way into the store, and who waits for the answer.
pub(super) struct Item {
    pub(super) boundary: Box<Boundary>,
    pub(super) responder: Responder,
    arrived: Instant,
}

impl Item {
    pub(super) fn new(boundary: Boundary, responder: Responder) -> Self {
        Self { boundary: Box::new(boundary), responder, arrived: Instant::now() }
    }

    /// How long it has been here.
    pub(super) fn waited(&self) -> Duration {
        self.arrived.elapsed()
    }

    /// Does the result of a call go with it?
    fn brings_something(&self) -> bool {
        !self.boundary.ended.is_empty()
    }
}

/// The pauses between tries, each twice as long as the one before.
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) const fn new() -> Self {
        Self { next: FIRST_PAUSE }
    }

    pub(super) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = pause.saturating_mul(2).min(LONGEST_PAUSE);
        pause
    }
}

/// Fails those that bring nothing and have been tried for too long.
pub(super) fn give_up(items: &mut Vec<Item>, error: &LedgerError) {
    let now = Instant::now();
    fail(items, error, |item| !item.brings_something() && is_overdue(item, now));
}

/// Fails all that have been tried for too long: the store is closed, and nobody comes again.
pub(super) fn give_up_all(items: &mut Vec<Item>, error: &LedgerError) {
    let now = Instant::now();
    fail(items, error, |item| is_overdue(item, now));
}

fn is_overdue(item: &Item, now: Instant) -> bool {
    now.duration_since(item.arrived) >= PATIENCE
}

fn fail(items: &mut Vec<Item>, error: &LedgerError, is_over: impl Fn(&Item) -> bool) {
    for item in items.extract_if(.., |item| is_over(item)) {
        item.responder.answer(Err(error.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Attempt;
    use crate::domain::AttemptEnd;
    use crate::domain::AttemptNo;
    use crate::domain::AttemptState;
    use crate::domain::ConfigVersion;
    use crate::domain::Fingerprint;
    use crate::domain::KeySource;
    use crate::domain::Operation;
    use crate::domain::Outcome;
    use crate::domain::ProviderName;
    use crate::domain::Run;
    use crate::domain::Step;
    use crate::domain::Usd;
    use crate::ledger::AccountId;
    use crate::ledger::Ended;
    use crate::ledger::Epoch;
    use crate::ledger::JobKey;
    use crate::ledger::LeadKey;
    use crate::ledger::LeadNo;
    use crate::ledger::Pending;
    use crate::ledger::SliceNo;
    use crate::ledger::Then;
    use crate::ledger::pending;
    use crate::ledger::rules::Owed;
    use tokio::time::advance;

    fn paid() -> Ended {
        let attempt = Attempt {
            n: AttemptNo::FIRST,
            run: Run::FIRST,
            step: Step::new(ProviderName::new("findymail"), Operation::FindEmail),
            about: None,
            key_source: KeySource::House,
            state: AttemptState::Ended(AttemptEnd::not_asked(Outcome::NotFound)),
        };
        let (fingerprint, config_version) = (Fingerprint::from_bytes([0; 16]), ConfigVersion::new("c"));
        Ended { attempt, fingerprint, owed: Owed::Amount(Usd::from_nanos(1)), held: None, config_version }
    }

    fn item(ended: Vec<Ended>) -> (Item, Pending) {
        let lead = LeadKey { job: JobKey(1), lead: LeadNo(1), slice: SliceNo(0), epoch: Epoch(1) };
        let (account, low_balance) = (AccountId(1), Usd::ZERO);
        let boundary = Boundary { lead, account, lead_cap: None, low_balance, ended, then: Then::Nothing };
        let (responder, answer) = pending();
        (Item::new(boundary, responder), answer)
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_call_has_brought_is_kept_and_the_rest_fails_in_time() {
        let gone = LedgerError::Unavailable("it is gone".to_owned());
        let (kept, kept_answer) = item(vec![paid()]);
        let (empty, empty_answer) = item(Vec::new());
        let mut items = vec![kept, empty];
        advance(PATIENCE / 2).await;
        let (late, late_answer) = item(Vec::new());
        items.push(late);
        give_up(&mut items, &gone);
        assert_eq!(items.len(), 3);

        advance(PATIENCE / 2).await;
        give_up(&mut items, &gone);
        assert_eq!(items.len(), 2);
        assert!(matches!(empty_answer.await, Err(LedgerError::Unavailable(_))));
        advance(PATIENCE * 100).await;
        give_up(&mut items, &gone);
        assert_eq!(items.len(), 1);
        assert!(matches!(late_answer.await, Err(LedgerError::Unavailable(_))));

        give_up_all(&mut items, &gone);
        assert!(items.is_empty());
        assert!(matches!(kept_answer.await, Err(LedgerError::Unavailable(_))));
    }

    #[test]
    fn the_pauses_grow_to_two_seconds() {
        let mut backoff = Backoff::new();
        let pauses: Vec<u128> = (0..8).map(|_| backoff.pause().as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
    }
}
