//! Every series, who makes them, and how they are shown.

use crate::domain::ConfigVersion;
use crate::domain::KeySource;
use crate::domain::Outcome;
use crate::domain::ProviderName;
use crate::domain::Purpose;
use crate::domain::Reason;
use crate::domain::Status;
use crate::domain::Step;
use crate::domain::Tokens;
use crate::domain::Usd;
use crate::metrics::sums::Sums;
use crate::metrics::sums::lock;
use crate::queue::DeadReason;
use ::metrics::Counter;
use ::metrics::Gauge;
use ::metrics::Histogram;
use ::metrics::Key;
use ::metrics::Label;
use ::metrics::Level;
use ::metrics::Metadata;
use ::metrics::Recorder;
use metrics_exporter_prometheus::BuildError;
use metrics_exporter_prometheus::Matcher;
use metrics_exporter_prometheus::PrometheusBuilder;
use metrics_exporter_prometheus::PrometheusHandle;
use metrics_exporter_prometheus::PrometheusRecorder;
use std::collections::HashMap;
use std::fmt::Write;
use std::hash::Hash;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::time::Duration;

const ATTEMPTS: &str = "weir_attempts_total";
const LEADS: &str = "weir_leads_total";
const COPIES: &str = "weir_copies_total";
const TOKENS: &str = "weir_tokens_total";
const USAGE_MISSING: &str = "weir_usage_missing_total";
const CALLS_REPEATED: &str = "weir_calls_repeated_total";
const DEAD_LETTERS: &str = "weir_dead_letters_total";
const UNROUTABLE: &str = "weir_unroutable_total";
const COUNTERS: &[(&str, &str)] = &[
    (ATTEMPTS, "Attempts that ended, by how."),
    (LEADS, "Leads that ended, by how; identical leads included."),
    (COPIES, "Leads of copy jobs that ended, by what the copy is for and by how."),
    (TOKENS, "Tokens that models counted, by kind; reasoning is output."),
    (USAGE_MISSING, "Answers on house keys without a count of what they consumed: charged as much as was held."),
    (CALLS_REPEATED, "Calls made again because the first answer was lost."),
    (DEAD_LETTERS, "Messages put into weir.dead, by reason."),
    (UNROUTABLE, "Messages that no queue was bound to take, by type."),
];

const HOLDS_OPEN: &str = "weir_holds_open";
const SLICES_HELD: &str = "weir_slices_held";
const SLICES_SET_ASIDE: &str = "weir_slices_set_aside";
const OUTBOX_UNPUBLISHED: &str = "weir_outbox_unpublished";
const AMQP_BLOCKED: &str = "weir_amqp_blocked";
const GAUGES: &[(&str, &str)] = &[
    (HOLDS_OPEN, "Open holds in the store, of all workers."),
    (SLICES_HELD, "Slices this worker holds."),
    (SLICES_SET_ASIDE, "Slices in the store whose work broke: nobody claims them until their job is resumed."),
    (OUTBOX_UNPUBLISHED, "Events in the store that are not published yet; results are not among them."),
    (AMQP_BLOCKED, "1 while the broker takes no message from this worker (memory or disk alarm)."),
];

const LEAD_SECONDS: &str = "weir_lead_seconds";
const CALL_SECONDS: &str = "weir_call_seconds";
const BATCH_SIZE: &str = "weir_ledger_batch_size";
const COMMIT_SECONDS: &str = "weir_ledger_commit_seconds";
/// Name, meaning, and the upper ends of the buckets.
const HISTOGRAMS: &[(&str, &str, &[f64])] = &[
    (
        LEAD_SECONDS,
        "From the start of a run's work on a lead to its end, waits included.",
        &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0],
    ),
    (
        CALL_SECONDS,
        "One HTTP call to a provider.",
        // A call may take as long as the longest timeout that the configuration allows.
        &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0],
    ),
    (
        BATCH_SIZE,
        "What one commit of the ledger carried, in boundaries.",
        &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0],
    ),
    (
        COMMIT_SECONDS,
        "One commit of the ledger.",
        &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0],
    ),
];

const SPEND: &str = "weir_spend_usd_total";
const COPY_SPEND: &str = "weir_copy_spend_usd_total";
const HOUSE_LOSS: &str = "weir_house_loss_usd_total";
const CONFIG_VERSION: &str = "weir_config_version_info";

/// The recorder asks for it and makes no use of it.
static METADATA: Metadata<'static> = Metadata::new("weir", Level::INFO, None);

/// Every series of one process.
pub(super) struct Families {
    recorder: PrometheusRecorder,
    exporter: PrometheusHandle,
    attempts: Series<(Step, KeySource, Outcome), Counter>,
    leads: Series<(Status, Reason), Counter>,
    copies: Series<(Purpose, Status, Reason), Counter>,
    /// By provider and kind of token.
    tokens: Series<(ProviderName, &'static str), Counter>,
    usage_missing: Series<ProviderName, Counter>,
    calls_repeated: Series<ProviderName, Counter>,
    dead_letters: Series<DeadReason, Counter>,
    unroutable: Series<String, Counter>,
    call_seconds: Series<ProviderName, Histogram>,
    lead_seconds: Histogram,
    batch_size: Histogram,
    commit_seconds: Histogram,
    holds_open: Gauge,
    slices_held: Gauge,
    slices_set_aside: Gauge,
    outbox_unpublished: Gauge,
    amqp_blocked: Gauge,
    spend: Sums<ProviderName>,
    /// By what the copy is for.
    copy_spend: Sums<&'static str>,
    house_loss: Sums<ProviderName>,
    /// Shown here: the exporter takes no series back, and the former version has to go.
    config_version: Mutex<Option<ConfigVersion>>,
}

impl Families {
    pub(super) fn new() -> Result<Self, BuildError> {
        let recorder = recorder()?;
        let gauge = |name| recorder.register_gauge(&key(name, &[]), &METADATA);
        let histogram = |name| recorder.register_histogram(&key(name, &[]), &METADATA);
        let families = Self {
            exporter: recorder.handle(),
            attempts: Series::default(),
            leads: Series::default(),
            copies: Series::default(),
            tokens: Series::default(),
            usage_missing: Series::default(),
            calls_repeated: Series::default(),
            dead_letters: Series::default(),
            unroutable: Series::default(),
            call_seconds: Series::default(),
            lead_seconds: histogram(LEAD_SECONDS),
            batch_size: histogram(BATCH_SIZE),
            commit_seconds: histogram(COMMIT_SECONDS),
            holds_open: gauge(HOLDS_OPEN),
            slices_held: gauge(SLICES_HELD),
            slices_set_aside: gauge(SLICES_SET_ASIDE),
            outbox_unpublished: gauge(OUTBOX_UNPUBLISHED),
            amqp_blocked: gauge(AMQP_BLOCKED),
            spend: Sums::new(SPEND, "provider", "What customers were charged, in USD."),
            copy_spend: Sums::new(
                COPY_SPEND,
                "purpose",
                "What customers were charged for copy, pages included, in USD.",
            ),
            house_loss: Sums::new(HOUSE_LOSS, "provider", "Costs that no customer was charged, in USD."),
            config_version: Mutex::default(),
            recorder,
        };
        // Each begins at zero, so that the first dead letter, or the first cent, shows as a rise.
        for reason in DeadReason::ALL {
            families.dead_letter(reason, 0);
        }
        for purpose in [Purpose::Live, Purpose::Warmup] {
            families.copy_spend(purpose, Usd::ZERO);
        }
        Ok(families)
    }

    /// Prometheus text, version 0.0.4.
    pub(super) fn render(&self) -> String {
        let mut text = self.exporter.render();
        self.spend.show(&mut text);
        self.copy_spend.show(&mut text);
        self.house_loss.show(&mut text);
        show_version(&mut text, lock(&self.config_version).as_ref());
        text
    }

    pub(super) fn run_upkeep(&self) {
        self.exporter.run_upkeep();
    }

    pub(super) fn attempt(&self, step: &Step, key_source: KeySource, outcome: Outcome) {
        let labels = [
            ("provider", step.provider.as_str()),
            ("operation", step.operation.as_str()),
            ("key_source", key_source.as_str()),
            ("outcome", outcome.as_str()),
        ];
        let series = (step.clone(), key_source, outcome);
        self.attempts.find(&series, || self.counter(ATTEMPTS, &labels)).increment(1);
    }

    pub(super) fn lead_ended(&self, status: Status, reason: Reason, leads: u64) {
        let labels = [("status", status.as_str()), ("reason", reason.as_str())];
        self.leads.find(&(status, reason), || self.counter(LEADS, &labels)).increment(leads);
    }

    pub(super) fn copy_ended(&self, purpose: Purpose, status: Status, reason: Reason, leads: u64) {
        let labels = [("purpose", purpose.as_str()), ("status", status.as_str()), ("reason", reason.as_str())];
        self.copies.find(&(purpose, status, reason), || self.counter(COPIES, &labels)).increment(leads);
    }

    pub(super) fn copy_spend(&self, purpose: Purpose, cost: Usd) {
        self.copy_spend.add(&purpose.as_str(), cost);
    }

    pub(super) fn tokens(&self, provider: &ProviderName, tokens: Tokens) {
        for (kind, count) in [
            ("input", tokens.input),
            ("cached_input", tokens.cached_input),
            ("cache_write", tokens.cache_write),
            ("output", tokens.output),
        ] {
            let labels = [("provider", provider.as_str()), ("kind", kind)];
            let series = (provider.clone(), kind);
            self.tokens.find(&series, || self.counter(TOKENS, &labels)).increment(count);
        }
    }

    pub(super) fn usage_missing(&self, provider: &ProviderName, answers: u64) {
        let labels = [("provider", provider.as_str())];
        self.usage_missing.find(provider, || self.counter(USAGE_MISSING, &labels)).increment(answers);
    }

    pub(super) fn lead_seconds(&self, took: Duration) {
        self.lead_seconds.record(took);
    }

    pub(super) fn spend(&self, provider: &ProviderName, cost: Usd) {
        self.spend.add(provider, cost);
    }

    pub(super) fn house_loss(&self, provider: &ProviderName, cost: Usd) {
        self.house_loss.add(provider, cost);
    }

    pub(super) fn call_repeated(&self, provider: &ProviderName) {
        self.calls_repeated_of(provider).increment(1);
    }

    pub(super) fn known_provider(&self, provider: &ProviderName) {
        self.spend.add(provider, Usd::ZERO);
        self.house_loss.add(provider, Usd::ZERO);
        self.calls_repeated_of(provider).increment(0);
    }

    pub(super) fn known_model_provider(&self, provider: &ProviderName) {
        self.tokens(provider, Tokens::default());
        self.usage_missing(provider, 0);
    }

    pub(super) fn call_seconds(&self, provider: &ProviderName, took: Duration) {
        let labels = [("provider", provider.as_str())];
        let make = || self.recorder.register_histogram(&key(CALL_SECONDS, &labels), &METADATA);
        self.call_seconds.find(provider, make).record(took);
    }

    pub(super) fn ledger_batch(&self, size: usize, took: Duration) {
        self.batch_size.record(number(size));
        self.commit_seconds.record(took);
    }

    pub(super) fn config_version(&self, version: &ConfigVersion) {
        *lock(&self.config_version) = Some(version.clone());
    }

    pub(super) fn dead_letter(&self, reason: DeadReason, letters: u64) {
        let labels = [("reason", reason.as_str())];
        self.dead_letters.find(&reason, || self.counter(DEAD_LETTERS, &labels)).increment(letters);
    }

    pub(super) fn unroutable(&self, kind: &str) {
        self.unroutable.find(&kind.to_owned(), || self.counter(UNROUTABLE, &[("type", kind)])).increment(1);
    }

    pub(super) fn holds_open(&self, holds: u64) {
        self.holds_open.set(number(holds));
    }

    pub(super) fn slices_held(&self, slices: u64) {
        self.slices_held.set(number(slices));
    }

    pub(super) fn slices_set_aside(&self, slices: u64) {
        self.slices_set_aside.set(number(slices));
    }

    pub(super) fn outbox_unpublished(&self, rows: u64) {
        self.outbox_unpublished.set(number(rows));
    }

    pub(super) fn amqp_blocked(&self, blocked: bool) {
        self.amqp_blocked.set(u8::from(blocked));
    }

    fn calls_repeated_of(&self, provider: &ProviderName) -> Counter {
        let labels = [("provider", provider.as_str())];
        self.calls_repeated.find(provider, || self.counter(CALLS_REPEATED, &labels))
    }

    fn counter(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Counter {
        self.recorder.register_counter(&key(name, labels), &METADATA)
    }
}

/// The series of one family met so far, by what tells them apart.
struct Series<L, S>(RwLock<HashMap<L, S>>);

impl<L, S> Default for Series<L, S> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<L: Clone + Eq + Hash, S: Clone> Series<L, S> {
    /// The series of these labels; the first to ask makes it.
    fn find(&self, labels: &L, make: impl FnOnce() -> S) -> S {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(labels).cloned();
        known.unwrap_or_else(|| {
            let mut series = self.0.write().unwrap_or_else(PoisonError::into_inner);
            series.entry(labels.clone()).or_insert_with(make).clone()
        })
    }
}

/// A recorder that knows every meaning and every bucket.
fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for &(name, _, buckets) in HISTOGRAMS {
        builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)?;
    }
    let recorder = builder.build_recorder();
    for &(name, meaning) in COUNTERS {
        recorder.describe_counter(name.into(), None, meaning.into());
    }
    for &(name, meaning) in GAUGES {
        recorder.describe_gauge(name.into(), None, meaning.into());
    }
    for &(name, meaning, _) in HISTOGRAMS {
        recorder.describe_histogram(name.into(), None, meaning.into());
    }
    Ok(recorder)
}

fn key(name: &'static str, labels: &[(&'static str, &str)]) -> Key {
    let labels: Vec<Label> = labels.iter().map(|&(label, value)| Label::new(label, value.to_owned())).collect();
    Key::from_parts(name, labels)
}

/// For a gauge or a histogram, which are floats; held at four thousand million.
fn number(n: impl TryInto<u32>) -> f64 {
    f64::from(n.try_into().unwrap_or(u32::MAX))
}

fn show_version(text: &mut String, version: Option<&ConfigVersion>) {
    let _ = writeln!(text, "# HELP {CONFIG_VERSION} The live configuration in force.\n# TYPE {CONFIG_VERSION} gauge");
    if let Some(version) = version {
        let _ = writeln!(text, "{CONFIG_VERSION}{{version=\"{version}\"}} 1");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Cap;
    use crate::domain::Operation;
    use crate::domain::Verdict;
    use expect_test::expect;

    fn provider(name: &str) -> ProviderName {
        ProviderName::new(name)
    }

    fn usd(text: &str) -> Usd {
        text.parse().unwrap()
    }

    /// The samples, sorted, without the buckets.
    fn samples(families: &Families) -> String {
        let text = families.render();
        let mut lines: Vec<&str> = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        lines.retain(|line| !line.contains("_bucket{"));
        lines.sort_unstable();
        lines.join("\n")
    }

    /// Those that name it.
    fn samples_of(families: &Families, name: &str) -> String {
        let samples = samples(families);
        samples.lines().filter(|line| line.contains(name)).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn every_metric_is_shown_under_its_name_with_its_labels() {
        let families = Families::new().unwrap();
        let find = Step::new(provider("leadmagic"), Operation::FindEmail);
        let verify = Step::new(provider("zerobounce"), Operation::VerifyEmail);
        families.attempt(&find, KeySource::House, Outcome::Found);
        families.attempt(&find, KeySource::House, Outcome::Capped(Cap::Job));
        families.attempt(&find, KeySource::House, Outcome::Capped(Cap::Lead));
        families.attempt(&verify, KeySource::Own, Outcome::Judged(Verdict::CatchAll));
        families.spend(&provider("leadmagic"), usd("0.0125"));
        families.house_loss(&provider("zerobounce"), usd("0.000000001"));
        families.call_repeated(&provider("leadmagic"));
        families.holds_open(3);
        families.lead_ended(Status::Verified, Reason::None, 3);
        families.copy_ended(Purpose::Live, Status::Written, Reason::None, 1);
        families.copy_ended(Purpose::Warmup, Status::Failed, Reason::Refused, 2);
        families.copy_spend(Purpose::Warmup, usd("0.001"));
        families
            .tokens(&provider("openai"), Tokens { input: 7, cached_input: 5, cache_write: 3, output: 2, reasoning: 1 });
        families.usage_missing(&provider("openai"), 1);
        families.lead_seconds(Duration::from_millis(1500));
        families.call_seconds(&provider("leadmagic"), Duration::from_millis(250));
        families.ledger_batch(7, Duration::from_millis(500));
        families.config_version(&ConfigVersion::new("0123456789ab"));
        families.dead_letter(DeadReason::Conflict, 1);
        families.unroutable("weir.wallet_low.v1");
        families.amqp_blocked(true);
        families.slices_held(16);
        families.slices_set_aside(1);
        families.outbox_unpublished(2);
        expect![[r#"
            weir_amqp_blocked 1
            weir_attempts_total{provider="leadmagic",operation="find_email",key_source="house",outcome="capped"} 2
            weir_attempts_total{provider="leadmagic",operation="find_email",key_source="house",outcome="found"} 1
            weir_attempts_total{provider="zerobounce",operation="verify_email",key_source="own",outcome="catch_all"} 1
            weir_call_seconds_count{provider="leadmagic"} 1
            weir_call_seconds_sum{provider="leadmagic"} 0.25
            weir_calls_repeated_total{provider="leadmagic"} 1
            weir_config_version_info{version="0123456789ab"} 1
            weir_copies_total{purpose="live",status="written",reason="none"} 1
            weir_copies_total{purpose="warmup",status="failed",reason="refused"} 2
            weir_copy_spend_usd_total{purpose="live"} 0.000000000
            weir_copy_spend_usd_total{purpose="warmup"} 0.001000000
            weir_dead_letters_total{reason="conflict"} 1
            weir_dead_letters_total{reason="gave_up"} 0
            weir_dead_letters_total{reason="invalid"} 0
            weir_dead_letters_total{reason="not_json"} 0
            weir_dead_letters_total{reason="source_refused"} 0
            weir_dead_letters_total{reason="too_large"} 0
            weir_dead_letters_total{reason="unknown_model"} 0
            weir_dead_letters_total{reason="unknown_type"} 0
            weir_dead_letters_total{reason="unknown_waterfall"} 0
            weir_holds_open 3
            weir_house_loss_usd_total{provider="zerobounce"} 0.000000001
            weir_lead_seconds_count 1
            weir_lead_seconds_sum 1.5
            weir_leads_total{status="verified",reason="none"} 3
            weir_ledger_batch_size_count 1
            weir_ledger_batch_size_sum 7
            weir_ledger_commit_seconds_count 1
            weir_ledger_commit_seconds_sum 0.5
            weir_outbox_unpublished 2
            weir_slices_held 16
            weir_slices_set_aside 1
            weir_spend_usd_total{provider="leadmagic"} 0.012500000
            weir_tokens_total{provider="openai",kind="cache_write"} 3
            weir_tokens_total{provider="openai",kind="cached_input"} 5
            weir_tokens_total{provider="openai",kind="input"} 7
            weir_tokens_total{provider="openai",kind="output"} 2
            weir_unroutable_total{type="weir.wallet_low.v1"} 1
            weir_usage_missing_total{provider="openai"} 1"#]]
        .assert_eq(&samples(&families));
    }

    #[test]
    fn histograms_have_their_buckets() {
        let families = Families::new().unwrap();
        families.call_seconds(&provider("leadmagic"), Duration::from_millis(250));
        let text = families.render();
        let mut shown = String::new();
        for (name, _, _) in HISTOGRAMS {
            let start = format!("{name}_bucket{{");
            let ends = text.lines().filter(|line| line.starts_with(&start));
            let ends: Vec<&str> =
                ends.map(|line| line.split("le=\"").nth(1).unwrap().split('"').next().unwrap()).collect();
            writeln!(shown, "{name} {}", ends.join(" ")).unwrap();
        }
        expect![[r#"
            weir_lead_seconds 0.05 0.1 0.25 0.5 1 2.5 5 10 30 60 120 300 600 +Inf
            weir_call_seconds 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10 30 60 120 300 600 +Inf
            weir_ledger_batch_size 1 2 4 8 16 32 64 128 256 512 1024 +Inf
            weir_ledger_commit_seconds 0.0005 0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 +Inf
        "#]]
        .assert_eq(&shown);
    }

    #[test]
    fn money_is_exact_decimal_text_and_never_falls() {
        let families = Families::new().unwrap();
        let leadmagic = provider("leadmagic");
        for _ in 0..10 {
            families.spend(&leadmagic, usd("0.100000001"));
        }
        families.spend(&leadmagic, usd("-5"));
        assert!(samples(&families).contains("weir_spend_usd_total{provider=\"leadmagic\"} 1.000000010"));
        families.spend(&leadmagic, Usd::MAX);
        assert!(samples(&families).contains("weir_spend_usd_total{provider=\"leadmagic\"} 9223372036.854775807"));
    }

    #[test]
    fn a_known_provider_begins_at_zero() {
        let families = Families::new().unwrap();
        families.known_provider(&provider("prospeo"));
        expect![[r#"
            weir_calls_repeated_total{provider="prospeo"} 0
            weir_house_loss_usd_total{provider="prospeo"} 0.000000000
            weir_spend_usd_total{provider="prospeo"} 0.000000000"#]]
        .assert_eq(&samples_of(&families, "prospeo"));
    }

    #[test]
    fn what_models_count_begins_at_zero_for_who_serves_one() {
        let families = Families::new().unwrap();
        families.known_model_provider(&provider("openai"));
        expect![[r#"
            weir_tokens_total{provider="openai",kind="cache_write"} 0
            weir_tokens_total{provider="openai",kind="cached_input"} 0
            weir_tokens_total{provider="openai",kind="input"} 0
            weir_tokens_total{provider="openai",kind="output"} 0
            weir_usage_missing_total{provider="openai"} 0"#]]
        .assert_eq(&samples_of(&families, "openai"));
    }

    #[test]
    fn only_the_version_in_force_is_shown() {
        let families = Families::new().unwrap();
        families.config_version(&ConfigVersion::new("aaaaaaaaaaaa"));
        families.config_version(&ConfigVersion::new("bbbbbbbbbbbb"));
        let text = families.render();
        assert!(text.contains("weir_config_version_info{version=\"bbbbbbbbbbbb\"} 1\n"));
        assert!(!text.contains("aaaaaaaaaaaa"));
    }
}
