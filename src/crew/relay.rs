//! Happenings on their way out: each was written in the commit that caused it, and any worker tells it.

use crate::clock;
use crate::crew::teller::Episode;
use crate::crew::teller::event;
use crate::crew::teller::reply_copy;
use crate::domain::CampaignId;
use crate::domain::KeySource;
use crate::domain::Reason;
use crate::domain::Run;
use crate::domain::Usd;
use crate::jobs::Progress;
use crate::jobs::StoredJob;
use crate::ledger::Happening;
use crate::ledger::LedgerError;
use crate::ledger::StoredHappening;
use crate::messages::CampaignDeactivated;
use crate::messages::JobCompleted;
use crate::messages::KeyRejected;
use crate::messages::Message;
use crate::messages::ProviderOutOfCredits;
use crate::messages::WalletEmpty;
use crate::messages::WalletLow;
use crate::messages::event_id;
use crate::messages::must_be_routed;
use crate::messages::run_event_id;
use crate::metrics;
use crate::queue::NotPublished;
use crate::queue::Outgoing;
use crate::queue::Publish;
use crate::queue::To;
use crate::store::Store;
use crate::worker::Tasks;
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio::time::sleep;

/// Happenings taken, and told side by side.
const AT_ONCE: u16 = 100;
/// So long nobody else tells what was taken; what was not told then comes again.
const LEASE: Duration = Duration::from_secs(60);
/// Between two looks into an outbox that was empty.
const IDLE: Duration = Duration::from_millis(250);
/// After a look that failed, and one of which nothing could be told.
const TROUBLED: Duration = Duration::from_secs(1);
/// Between two counts of what waits.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// Tells happenings.
pub(super) struct Relay {
    store: Arc<dyn Store>,
    publisher: Arc<dyn Publish>,
    tasks: Tasks,
    store_fails: Episode,
    unroutable: Episode,
    unconfirmed: Episode,
}

/// What became of one happening, or one of its messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Relayed {
    /// It may be forgotten.
    Told,
    /// It is told again when its lease has lapsed.
    Left,
}

impl Relay {
    /// Tells what `store` keeps until `tasks` say stop.
    pub(super) fn new(store: Arc<dyn Store>, publisher: Arc<dyn Publish>, tasks: Tasks) -> Self {
        Self {
            store,
            publisher,
            tasks,
            store_fails: Episode::default(),
            unroutable: Episode::default(),
            unconfirmed: Episode::default(),
        }
    }

    /// Until a stop.
    pub(super) async fn run(self) {
        let mut count_at = Instant::now();
        loop {
            let round = self.round(&mut count_at).await;
            tokio::select! {
                biased;
                () = self.tasks.stopping() => return,
                () = sleep(self.bear(round)) => {}
            }
        }
    }

    async fn round(&self, count_at: &mut Instant) -> Result<Duration, LedgerError> {
        let pause = self.relay_some().await?;
        if Instant::now() >= *count_at {
            metrics::outbox_unpublished(self.store.happenings().await?);
            *count_at = Instant::now() + COUNT_EVERY;
        }
        Ok(pause)
    }

    /// Tells what can be told now; how long to wait then.
    async fn relay_some(&self) -> Result<Duration, LedgerError> {
        let taken = self.store.take_happenings(AT_ONCE.into(), LEASE).await?;
        let mut tellings = Vec::with_capacity(taken.len());
        for stored in &taken {
            tellings.push(self.tell(stored));
        }
        let relayed = join_all(tellings).await;
        let told = taken.iter().zip(relayed).filter(|(_, relayed)| *relayed == Relayed::Told);
        let told: Vec<i64> = told.map(|(stored, _)| stored.seq).collect();
        let pause = pause_after(taken.len(), told.len());
        if !told.is_empty() {
            self.store.forget_happenings(told).await?;
        }
        Ok(pause)
    }

    async fn tell(&self, stored: &StoredHappening) -> Relayed {
        let messages = match self.messages_of(stored).await {
            Ok(messages) => messages,
            Err(error) => {
                tracing::warn!(kind = stored.what.kind(), "a happening cannot be told yet: {error}");
                return Relayed::Left;
            }
        };
        for message in messages {
            if self.publish(message).await == Relayed::Left {
                return Relayed::Left;
            }
        }
        Relayed::Told
    }

    async fn messages_of(&self, stored: &StoredHappening) -> Result<Vec<Outgoing>, LedgerError> {
        let Happening::JobCompleted { job, run, .. } = &stored.what else {
            return Ok(notice_of(stored).into_iter().collect());
        };
        let Some(job) = self.store.read_job(*job).await? else {
            tracing::error!(job = job.0, "a job that has completed is not in the store: nobody is told");
            return Ok(Vec::new());
        };
        let progress = self.store.progress(job.key).await?;
        let no_cost = || LedgerError::Corrupt(format!("the job {} has no cost", job.id));
        let cost = progress.cost.ok_or_else(no_cost)?;
        let completed = completion_of(&job, &progress, cost, *run, clock::timestamp(stored.at_ms));
        let told = event(&completed, &completed.event_id);
        let reply = job.reply.as_ref().map(|reply| reply_copy(&told, reply));
        Ok(std::iter::once(told).chain(reply).collect())
    }

    async fn publish(&self, message: Outgoing) -> Relayed {
        let (kind, must_arrive) = (message.kind.clone(), must_arrive(&message));
        let answer = self.publisher.publish(message).await;
        match &answer {
            Ok(()) => {
                let ended = self.unconfirmed.ends();
                if (must_arrive && self.unroutable.ends()) || ended {
                    tracing::info!("events are told again");
                }
            }
            Err(NotPublished::Unroutable) => {
                metrics::unroutable(&kind);
                if must_arrive && self.unroutable.begins() {
                    tracing::error!("no queue takes {kind}: bind one to weir.events; it is kept and tried again");
                }
            }
            Err(NotPublished::Unconfirmed(why)) => {
                if self.unconfirmed.begins() {
                    tracing::warn!("events cannot be told, and are kept: {why}");
                }
            }
        }
        fate(&answer, must_arrive)
    }

    /// How long to wait after this round.
    fn bear(&self, round: Result<Duration, LedgerError>) -> Duration {
        match round {
            Ok(pause) => {
                if self.store_fails.ends() {
                    tracing::info!("happenings are read again");
                }
                pause
            }
            Err(error) => {
                if self.store_fails.begins() {
                    tracing::warn!("happenings cannot be read: {error}");
                }
                TROUBLED
            }
        }
    }
}

/// At once while there is more, and slowly while nothing gets through.
fn pause_after(taken: usize, told: usize) -> Duration {
    if taken > 0 && told == 0 {
        TROUBLED
    } else if taken >= usize::from(AT_ONCE) {
        Duration::ZERO
    } else {
        IDLE
    }
}

/// An event of such a kind must lie in a queue; a sender's own copy need not.
fn must_arrive(message: &Outgoing) -> bool {
    match &message.to {
        To::Events(_) => must_be_routed(&message.kind),
        To::Jobs(_) | To::Control | To::Queue(_) | To::Retry(..) => false,
    }
}

fn fate(answer: &Result<(), NotPublished>, must_arrive: bool) -> Relayed {
    match answer {
        Ok(()) => Relayed::Told,
        Err(NotPublished::Unroutable) if must_arrive => Relayed::Left,
        // Nobody wanted to know.
        Err(NotPublished::Unroutable) => Relayed::Told,
        Err(NotPublished::Unconfirmed(_)) => Relayed::Left,
    }
}

/// What a happening is told as. `None` for a completion: it says what only the job knows.
fn notice_of(stored: &StoredHappening) -> Option<Outgoing> {
    let event_id = event_id(&[stored.what.kind(), &stored.key]);
    let id = event_id.clone();
    let at = clock::timestamp(stored.at_ms);
    Some(match stored.what.clone() {
        Happening::WalletLow { workspace, balance, threshold } => {
            event(&WalletLow { event_id, at, workspace_id: workspace, balance, threshold }, &id)
        }
        Happening::WalletEmpty { workspace, balance, threshold } => {
            event(&WalletEmpty { event_id, at, workspace_id: workspace, balance, threshold }, &id)
        }
        Happening::CampaignDeactivated { workspace, campaign } => {
            let (workspace_id, campaign_id) = (workspace, CampaignId::new(campaign));
            let reason = Reason::WalletEmpty;
            event(&CampaignDeactivated { event_id, at, workspace_id, campaign_id, reason }, &id)
        }
        Happening::KeyRejected { workspace, provider, key_source } => {
            event(&KeyRejected { event_id, at, workspace_id: workspace, provider, key_source }, &id)
        }
        Happening::ProviderOutOfCredits { provider } => {
            let key_source = KeySource::House;
            event(&ProviderOutOfCredits { event_id, at, workspace_id: None, provider, key_source }, &id)
        }
        Happening::JobCompleted { .. } => return None,
    })
}

/// A completion with how its job stands now.
fn completion_of(job: &StoredJob, progress: &Progress, cost: Usd, run: Run, at: String) -> JobCompleted {
    JobCompleted {
        event_id: run_event_id(JobCompleted::KIND, &job.id, None, run),
        at,
        job_id: job.id.clone(),
        workspace_id: job.workspace.clone(),
        campaign_id: job.campaign.clone(),
        by_status: progress.by_status.iter().copied().filter(|(_, leads)| *leads > 0).collect(),
        by_reason: progress.by_reason.iter().copied().filter(|(_, leads)| *leads > 0).collect(),
        cost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::CampaignId;
    use crate::domain::Fingerprint;
    use crate::domain::JobId;
    use crate::domain::ProviderName;
    use crate::domain::Status;
    use crate::domain::WaterfallName;
    use crate::domain::WorkspaceId;
    use crate::jobs::JobState;
    use crate::ledger::AccountId;
    use crate::ledger::JobKey;
    use expect_test::expect;

    fn stored(what: Happening) -> StoredHappening {
        StoredHappening { seq: 1, key: "acme/7".to_owned(), at_ms: 1_800_000_000_000, what }
    }

    fn acme() -> WorkspaceId {
        WorkspaceId::new("acme")
    }

    fn completed() -> Happening {
        Happening::JobCompleted { workspace: acme(), job: JobKey(1), run: Run::FIRST }
    }

    fn happenings() -> [Happening; 6] {
        let provider = ProviderName::new("leadmagic");
        let (balance, threshold) = (Usd::from_nanos(5_000_000), Usd::from_nanos(10_000_000_000));
        [
            Happening::WalletLow { workspace: acme(), balance, threshold },
            Happening::WalletEmpty { workspace: acme(), balance, threshold },
            Happening::CampaignDeactivated { workspace: acme(), campaign: "cmp_1".to_owned() },
            Happening::KeyRejected { workspace: Some(acme()), provider: provider.clone(), key_source: KeySource::Own },
            Happening::KeyRejected { workspace: None, provider: provider.clone(), key_source: KeySource::House },
            Happening::ProviderOutOfCredits { provider },
        ]
    }

    #[test]
    fn every_happening_is_told_as_the_event_of_its_kind() {
        let mut told = String::new();
        for what in happenings() {
            let notice = notice_of(&stored(what.clone())).unwrap();
            assert_eq!(notice.kind, what.kind());
            assert_eq!(notice.message_id, event_id(&[what.kind(), "acme/7"]));
            let body = String::from_utf8(notice.body).unwrap().replace(&notice.message_id, "…");
            told.push_str(&format!("{:?} {body}\n", notice.to));
        }
        expect![[r#"
            Events("wallet_low") {"event_id":"…","at":"2027-01-15T08:00:00.000Z","workspace_id":"acme","balance":"0.005000000","threshold":"10.000000000"}
            Events("wallet_empty") {"event_id":"…","at":"2027-01-15T08:00:00.000Z","workspace_id":"acme","balance":"0.005000000","threshold":"10.000000000"}
            Events("campaign_deactivated") {"event_id":"…","at":"2027-01-15T08:00:00.000Z","workspace_id":"acme","campaign_id":"cmp_1","reason":"wallet_empty"}
            Events("key_rejected") {"event_id":"…","at":"2027-01-15T08:00:00.000Z","workspace_id":"acme","provider":"leadmagic","key_source":"own"}
            Events("key_rejected") {"event_id":"…","at":"2027-01-15T08:00:00.000Z","workspace_id":null,"provider":"leadmagic","key_source":"house"}
            Events("provider_out_of_credits") {"event_id":"…","at":"2027-01-15T08:00:00.000Z","workspace_id":null,"provider":"leadmagic","key_source":"house"}
        "#]]
        .assert_eq(&told);
        assert_eq!(notice_of(&stored(completed())), None);
        assert_eq!(completed().kind(), JobCompleted::KIND);
    }

    #[test]
    fn a_completion_counts_what_there_is_and_is_new_in_every_run() {
        let job = StoredJob {
            key: JobKey(1),
            id: JobId::new("job_1"),
            workspace: acme(),
            account: AccountId(1),
            waterfall: WaterfallName::new("work_email"),
            content: Fingerprint::from_bytes([0; 16]),
            state: JobState::Completed,
            run: Run::FIRST,
            max_spend: None,
            funded: Usd::ZERO,
            held: Usd::ZERO,
            leads: 3,
            slice_size: 100,
            campaign: Some(CampaignId::new("cmp_1")),
            reply: None,
        };
        let progress = Progress {
            leads: 3,
            done: 3,
            by_status: vec![(Status::Verified, 2), (Status::NotFound, 1), (Status::Failed, 0)],
            by_reason: vec![(Reason::None, 3), (Reason::Deadline, 0)],
            cost: None,
        };
        let cost = Usd::from_nanos(41_000_000);
        let of_run = |run| completion_of(&job, &progress, cost, Run::new(run), "now".to_owned());
        assert_ne!(of_run(1).event_id, of_run(2).event_id);
        assert_eq!(of_run(1), of_run(1));
        let told = JobCompleted { event_id: "…".to_owned(), ..of_run(1) };
        expect![[r#"{"event_id":"…","at":"now","job_id":"job_1","workspace_id":"acme","campaign_id":"cmp_1","by_status":{"verified":2,"not_found":1},"by_reason":{"none":3},"cost":"0.041000000"}"#]]
            .assert_eq(&told.to_json().to_string());
    }

    #[test]
    fn only_a_completion_waits_for_a_queue_and_only_a_confirmation_is_known() {
        let unconfirmed = || NotPublished::Unconfirmed("gone".to_owned());
        for (answer, must_arrive, becomes) in [
            (Ok(()), true, Relayed::Told),
            (Ok(()), false, Relayed::Told),
            (Err(NotPublished::Unroutable), true, Relayed::Left),
            (Err(NotPublished::Unroutable), false, Relayed::Told),
            (Err(unconfirmed()), true, Relayed::Left),
            (Err(unconfirmed()), false, Relayed::Left),
        ] {
            assert_eq!(fate(&answer, must_arrive), becomes, "{answer:?} {must_arrive}");
        }
        for what in happenings() {
            assert!(!must_arrive(&notice_of(&stored(what)).unwrap()));
        }
        let mut completion = notice_of(&stored(happenings()[0].clone())).unwrap();
        completion.kind = JobCompleted::KIND.to_owned();
        assert!(must_arrive(&completion));
        completion.to = To::Queue("answers".to_owned());
        assert!(!must_arrive(&completion));
    }

    #[test]
    fn a_full_round_is_followed_at_once_by_the_next_unless_nothing_gets_through() {
        for (taken, told, pause) in [
            (0, 0, IDLE),
            (1, 1, IDLE),
            (1, 0, TROUBLED),
            (99, 98, IDLE),
            (100, 100, Duration::ZERO),
            (100, 1, Duration::ZERO),
            (100, 0, TROUBLED),
        ] {
            assert_eq!(pause_after(taken, told), pause, "{taken} taken, {told} told");
        }
    }
}
