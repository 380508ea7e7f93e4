//! The gate in front of one (provider, key): may this call be made now?

use crate::http::breaker::Breaker;
use crate::http::health::Health;
use crate::http::health::Lesson;
use crate::http::health::Look;
use crate::http::health::Pass;
use crate::http::health::Refusal;
use crate::http::limits::Limits;
use crate::http::limits::Rate;
use crate::http::limits::Share;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio::time::timeout;
use tokio::time::timeout_at;

/// Rate, calls in flight, pauses, breaker and stop of one key at one provider.
pub struct Gate {
    state: Mutex<State>,
    in_flight: Arc<Semaphore>,
    /// Those who wait in [`Gate::permit`], first come first served; only the first looks at the state.
    line: tokio::sync::Mutex<()>,
    /// Something that those who wait should look at again.
    changed: Notify,
}

struct State {
    limits: Limits,
    share: Share,
    rate: Option<Rate>,
    health: Health,
    /// Places in `in_flight` that a lower cap takes away as soon as they are free.
    surplus: usize,
}

/// The gate's answer, without waiting.
#[must_use]
pub enum Admission {
    /// Make the call.
    Go(Permit),
    /// Paused, or above the rate: ask again after this.
    Later(Duration),
    /// As many calls are in flight as may be: ask again after [`Gate::freed`].
    Full,
    /// No call for now.
    Refused(Refusal),
}

/// Leave to make one call; keeps its place among the calls in flight until it is dropped.
#[must_use]
pub struct Permit {
    gate: Arc<Gate>,
    pass: Pass,
    _place: OwnedSemaphorePermit,
}

impl Gate {
    pub(crate) fn new(limits: &Limits, share: Share) -> Self {
        let breaker = Breaker::new(limits.breaker_failures, limits.breaker_open);
        Self {
            state: Mutex::new(State {
                limits: limits.clone(),
                share,
                rate: limits.rate(share),
                health: Health::new(breaker),
                surplus: 0,
            }),
            in_flight: Arc::new(Semaphore::new(limits.in_flight(share))),
            line: tokio::sync::Mutex::new(()),
            changed: Notify::new(),
        }
    }

    /// May a call be made now? Takes a token of the rate only when everything else admits it.
    pub fn admit(self: &Arc<Self>) -> Admission {
        let now = Instant::now();
        let mut state = self.state();
        let pass = match state.health.look(now) {
            Look::Clear(pass) => pass,
            Look::Paused(left) => return Admission::Later(left),
            Look::Refused(refusal) => return Admission::Refused(refusal),
        };
        state.surplus -= self.in_flight.forget_permits(state.surplus);
        let Ok(place) = Arc::clone(&self.in_flight).try_acquire_owned() else {
            return Admission::Full;
        };
        if let Some(Err(wait)) = state.rate.as_ref().map(Rate::take) {
            return Admission::Later(wait);
        }
        state.health.begin(pass, now);
        Admission::Go(Permit { gate: Arc::clone(self), pass, _place: place })
    }

    /// Waits for rate, pause and place, first come first served.
    ///
    /// # Errors
    /// The refusal, as soon as there is one.
    pub async fn permit(self: &Arc<Self>) -> Result<Permit, Refusal> {
        let _first = self.line.lock().await;
        loop {
            let changed = self.changed.notified();
            match self.admit() {
                Admission::Go(permit) => return Ok(permit),
                Admission::Refused(refusal) => return Err(refusal),
                Admission::Later(wait) => {
                    let _ = timeout(wait, changed).await;
                }
                Admission::Full => self.freed().await,
            }
        }
    }

    /// Waits until a call in flight has ended. Somebody else may take its place first.
    pub async fn freed(&self) {
        drop(self.in_flight.acquire().await);
    }

    /// Parks until the breaker lets a call through, `at_most` so long. Whether it does.
    pub async fn recovered(&self, at_most: Duration) -> bool {
        let deadline = Instant::now() + at_most;
        loop {
            let changed = self.changed.notified();
            let now = Instant::now();
            let Some(left) = self.state().health.breaker_left(now) else {
                return true;
            };
            if now >= deadline {
                return false;
            }
            let _ = timeout_at(deadline.min(now + left), changed).await;
        }
    }

    /// Would a call be refused now? Asked again by whoever has waited with a permit in hand.
    pub fn refusal(&self) -> Option<Refusal> {
        match self.state().health.look(Instant::now()) {
            Look::Refused(refusal) => Some(refusal),
            Look::Clear(_) | Look::Paused(_) => None,
        }
    }

    /// What is left of the pause in force, if one is.
    pub fn pause_remaining(&self) -> Option<Duration> {
        self.state().health.pause_left(Instant::now())
    }

    /// How things stand, for people; without secrets.
    pub fn state_line(&self) -> String {
        let state = self.state();
        let places = state.limits.in_flight(state.share) + state.surplus;
        let in_flight = places.saturating_sub(self.in_flight.available_permits());
        format!("{}, {in_flight} in flight", state.health.describe(Instant::now()))
    }

    /// Other limits from now on; breaker, pause, stop and calls in flight stay as they are.
    pub(crate) fn adjust(&self, limits: &Limits) {
        let mut state = self.state();
        let share = state.share;
        self.change(&mut state, limits.clone(), share);
    }

    /// Another share of the same limits from now on.
    pub(crate) fn share(&self, share: Share) {
        let mut state = self.state();
        let limits = state.limits.clone();
        self.change(&mut state, limits, share);
    }

    fn change(&self, state: &mut State, limits: Limits, share: Share) {
        if state.share == share && state.limits == limits {
            return;
        }
        if state.share != share || state.limits.requests_per_second != limits.requests_per_second {
            state.rate = limits.rate_from_now(share);
        }
        let (old, new) = (state.limits.in_flight(state.share), limits.in_flight(share));
        let kept = new.saturating_sub(old).min(state.surplus);
        state.surplus = state.surplus - kept + old.saturating_sub(new);
        self.in_flight.add_permits(new.saturating_sub(old) - kept);
        state.health.breaker_mut().adjust(limits.breaker_failures, limits.breaker_open);
        state.limits = limits;
        state.share = share;
        // The next token may come sooner than those who wait were told.
        self.changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Tells the gate what the call taught. Without a report nothing is learned, and a probe's part
    /// falls to the next call.
    pub fn report(&mut self, lesson: Lesson) {
        let pass = std::mem::take(&mut self.pass);
        self.gate.state().health.learn(lesson, pass, Instant::now());
        // An ordinary answer changes nothing for those who wait.
        if pass.is_probe() || lesson != Lesson::Answered {
            self.gate.changed.notify_waiters();
        }
    }

    /// Is this the one call that finds out whether provider and key work again?
    pub fn is_probe(&self) -> bool {
        self.pass.is_probe()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.pass.is_probe() {
            self.gate.state().health.abandon(self.pass, Instant::now());
            self.gate.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::Fault;
    use tokio::time::advance;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits() -> Limits {
        Limits { requests_per_second: None, max_in_flight: None, breaker_failures: 1, breaker_open: 30 * SECOND }
    }

    fn gate(limits: &Limits) -> Arc<Gate> {
        Arc::new(Gate::new(limits, Share::default()))
    }

    fn go(gate: &Arc<Gate>) -> Permit {
        match gate.admit() {
            Admission::Go(permit) => permit,
            Admission::Later(_) | Admission::Full | Admission::Refused(_) => panic!("{}", gate.state_line()),
        }
    }

    fn is_full(gate: &Arc<Gate>) -> bool {
        matches!(gate.admit(), Admission::Full)
    }

    #[tokio::test(start_paused = true)]
    async fn calls_keep_to_the_rate_and_never_bunch_by_more_than_a_tenth_of_a_second() {
        for (per_second, at_once) in [(1, 1), (10, 1), (80, 8)] {
            let gate = gate(&Limits { requests_per_second: Some(per_second), ..limits() });
            for _ in 0..at_once {
                drop(go(&gate));
            }
            assert!(matches!(gate.admit(), Admission::Later(wait) if wait <= SECOND / per_second));
            let start = Instant::now();
            for _ in 0..2 * per_second {
                drop(gate.permit().await.unwrap());
            }
            let took = start.elapsed();
            assert!(took >= 2 * SECOND - Duration::from_millis(2), "{per_second} a second: {took:?}");
            assert!(took < 2 * SECOND + SECOND / 10, "{per_second} a second: {took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_without_a_place_takes_no_token() {
        let gate = gate(&Limits { requests_per_second: Some(1), max_in_flight: Some(1), ..limits() });
        let first = go(&gate);
        advance(SECOND).await;
        assert!(is_full(&gate) && is_full(&gate));
        drop(first);
        drop(go(&gate));
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_calls_are_in_flight_than_the_cap_whichever_way_it_changes() {
        let cap = |cap| Limits { max_in_flight: cap, ..limits() };
        let gate = gate(&cap(Some(2)));
        let mut flying = vec![go(&gate), go(&gate)];
        assert!(is_full(&gate));
        gate.adjust(&cap(Some(3)));
        flying.push(go(&gate));
        assert!(is_full(&gate));
        gate.adjust(&cap(Some(1)));
        flying.truncate(1);
        assert!(is_full(&gate));
        assert_eq!(gate.state_line(), "breaker closed, 1 in flight");
        gate.adjust(&cap(None));
        flying.extend([go(&gate), go(&gate)]);
        gate.adjust(&cap(Some(3)));
        assert!(is_full(&gate));
        flying.clear();
        flying.extend([go(&gate), go(&gate), go(&gate)]);
        assert!(is_full(&gate));
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_of_rate_or_share_begins_without_a_burst() {
        let rate = |per_second| Limits { requests_per_second: Some(per_second), ..limits() };
        let gate = gate(&rate(80));
        let is_later = |by: Duration| matches!(gate.admit(), Admission::Later(wait) if wait == by);
        gate.share(Share::among(2));
        assert!(is_later(SECOND / 40));
        gate.adjust(&rate(40));
        assert!(is_later(SECOND / 20));
        advance(10 * SECOND).await;
        drop([go(&gate), go(&gate)]);
        assert!(is_later(SECOND / 20));
        advance(SECOND / 20).await;
        gate.adjust(&rate(40));
        gate.share(Share::among(2));
        drop(go(&gate));
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_may_be_less_than_a_call_a_second_and_a_larger_one_is_told_to_those_who_wait() {
        let gate = gate(&Limits { requests_per_second: Some(1), max_in_flight: Some(10), ..limits() });
        gate.share(Share::among(20));
        assert!(matches!(gate.admit(), Admission::Later(wait) if wait == 20 * SECOND));
        let start = Instant::now();
        let (permit, ()) = tokio::join!(gate.permit(), async {
            advance(3 * SECOND).await;
            gate.share(Share::among(0));
        });
        assert!(permit.is_ok());
        assert_eq!(start.elapsed().as_secs(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_shared_and_each_worker_keeps_one() {
        let gate = gate(&Limits { max_in_flight: Some(7), ..limits() });
        let mut flying = vec![go(&gate), go(&gate), go(&gate), go(&gate)];
        for (workers, places) in [(2, 3), (3, 2), (9, 1), (1, 7)] {
            gate.share(Share::among(workers));
            flying.truncate(places);
            while flying.len() < places {
                flying.push(go(&gate));
            }
            assert!(is_full(&gate), "{workers} workers");
            assert_eq!(gate.state_line(), format!("breaker closed, {places} in flight"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_place_gets_it_when_a_call_ends() {
        let gate = gate(&Limits { max_in_flight: Some(1), ..limits() });
        let first = go(&gate);
        let (second, ()) = tokio::join!(gate.permit(), async { drop(first) });
        assert!(second.is_ok() && is_full(&gate));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_back_everybody_for_its_time() {
        let gate = gate(&limits());
        go(&gate).report(Lesson::Throttled { retry_after: Some(7 * SECOND) });
        assert_eq!(gate.pause_remaining(), Some(7 * SECOND));
        assert!(matches!(gate.admit(), Admission::Later(left) if left == 7 * SECOND));
        let start = Instant::now();
        let (one, two) = tokio::join!(gate.permit(), gate.permit());
        assert!(one.is_ok() && two.is_ok());
        assert_eq!(start.elapsed().as_secs(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_through_a_pause_hears_at_once_that_the_key_is_stopped() {
        let gate = gate(&limits());
        let mut flying = go(&gate);
        go(&gate).report(Lesson::Throttled { retry_after: Some(600 * SECOND) });
        let start = Instant::now();
        let (waiting, ()) = tokio::join!(gate.permit(), async { flying.report(Lesson::KeyRejected) });
        assert_eq!(waiting.err(), Some(Refusal::Stopped(Fault::KeyRejected)));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_breaker_admits_one_probe_and_its_answer_wakes_those_who_parked() {
        let gate = gate(&limits());
        go(&gate).report(Lesson::ProviderFault);
        assert_eq!(gate.permit().await.err(), Some(Refusal::BreakerOpen(30 * SECOND)));
        assert!(!gate.recovered(10 * SECOND).await);
        assert!(gate.recovered(120 * SECOND).await);
        let mut probe = go(&gate);
        assert!(probe.is_probe());
        assert!(matches!(gate.admit(), Admission::Refused(Refusal::BreakerOpen(_))));
        let start = Instant::now();
        let (recovered, ()) = tokio::join!(gate.recovered(120 * SECOND), async { probe.report(Lesson::Answered) });
        assert!(recovered);
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert!(!go(&gate).is_probe());
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_dropped_without_a_report_leaves_its_part_to_the_next_call() {
        let gate = gate(&limits());
        go(&gate).report(Lesson::ProviderFault);
        advance(30 * SECOND).await;
        drop(go(&gate));
        assert!(go(&gate).is_probe());
    }
}
