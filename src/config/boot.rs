//! The half that needs a restart: addresses and the worker's own shape.

use crate::config::reader::Reader;
use crate::config::secrets::SecretRef;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use std::net::SocketAddr;
use std::time::Duration;

/// What a process starts with.
#[derive(Debug, Clone)]
pub struct Boot {
    /// `sqlite://PATH` or `postgres://...`; may hold a password.
    pub store_url: SecretString,
    /// `amqp://...` or `amqps://...`; may hold a password.
    pub broker_url: SecretString,
    /// Slices a worker holds open.
    pub broker_prefetch: u32,
    /// Seals own keys at rest: 32 bytes, base64, not yet checked. `None` until its variable is set.
    pub master_key: Option<SecretString>,
    /// Leads in a slice.
    pub slice_size: u32,
    /// Slices of a job not yet fully started, on all workers together.
    pub slices_per_job: u32,
    /// How long a run works on a lead.
    pub lead_deadline: Duration,
    /// How long calls in flight may go on after a stop is asked for.
    pub drain: Duration,
    /// Where metrics are served, if anywhere.
    pub metrics_listen: Option<SocketAddr>,
    /// Roots that a message's `leads_from` may name.
    pub sources: Vec<String>,
}

impl Boot {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut store = reader.table(&["store"]);
        let store_url =
            store.connection("url", "sqlite://.weir/weir.db", &["sqlite://", "postgres://", "postgresql://"]);

        let mut broker = reader.table(&["broker"]);
        let broker_url = broker.connection("url", "amqp://guest:guest@127.0.0.1:5672/%2f", &["amqp://", "amqps://"]);
        let broker_prefetch = broker.within("prefetch", 16, 1..=1_000);

        let master_key = SecretRef::Variable("WEIR_MASTER_KEY".to_owned());
        let master_key = reader.table(&["secrets"]).secret("master_key", Some(master_key));

        let mut worker = reader.table(&["worker"]);
        let sources: Vec<String> = worker.or("sources", Vec::new());
        let known = ["file://", "https://", "s3://"];
        if !sources.iter().all(|root| known.iter().any(|scheme| root.starts_with(scheme))) {
            worker.mistake("sources", format!("each must begin with {}", known.join(" or ")));
        }
        Self {
            store_url,
            broker_url,
            broker_prefetch,
            master_key: master_key.and_then(|secret| secret.value),
            slice_size: worker.within("slice_size", 100, 1..=10_000),
            slices_per_job: worker.within("slices_per_job", 4, 1..=1_000),
            lead_deadline: worker.within("lead_deadline", minutes(10), Duration::from_millis(100)..=minutes(24 * 60)),
            drain: worker.within("drain", Duration::from_secs(25), Duration::ZERO..=minutes(10)),
            metrics_listen: worker.or("metrics_listen", None),
            sources,
        }
    }

    /// The keys whose secrets read otherwise in `other`.
    pub(super) fn changed_secrets(&self, other: &Self) -> impl Iterator<Item = &'static str> {
        let pairs = self.secrets().into_iter().zip(other.secrets());
        pairs.filter(|(ours, theirs)| ours != theirs).map(|((key, _), _)| key)
    }

    fn secrets(&self) -> [(&'static str, Option<&str>); 3] {
        [
            ("store.url", Some(self.store_url.expose_secret())),
            ("broker.url", Some(self.broker_url.expose_secret())),
            ("secrets.master_key", self.master_key.as_ref().map(|key| key.expose_secret())),
        ]
    }
}

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}
