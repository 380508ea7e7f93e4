//! All gates of this worker. They outlive configurations: a reload changes limits, not what was learned.

use crate::domain::ProviderName;
use crate::http::gate::Gate;
use crate::http::limits::Limits;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use sha2::Digest;
use sha2::Sha256;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
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
    gates: Mutex<HashMap<(ProviderName, KeyId), Arc<Gate>>>,
}

impl Gates {
    /// The gate, made at first use; it keeps to `limits` from now on. Give the newest limits, not
    /// those a lead started with: a change of rate begins a new count.
    pub fn gate(&self, provider: &ProviderName, key: KeyId, limits: &Limits) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if gates.len() >= MOST_GATES {
            gates.retain(|_, gate| Arc::strong_count(gate) > 1);
        }
        let gate = gates.entry((provider.clone(), key)).or_insert_with(|| Arc::new(Gate::new(limits)));
        gate.adjust(limits);
        Arc::clone(gate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Admission;
    use crate::http::Lesson;
    use crate::http::Refusal;
    use std::time::Duration;

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
