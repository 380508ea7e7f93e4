//! What is known of one key at one provider: breaker, pause, stop. Pure; the clock is an argument.

use crate::http::breaker::Breaker;
use crate::http::breaker::Call;
use crate::http::breaker::Stand;
use crate::providers::Fault;
use std::time::Duration;
use tokio::time::Instant;

/// Pauses for a 429 that names no time: 1 s, doubled by each in a row, up to this.
const LONGEST_UNSAID_PAUSE: Duration = Duration::from_secs(60);
/// A named time is believed up to here; a longer one is asked about again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// What one call taught about the provider and the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lesson {
    /// Both work: an address, "not found", a verdict, `bad_request`, or a page that is too large.
    Answered,
    /// The provider failed: unavailable, lost or unreadable answer, no connection.
    ProviderFault,
    /// A 429.
    Throttled {
        /// What the provider said, if it did.
        retry_after: Option<Duration>,
    },
    /// The key is not accepted.
    KeyRejected,
    /// The account behind the key is empty.
    OutOfCredits,
}

impl From<Fault> for Lesson {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::KeyRejected => Self::KeyRejected,
            Fault::ProviderOutOfCredits => Self::OutOfCredits,
            Fault::RateLimited { retry_after } => Self::Throttled { retry_after },
            Fault::Unavailable | Fault::ProtocolError => Self::ProviderFault,
            Fault::BadRequest => Self::Answered,
        }
    }
}

/// Why no call is made, and waiting here would not help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The breaker is open, for this long at least ([`crate::http::Gate::recovered`] waits for it).
    BreakerOpen(Duration),
    /// The key is stopped; this is what it was last told.
    Stopped(Fault),
}

/// What a call is told before it is made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Clear(Pass),
    Paused(Duration),
    Refused(Refusal),
}

/// What a call that may go would find out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Pass {
    breaker: Call,
    key: Call,
}

impl Pass {
    pub(crate) fn is_probe(self) -> bool {
        self != Self::default()
    }
}

#[derive(Debug)]
pub(crate) struct Health {
    breaker: Breaker,
    paused_until: Option<Instant>,
    /// Pauses in a row, without an answer between them.
    pauses: u32,
    stopped: Option<Stopped>,
}

#[derive(Debug)]
struct Stopped {
    why: Stop,
    probe_at: Instant,
}

#[derive(Debug, Clone, Copy)]
enum Stop {
    KeyRejected,
    OutOfCredits,
}

impl Stop {
    const fn fault(self) -> Fault {
        match self {
            Self::KeyRejected => Fault::KeyRejected,
            Self::OutOfCredits => Fault::ProviderOutOfCredits,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::KeyRejected => "key_rejected",
            Self::OutOfCredits => "provider_out_of_credits",
        }
    }

    /// An account is topped up more often than a key comes back to life.
    const fn probe_every(self) -> Duration {
        match self {
            Self::KeyRejected => Duration::from_secs(10 * 60),
            Self::OutOfCredits => Duration::from_secs(5 * 60),
        }
    }
}

impl Health {
    pub(crate) fn new(breaker: Breaker) -> Self {
        Self { breaker, paused_until: None, pauses: 0, stopped: None }
    }

    pub(crate) fn breaker_mut(&mut self) -> &mut Breaker {
        &mut self.breaker
    }

    /// May a call be made now? Changes nothing: the caller may still find no place or no token.
    pub(crate) fn look(&self, now: Instant) -> Look {
        let key = match &self.stopped {
            None => Call::Ordinary,
            Some(stopped) if now < stopped.probe_at => return Look::Refused(Refusal::Stopped(stopped.why.fault())),
            Some(_) => Call::Probe,
        };
        let breaker = match self.breaker.stand(now) {
            Stand::Closed => Call::Ordinary,
            Stand::ProbeDue => Call::Probe,
            Stand::Open(left) => return Look::Refused(Refusal::BreakerOpen(left)),
        };
        match self.pause_left(now) {
            Some(left) => Look::Paused(left),
            None => Look::Clear(Pass { breaker, key }),
        }
    }

    /// The call is made: if it is a probe, no other is until this one ends.
    pub(crate) fn begin(&mut self, pass: Pass, now: Instant) {
        if pass.breaker == Call::Probe {
            self.breaker.begin_probe();
        }
        if let (Call::Probe, Some(stopped)) = (pass.key, &mut self.stopped) {
            stopped.probe_at = now + stopped.why.probe_every();
        }
    }

    pub(crate) fn learn(&mut self, lesson: Lesson, pass: Pass, now: Instant) {
        match lesson {
            Lesson::Answered => {
                self.breaker.succeeded(pass.breaker);
                if pass.key == Call::Probe {
                    self.stopped = None;
                }
                if self.pause_left(now).is_none() {
                    self.pauses = 0;
                }
            }
            Lesson::ProviderFault => self.breaker.failed(pass.breaker, now),
            Lesson::Throttled { retry_after } => {
                self.abandon(pass, now);
                self.pause(retry_after, now);
            }
            Lesson::KeyRejected => self.stop(Stop::KeyRejected, pass, now),
            Lesson::OutOfCredits => self.stop(Stop::OutOfCredits, pass, now),
        }
    }

    /// The call taught nothing: what it was to find out is left to the next.
    pub(crate) fn abandon(&mut self, pass: Pass, now: Instant) {
        if pass.breaker == Call::Probe {
            self.breaker.probe_again();
        }
        if let (Call::Probe, Some(stopped)) = (pass.key, &mut self.stopped) {
            stopped.probe_at = now;
        }
    }

    pub(crate) fn pause_left(&self, now: Instant) -> Option<Duration> {
        self.paused_until.filter(|until| now < *until).map(|until| until - now)
    }

    /// How long until the breaker lets a call through; `None` when it would now.
    pub(crate) fn breaker_left(&self, now: Instant) -> Option<Duration> {
        match self.breaker.stand(now) {
            Stand::Closed | Stand::ProbeDue => None,
            Stand::Open(left) => Some(left),
        }
    }

    /// For people: `breaker closed, paused for 12 s, stopped: key_rejected`.
    pub(crate) fn describe(&self, now: Instant) -> String {
        let mut line = match self.breaker.stand(now) {
            Stand::Closed => "breaker closed".to_owned(),
            Stand::ProbeDue => "breaker open, probe due".to_owned(),
            Stand::Open(left) => format!("breaker open for {} s", left.as_secs()),
        };
        if let Some(left) = self.pause_left(now) {
            line.push_str(&format!(", paused for {} s", left.as_secs()));
        }
        if let Some(stopped) = &self.stopped {
            line.push_str(", stopped: ");
            line.push_str(stopped.why.word());
        }
        line
    }

    /// The provider answered, so its breaker closes; the key stops.
    fn stop(&mut self, why: Stop, pass: Pass, now: Instant) {
        self.breaker.succeeded(pass.breaker);
        self.stopped = Some(Stopped { why, probe_at: now + why.probe_every() });
    }

    /// The longer of what was said and what is in force. Zero says nothing.
    fn pause(&mut self, said: Option<Duration>, now: Instant) {
        let in_force = self.pause_left(now).is_some();
        let length = match said.filter(|said| !said.is_zero()) {
            Some(said) => said.min(LONGEST_PAUSE),
            // The calls in flight when a pause begins are throttled too: one lesson, not fifty.
            None if in_force => return,
            None => Duration::from_secs(1 << self.pauses.min(6)).min(LONGEST_UNSAID_PAUSE),
        };
        if !in_force {
            self.pauses = self.pauses.saturating_add(1);
        }
        self.paused_until = self.paused_until.max(Some(now + length));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn health() -> Health {
        Health::new(Breaker::new(3, 30 * SECOND))
    }

    fn throttled(seconds: Option<u64>) -> Lesson {
        Lesson::Throttled { retry_after: seconds.map(Duration::from_secs) }
    }

    /// Looks, and begins the call if it may go.
    fn probe(health: &mut Health, now: Instant) -> Option<Pass> {
        match health.look(now) {
            Look::Clear(pass) => {
                health.begin(pass, now);
                Some(pass)
            }
            Look::Paused(_) | Look::Refused(_) => None,
        }
    }

    #[test]
    fn unsaid_pauses_double_up_to_a_minute_and_an_answer_resets_them() {
        let (mut health, mut now) = (health(), Instant::now());
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            health.learn(throttled(None), Pass::default(), now);
            assert_eq!(health.look(now), Look::Paused(seconds * SECOND));
            now += seconds * SECOND;
            assert_eq!(health.look(now), Look::Clear(Pass::default()));
        }
        health.learn(Lesson::Answered, Pass::default(), now);
        health.learn(throttled(None), Pass::default(), now);
        assert_eq!(health.pause_left(now), Some(SECOND));
    }

    #[test]
    fn the_longer_of_what_is_said_and_what_is_in_force_counts() {
        for (said, pause) in [
            (vec![Some(10), Some(3)], 10),
            (vec![Some(3), Some(10)], 10),
            (vec![Some(3), None, None], 3),
            (vec![None, None, None], 1),
            (vec![Some(0)], 1),
            (vec![Some(u64::MAX)], 3600),
        ] {
            let (mut health, now) = (health(), Instant::now());
            for seconds in &said {
                health.learn(throttled(*seconds), Pass::default(), now);
            }
            assert_eq!(health.pause_left(now), Some(pause * SECOND), "{said:?}");
        }
    }

    #[test]
    fn a_stopped_key_is_probed_once_every_ten_or_five_minutes() {
        for (lesson, fault, minutes) in
            [(Lesson::KeyRejected, Fault::KeyRejected, 10), (Lesson::OutOfCredits, Fault::ProviderOutOfCredits, 5)]
        {
            let (mut health, mut now) = (health(), Instant::now());
            let refused = Look::Refused(Refusal::Stopped(fault));
            health.learn(lesson, Pass::default(), now);
            for _ in 0..3 {
                now += minutes * 60 * SECOND - SECOND;
                assert_eq!(health.look(now), refused);
                now += SECOND;
                let pass = probe(&mut health, now).unwrap();
                assert_eq!(health.look(now), refused, "one probe at a time");
                health.learn(lesson, pass, now);
            }
            now += minutes * 60 * SECOND;
            let pass = probe(&mut health, now).unwrap();
            health.learn(Lesson::Answered, pass, now);
            assert_eq!(health.look(now), Look::Clear(Pass::default()));
        }
    }

    #[test]
    fn only_the_probe_brings_a_stopped_key_back() {
        let (mut health, now) = (health(), Instant::now());
        health.learn(Lesson::OutOfCredits, Pass::default(), now);
        health.learn(Lesson::Answered, Pass::default(), now);
        assert_eq!(health.look(now), Look::Refused(Refusal::Stopped(Fault::ProviderOutOfCredits)));
    }

    #[test]
    fn a_probe_that_taught_nothing_leaves_its_place_to_the_next() {
        let (mut health, mut now) = (health(), Instant::now());
        health.learn(Lesson::KeyRejected, Pass::default(), now);
        now += 600 * SECOND;
        let pass = probe(&mut health, now).unwrap();
        health.abandon(pass, now);
        assert!(probe(&mut health, now).is_some());
    }

    #[test]
    fn a_throttled_probe_is_repeated_after_the_pause() {
        let (mut health, mut now) = (health(), Instant::now());
        for _ in 0..3 {
            health.learn(Lesson::ProviderFault, Pass::default(), now);
        }
        now += 30 * SECOND;
        let pass = probe(&mut health, now).unwrap();
        health.learn(throttled(Some(7)), pass, now);
        assert_eq!(health.look(now), Look::Paused(7 * SECOND));
        assert!(probe(&mut health, now + 7 * SECOND).unwrap().is_probe());
    }

    #[test]
    fn the_state_is_told_in_words() {
        let (mut health, now) = (health(), Instant::now());
        assert_eq!(health.describe(now), "breaker closed");
        health.learn(throttled(Some(12)), Pass::default(), now);
        health.learn(Lesson::KeyRejected, Pass::default(), now);
        assert_eq!(health.describe(now), "breaker closed, paused for 12 s, stopped: key_rejected");
    }
}
