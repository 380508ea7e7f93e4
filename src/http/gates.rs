//! All gates of this worker. They outlive configurations: a reload changes limits, not what was learned.

use crate::domain::ProviderName;
use crate::http::gate::Gate;
use crate::http::limits::Limits;
use crate::http::limits::Share;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use sha2::Digest;
use sha2::Sha256;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// Beyond this many, gates that nobody uses are forgotten when another is made.
const MOST_GATES: usize = 16_384;

/// Tells keys apart without holding them: the first 8 bytes of the key's SHA-256. Never shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(u64);

impl KeyId {
    /// Equal for equal keys.
    pub fn of(key: &SecretString) -> Self {
        let digest = Sha256::digest(key.expose_secret().as_bytes());
        Self(digest.into_iter().take(8).fold(0, |id, byte| (id << 8) | u64::from(byte)))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyId(…)")
    }
}

/// One gate per (provider, key): a customer's dead key never closes a provider for others.
#[derive(Default)]
pub struct Gates {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    gates: HashMap<(ProviderName, KeyId), Arc<Gate>>,
    /// Of every gate, and of those that are made later.
    share: Share,
}

impl Gates {
    /// The gate, made at first use; it keeps to this worker's share of `limits` from now on. Give the
    /// newest limits, not those a lead started with: a change of rate begins a new count.
    pub fn gate(&self, provider: &ProviderName, key: KeyId, limits: &Limits) -> Arc<Gate> {
        let mut state = self.state();
        let State { gates, share } = &mut *state;
        if gates.len() >= MOST_GATES {
            gates.retain(|_, gate| Arc::strong_count(gate) > 1);
        }
        let gate = gates.entry((provider.clone(), key)).or_insert_with(|| Arc::new(Gate::new(limits, *share)));
        gate.adjust(limits);
        Arc::clone(gate)
    }

    /// So many live workers, this one included, keep every limit together from now on; zero counts as
    /// one. A change gives each gate a new count that begins without a burst; what was learned stays.
    pub fn share_among(&self, workers: u32) {
        let mut state = self.state();
        state.share = Share::among(workers);
        for gate in state.gates.values() {
            gate.share(state.share);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Admission;
    use crate::http::Lesson;
    use crate::http::Refusal;
    use std::time::Duration;
    use tokio::time::Instant;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits(breaker_failures: u32) -> Limits {
        Limits {
            requests_per_second: None,
            max_in_flight: None,
            breaker_failures,
            breaker_open: Duration::from_secs(30),
        }
    }

    fn report(gate: &Arc<Gate>, lesson: Lesson) {
        let Admission::Go(mut permit) = gate.admit() else { panic!("{}", gate.state_line()) };
        permit.report(lesson);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_key_closes_the_provider_for_nobody_else() {
        let gates = Gates::default();
        let provider = ProviderName::new("leadmagic");
        let [dead, broken, fine] = ["dead", "broken", "fine"].map(|key| KeyId::of(&key.into()));
        report(&gates.gate(&provider, dead, &limits(1)), Lesson::KeyRejected);
        report(&gates.gate(&provider, broken, &limits(1)), Lesson::ProviderFault);
        for (key, refused) in [(dead, true), (broken, true), (fine, false)] {
            let admission = gates.gate(&provider, key, &limits(1)).admit();
            assert_eq!(matches!(admission, Admission::Refused(_)), refused);
        }
        report(&gates.gate(&ProviderName::new("prospeo"), dead, &limits(1)), Lesson::Answered);
    }

    #[tokio::test(start_paused = true)]
    async fn other_limits_keep_what_was_learned() {
        let gates = Gates::default();
        let (provider, key) = (ProviderName::new("leadmagic"), KeyId::of(&"key".into()));
        report(&gates.gate(&provider, key, &limits(3)), Lesson::ProviderFault);
        report(&gates.gate(&provider, key, &limits(2)), Lesson::ProviderFault);
        let admission = gates.gate(&provider, key, &limits(9)).admit();
        assert!(matches!(admission, Admission::Refused(Refusal::BreakerOpen(_))));
    }

    fn five_a_second(gates: &Gates, key: &str) -> Arc<Gate> {
        let limits = Limits { requests_per_second: Some(5), ..limits(1) };
        gates.gate(&ProviderName::new("prospeo"), KeyId::of(&key.into()), &limits)
    }

    /// Calls as fast as it may until `end`; when it called, counted from `start`.
    async fn press(gate: &Arc<Gate>, start: Instant, end: Duration) -> Vec<Duration> {
        let mut calls = Vec::new();
        while start.elapsed() < end {
            drop(gate.permit().await.unwrap());
            calls.push(start.elapsed());
        }
        calls
    }

    /// The most calls in any second.
    fn most_in_a_second(calls: &[Duration]) -> usize {
        let from = |at: Duration| calls.iter().filter(|other| (at..at + SECOND).contains(*other)).count();
        calls.iter().map(|at| from(*at)).max().unwrap_or_default()
    }

    #[tokio::test(start_paused = true)]
    async fn three_workers_together_keep_the_rate_of_one_key() {
        let workers = [Gates::default(), Gates::default(), Gates::default()];
        for gates in &workers {
            gates.share_among(3);
        }
        let [one, two, three] = workers.each_ref().map(|gates| five_a_second(gates, "key"));
        let (start, minute) = (Instant::now(), 60 * SECOND);
        let (one, two, three) =
            tokio::join!(press(&one, start, minute), press(&two, start, minute), press(&three, start, minute));
        let calls = [one, two, three].concat();
        assert!(most_in_a_second(&calls) <= 5 + 3, "{calls:?}");
        assert!((294..=306).contains(&calls.len()), "{}", calls.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_comes_or_goes_changes_every_share_at_once_and_adds_no_burst() {
        let (old, new) = (Gates::default(), Gates::default());
        let mine = five_a_second(&old, "key");
        let start = Instant::now();
        let mut calls = press(&mine, start, 10 * SECOND).await;
        assert!((49..=52).contains(&calls.len()), "{}", calls.len());

        old.share_among(2);
        new.share_among(2);
        let theirs = five_a_second(&new, "key");
        let (more, others) = tokio::join!(press(&mine, start, 20 * SECOND), press(&theirs, start, 20 * SECOND));
        assert!((48..=52).contains(&(more.len() + others.len())), "{} and {}", more.len(), others.len());
        calls.extend(more);
        calls.extend(others);

        old.share_among(1);
        let alone = press(&mine, start, 30 * SECOND).await;
        assert!((48..=51).contains(&alone.len()), "{}", alone.len());
        calls.extend(alone);
        assert!(most_in_a_second(&calls) <= 5 + 2, "{calls:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn another_share_keeps_what_was_learned() {
        let gates = Gates::default();
        let gate = five_a_second(&gates, "key");
        report(&gate, Lesson::KeyRejected);
        gates.share_among(4);
        assert!(matches!(gate.admit(), Admission::Refused(Refusal::Stopped(_))));
        assert!(Arc::ptr_eq(&gate, &five_a_second(&gates, "key")));
    }

    #[test]
    fn a_key_id_tells_keys_apart_and_shows_nothing() {
        let id = |key: &str| KeyId::of(&key.into());
        assert_eq!(id("a"), id("a"));
        assert_ne!(id("a"), id("b"));
        // SHA-256 of the empty text begins e3b0c44298fc1c14.
        assert_eq!(id(""), KeyId(0xe3b0_c442_98fc_1c14));
        assert_eq!(format!("{:?}", id("a")), "KeyId(…)");
    }
}
