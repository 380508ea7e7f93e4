//! Happenings on their way out: each was written in the commit that caused it, and any worker tells it.

use crate::clock;
use crate::crew::notices::completion_of;
use crate::crew::notices::notice_of;
use crate::crew::notices::wallet_of;
use crate::crew::teller::Episode;
use crate::crew::teller::event;
use crate::crew::teller::reply_copy;
use crate::ledger::Burn;
use crate::ledger::Happening;
use crate::ledger::LedgerError;
use crate::ledger::StoredHappening;
use crate::messages::must_be_routed;
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
            let burn = self.burn_of(&stored.what).await;
            return Ok(notice_of(stored, burn).into_iter().collect());
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

    /// How fast the wallet is spent that this is about.
    async fn burn_of(&self, what: &Happening) -> Option<Burn> {
        if_known(self.store.burn(wallet_of(what)?).await)
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

/// What cannot be read now is left out: an alarm is not held back for it.
fn if_known(burn: Result<Option<Burn>, LedgerError>) -> Option<Burn> {
    burn.unwrap_or_else(|error| {
        tracing::debug!("how fast a wallet is spent is not told: {error}");
        None
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crew::notices::tests::happenings;
    use crate::crew::notices::tests::stored;
    use crate::domain::Usd;
    use crate::messages::JobCompleted;
    use crate::messages::Message;

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
            assert!(!must_arrive(&notice_of(&stored(what), None).unwrap()));
        }
        let mut completion = notice_of(&stored(happenings()[0].clone()), None).unwrap();
        completion.kind = JobCompleted::KIND.to_owned();
        assert!(must_arrive(&completion));
        completion.to = To::Queue("answers".to_owned());
        assert!(!must_arrive(&completion));
    }

    #[test]
    fn an_alarm_is_told_without_what_cannot_be_read() {
        let burn = Burn { spent: Usd::from_nanos(1), over: Burn::LEAST };
        let gone = LedgerError::Unavailable("gone".to_owned());
        let known = [Ok(Some(burn)), Ok(None), Err(gone)].map(if_known);
        assert_eq!(known, [Some(burn), None, None]);
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
