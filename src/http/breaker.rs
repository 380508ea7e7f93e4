//! The breaker: a pure state machine, the clock is an argument.

use std::time::Duration;
use tokio::time::Instant;

/// Opens after consecutive faults of the provider, and closes when a probe is answered.
#[derive(Debug)]
pub(crate) struct Breaker {
    state: State,
    failures: u32,
    open_for: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed { consecutive: u32 },
    Open { until: Instant },
    HalfOpen { probing: bool },
}

/// What the breaker says to the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stand {
    Closed,
    /// One call may go, as a probe.
    ProbeDue,
    /// No call; look again after this.
    Open(Duration),
}

/// Whether a call was let through to find out how things are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Call {
    #[default]
    Ordinary,
    Probe,
}

impl Breaker {
    pub(crate) const fn new(failures: u32, open_for: Duration) -> Self {
        Self { state: State::Closed { consecutive: 0 }, failures, open_for }
    }

    /// Other limits from now on; what was counted stays, and so does a date already set.
    pub(crate) fn adjust(&mut self, failures: u32, open_for: Duration) {
        self.failures = failures;
        self.open_for = open_for;
    }

    pub(crate) fn stand(&self, now: Instant) -> Stand {
        match self.state {
            State::Closed { .. } => Stand::Closed,
            State::Open { until } if now < until => Stand::Open(until - now),
            State::Open { .. } | State::HalfOpen { probing: false } => Stand::ProbeDue,
            // If the probe fails, this is how long it will be at least.
            State::HalfOpen { probing: true } => Stand::Open(self.open_for),
        }
    }

    pub(crate) fn begin_probe(&mut self) {
        self.state = State::HalfOpen { probing: true };
    }

    pub(crate) fn succeeded(&mut self, call: Call) {
        match (self.state, call) {
            (State::Closed { .. }, _) | (_, Call::Probe) => self.state = State::Closed { consecutive: 0 },
            // Begun before it opened: it proves nothing.
            (State::Open { .. } | State::HalfOpen { .. }, Call::Ordinary) => {}
        }
    }

    pub(crate) fn failed(&mut self, call: Call, now: Instant) {
        let open = State::Open { until: now + self.open_for };
        match (self.state, call) {
            (State::Closed { consecutive }, _) if consecutive + 1 < self.failures => {
                self.state = State::Closed { consecutive: consecutive + 1 };
            }
            (State::Closed { .. }, _) | (_, Call::Probe) => self.state = open,
            (State::Open { .. } | State::HalfOpen { .. }, Call::Ordinary) => {}
        }
    }

    /// The probe ended without saying anything of the provider: the next call may probe.
    pub(crate) fn probe_again(&mut self) {
        self.state = State::HalfOpen { probing: false };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN_FOR: Duration = Duration::from_secs(30);

    /// Runs a breaker of three failures through `steps` and shows how it stands after each.
    fn check(steps: &str, stands: &str) {
        let mut now = Instant::now();
        let mut breaker = Breaker::new(3, OPEN_FOR);
        let mut seen = Vec::new();
        for step in steps.split_whitespace() {
            match step {
                "ok" => breaker.succeeded(Call::Ordinary),
                "fault" => breaker.failed(Call::Ordinary, now),
                "probe" => breaker.begin_probe(),
                "probe-ok" => breaker.succeeded(Call::Probe),
                "probe-fault" => breaker.failed(Call::Probe, now),
                "probe-nothing" => breaker.probe_again(),
                seconds => now += Duration::from_secs(seconds.parse().unwrap()),
            }
            seen.push(match breaker.stand(now) {
                Stand::Closed => "closed".to_owned(),
                Stand::ProbeDue => "due".to_owned(),
                Stand::Open(left) => left.as_secs().to_string(),
            });
        }
        assert_eq!(seen.join(" "), stands, "{steps}");
    }

    #[test]
    fn only_consecutive_faults_open_it() {
        check("fault fault ok fault fault", "closed closed closed closed closed");
        check("fault fault fault", "closed closed 30");
    }

    #[test]
    fn it_stays_open_for_its_time_and_then_lets_one_probe_through() {
        check("fault fault fault 29 1 probe", "closed closed 30 1 due 30");
    }

    #[test]
    fn a_probe_closes_it_or_opens_it_again() {
        check("fault fault fault 30 probe probe-ok fault fault", "closed closed 30 due 30 closed closed closed");
        check("fault fault fault 30 probe 5 probe-fault 29 1", "closed closed 30 due 30 30 30 1 due");
        check("fault fault fault 30 probe probe-nothing probe", "closed closed 30 due 30 due 30");
    }

    #[test]
    fn calls_begun_before_it_opened_change_nothing() {
        check("fault fault fault 10 fault ok", "closed closed 30 20 20 20");
        check("fault fault fault 30 probe ok fault", "closed closed 30 due 30 30 30");
    }

    #[test]
    fn other_limits_keep_what_was_counted() {
        let now = Instant::now();
        let mut breaker = Breaker::new(3, OPEN_FOR);
        breaker.failed(Call::Ordinary, now);
        breaker.adjust(2, OPEN_FOR * 2);
        breaker.failed(Call::Ordinary, now);
        assert_eq!(breaker.stand(now), Stand::Open(OPEN_FOR * 2));
    }
}
