//! Results on their way out, each told until a queue has it; and how an event is put into a message.

use crate::clock;
use crate::domain::Attempt;
use crate::domain::LeadId;
use crate::domain::Usd;
use crate::jobs::Reply;
use crate::jobs::StoredJob;
use crate::jobs::Work;
use crate::ledger::LedgerError;
use crate::messages::CopyResult;
use crate::messages::JobHead;
use crate::messages::LeadResult;
use crate::messages::Message;
use crate::messages::routing_key;
use crate::metrics;
use crate::queue::NotPublished;
use crate::queue::Outgoing;
use crate::queue::Publish;
use crate::queue::To;
use crate::store::Store;
use crate::worker::Announce;
use crate::worker::AnnounceLater;
use crate::worker::Announced;
use crate::worker::Tasks;
use crate::worker::Telling;
use futures_util::future::join_all;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::sleep;

/// Results of a lead's copies that are on their way at once.
const COPIES_AT_ONCE: usize = 64;
/// The pauses after a publish that nobody confirmed.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The pause after a result that had no queue to go to: somebody must bind one.
const UNROUTABLE_PAUSE: Duration = Duration::from_secs(5);

/// Tells results: to `weir.events`, and to whoever the job's sender named.
pub(super) struct Teller {
    store: Arc<dyn Store>,
    voice: Voice,
}

/// Says one thing until it is heard.
struct Voice {
    publisher: Arc<dyn Publish>,
    tasks: Tasks,
    unroutable: Episode,
    unconfirmed: Episode,
}

/// A trouble that lasts: logged when it begins and when it is over, not in between.
#[derive(Default)]
pub(super) struct Episode(AtomicBool);

impl Episode {
    /// It fails; is that news?
    pub(super) fn begins(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }

    /// It works; is that news?
    pub(super) fn ends(&self) -> bool {
        // Asked for every message: most find nothing to change.
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed)
    }
}

impl Teller {
    /// Tells nothing yet. `store` knows a lead's copies; `tasks` say when to stop.
    pub(super) fn new(store: Arc<dyn Store>, publisher: Arc<dyn Publish>, tasks: Tasks) -> Self {
        let voice = Voice { publisher, tasks, unroutable: Episode::default(), unconfirmed: Episode::default() };
        Self { store, voice }
    }

    async fn tell_with_copies(&self, lead: &Announced) -> Result<Telling, LedgerError> {
        let at = clock::timestamp(lead.ended_ms);
        let own = result_of(lead, &lead.id, &lead.attempts, at.clone());
        let told = self.tell(&lead.job, own).await;
        if told == Telling::Stopped || lead.copies == 0 {
            return Ok(told);
        }
        let copies = self.store.copies(lead.job.key, lead.n).await?;
        for copies in copies.chunks(COPIES_AT_ONCE) {
            let mut tellings = Vec::with_capacity(copies.len());
            for (_, id) in copies {
                tellings.push(self.tell(&lead.job, result_of(lead, id, &[], at.clone())));
            }
            // After a stop there may be no time for all of them.
            if join_all(tellings).await.contains(&Telling::Stopped) || self.voice.tasks.is_stopping() {
                return Ok(Telling::Stopped);
            }
        }
        Ok(Telling::Told)
    }

    async fn tell(&self, job: &StoredJob, result: Outgoing) -> Telling {
        let Some(reply) = &job.reply else { return self.voice.until_routed(result).await };
        let copy = reply_copy(&result, reply);
        let (told, replied) = tokio::join!(self.voice.until_routed(result), self.voice.until_confirmed(copy));
        if told == Telling::Told { replied } else { told }
    }
}

impl Announce for Teller {
    fn announce(&self, result: Announced) -> AnnounceLater<'_> {
        Box::pin(async move { self.tell_with_copies(&result).await })
    }
}

impl Voice {
    /// For what must not get lost: publishes once in any case, and again until a queue takes it.
    async fn until_routed(&self, message: Outgoing) -> Telling {
        let mut pause = FIRST_PAUSE;
        loop {
            let rest = match self.publisher.publish(message.clone()).await {
                Ok(()) => {
                    self.note_told();
                    return Telling::Told;
                }
                Err(NotPublished::Unroutable) => {
                    metrics::unroutable(&message.kind);
                    if self.unroutable.begins() {
                        let kind = &message.kind;
                        tracing::error!("no queue takes {kind}: bind one to weir.events; it is tried until then");
                    }
                    UNROUTABLE_PAUSE
                }
                Err(NotPublished::Unconfirmed(why)) => self.unconfirmed_pause(&mut pause, &why),
            };
            if !self.rest(rest).await {
                return Telling::Stopped;
            }
        }
    }

    /// For a sender's own queue: publishes until the broker has had it, whether or not the queue is there.
    async fn until_confirmed(&self, message: Outgoing) -> Telling {
        let mut pause = FIRST_PAUSE;
        while !self.tasks.is_stopping() {
            match self.publisher.publish(message.clone()).await {
                Ok(()) => return Telling::Told,
                Err(NotPublished::Unroutable) => {
                    metrics::unroutable(&message.kind);
                    return Telling::Told;
                }
                Err(NotPublished::Unconfirmed(why)) => {
                    let rest = self.unconfirmed_pause(&mut pause, &why);
                    self.rest(rest).await;
                }
            }
        }
        Telling::Stopped
    }

    fn note_told(&self) {
        let was_unroutable = self.unroutable.ends();
        if self.unconfirmed.ends() || was_unroutable {
            tracing::info!("results are told again");
        }
    }

    /// The pause after this failure; the next one is longer.
    fn unconfirmed_pause(&self, pause: &mut Duration, why: &str) -> Duration {
        if self.unconfirmed.begins() {
            tracing::warn!("results cannot be told, and are tried until they can: {why}");
        }
        let rest = *pause;
        *pause = longer(rest);
        rest
    }

    /// `false`: a stop came first.
    async fn rest(&self, pause: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.tasks.stopping() => false,
            () = sleep(pause) => true,
        }
    }
}

/// The pause after another failure.
fn longer(pause: Duration) -> Duration {
    pause.saturating_mul(2).min(LONGEST_PAUSE)
}

/// The result of the lead, or of its copy of this id, as the event that its job's kind of work has: a copy
/// has cost nothing and tried nothing.
fn result_of(lead: &Announced, id: &LeadId, attempts: &[Attempt], at: String) -> Outgoing {
    let job = &lead.job;
    let head = JobHead { job_id: &job.id, workspace_id: &job.workspace, campaign_id: job.campaign.as_ref() };
    let costs = attempts.iter().filter_map(|attempt| Some(attempt.end()?.cost));
    let cost = costs.fold(Usd::ZERO, Usd::saturating_add);
    match &job.work {
        Work::Enrich(_) => {
            let result = LeadResult::new(head, id, lead.run, &lead.ending, cost, attempts.iter(), Some(at));
            event(&result, &result.event_id)
        }
        Work::Copy(_) => {
            let result = CopyResult::new(head, id, lead.run, &lead.ending, cost, attempts.iter(), Some(at));
            event(&result, &result.event_id)
        }
    }
}

/// The event as a message to `weir.events`.
pub(super) fn event<M: Message + Serialize>(event: &M, event_id: &str) -> Outgoing {
    Outgoing {
        to: To::Events(routing_key(M::KIND).to_owned()),
        kind: M::KIND.to_owned(),
        message_id: event_id.to_owned(),
        correlation_id: None,
        reply_to: None,
        headers: Vec::new(),
        body: event.to_body(),
    }
}

/// The same event for the queue that the job's sender has named.
pub(super) fn reply_copy(event: &Outgoing, reply: &Reply) -> Outgoing {
    Outgoing { to: To::Queue(reply.to.clone()), correlation_id: reply.correlation_id.clone(), ..event.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Address;
    use crate::domain::AnswerSource;
    use crate::domain::AttemptEnd;
    use crate::domain::AttemptNo;
    use crate::domain::AttemptState;
    use crate::domain::Brief;
    use crate::domain::CampaignId;
    use crate::domain::Draft;
    use crate::domain::Ending;
    use crate::domain::Fingerprint;
    use crate::domain::JobId;
    use crate::domain::KeySource;
    use crate::domain::Operation;
    use crate::domain::Outcome;
    use crate::domain::Product;
    use crate::domain::ProviderName;
    use crate::domain::Purpose;
    use crate::domain::Reason;
    use crate::domain::Run;
    use crate::domain::Status;
    use crate::domain::Step;
    use crate::domain::Tokens;
    use crate::domain::Verdict;
    use crate::domain::WaterfallName;
    use crate::domain::WorkspaceId;
    use crate::jobs::JobState;
    use crate::ledger::AccountId;
    use crate::ledger::JobKey;
    use crate::ledger::LeadNo;
    use crate::queue::Publishing;
    use expect_test::Expect;
    use expect_test::expect;
    use serde_json::Value;
    use std::collections::VecDeque;
    use std::sync::Mutex;
    use tokio::time::Instant;

    const AT: &str = "2026-11-21T10:00:00.000Z";

    /// Answers as it was told to, and after that that nobody knows.
    struct Scripted {
        answers: Mutex<VecDeque<Result<(), NotPublished>>>,
        asked: Mutex<u32>,
    }

    impl Publish for Scripted {
        fn publish(&self, _message: Outgoing) -> Publishing<'_> {
            *self.asked.lock().unwrap() += 1;
            let answer = self.answers.lock().unwrap().pop_front();
            Box::pin(async move { answer.unwrap_or_else(|| Err(unconfirmed())) })
        }
    }

    fn unconfirmed() -> NotPublished {
        NotPublished::Unconfirmed("gone".to_owned())
    }

    fn voice(answers: impl IntoIterator<Item = Result<(), NotPublished>>) -> (Voice, Arc<Scripted>) {
        let answers = Mutex::new(answers.into_iter().collect());
        let publisher = Arc::new(Scripted { answers, asked: Mutex::new(0) });
        let voice = Voice {
            publisher: Arc::clone(&publisher) as Arc<dyn Publish>,
            tasks: Tasks::default(),
            unroutable: Episode::default(),
            unconfirmed: Episode::default(),
        };
        (voice, publisher)
    }

    fn message() -> Outgoing {
        let result = result_of(&announced(), &LeadId::new("1"), &[], AT.to_owned());
        Outgoing { message_id: "e1".to_owned(), ..result }
    }

    fn attempt(n: u32, operation: Operation, outcome: Outcome, nanos: i64) -> Attempt {
        let end = AttemptEnd {
            outcome,
            found: None,
            claim: None,
            product: None,
            handle: None,
            source: AnswerSource::Called,
            cost: Usd::from_nanos(nanos),
            duration_ms: 412,
            unsaid: false,
        };
        Attempt {
            n: AttemptNo::new(n),
            run: Run::new(n),
            step: Step::new(ProviderName::new("leadmagic"), operation),
            about: None,
            key_source: KeySource::House,
            state: AttemptState::Ended(end),
        }
    }

    fn announced() -> Announced {
        let job = StoredJob {
            key: JobKey(1),
            id: JobId::new("job_1"),
            workspace: WorkspaceId::new("acme"),
            account: AccountId(1),
            work: Work::Enrich(WaterfallName::new("work_email")),
            content: Fingerprint::from_bytes([0; 16]),
            state: JobState::Running,
            run: Run::new(2),
            max_spend: None,
            funded: Usd::ZERO,
            held: Usd::ZERO,
            leads: 2,
            slice_size: 100,
            campaign: Some(CampaignId::new("cmp_1")),
            reply: Some(Reply { to: "answers".to_owned(), correlation_id: Some("c1".to_owned()) }),
        };
        let ending = Ending {
            status: Status::Verified,
            reason: Reason::None,
            address: Address::parse("ada@acme.test"),
            verdict: Some(Verdict::Valid),
            found_by: Some(ProviderName::new("leadmagic")),
            verified_by: None,
        };
        let mut begun = attempt(3, Operation::FindEmail, Outcome::Found, 7);
        begun.state = AttemptState::Begun;
        let attempts = vec![
            attempt(1, Operation::FindEmail, Outcome::Found, 12_500_000),
            attempt(2, Operation::VerifyEmail, Outcome::Judged(Verdict::Valid), 8_000_000),
            begun,
        ];
        Announced {
            job: Arc::new(job),
            n: LeadNo(1),
            id: LeadId::new("1"),
            run: Run::new(2),
            ending,
            ended_ms: 1_800_000_000_000,
            attempts,
            copies: 1,
        }
    }

    /// A lead of a copy job for which one page was read and copy was written.
    fn written() -> Announced {
        let brief = Brief {
            purpose: Purpose::Live,
            model: "gpt-5.4-mini".to_owned(),
            max_output_tokens: 300,
            instructions: "Write.".to_owned(),
            pages: vec!["https://{domain}".to_owned()],
        };
        let draft = Draft { subject: "Hello".to_owned(), body: "Dear Ada".to_owned() };
        let tokens = Tokens { input: 1_200, output: 80, ..Tokens::default() };
        let mut writing = attempt(2, Operation::WriteCopy, Outcome::Written, 1_260_000);
        if let AttemptState::Ended(end) = &mut writing.state {
            end.product = Some(Product::Copy { draft: Some(Arc::new(draft)), tokens: Some(tokens) });
        }
        let announced = announced();
        let job = StoredJob { work: Work::Copy(Arc::new(brief)), ..StoredJob::clone(&announced.job) };
        Announced {
            job: Arc::new(job),
            ending: Ending::without_address(Status::Written, Reason::None),
            attempts: vec![attempt(1, Operation::Scrape, Outcome::Scraped, 5_000_000), writing],
            copies: 0,
            ..announced
        }
    }

    fn body(result: &Outgoing) -> Value {
        serde_json::from_slice(&result.body).unwrap()
    }

    fn check(result: &Outgoing, expected: &Expect) {
        let shown = format!("{:#}", body(result)).replace(&result.message_id, "…");
        expected.assert_eq(&shown);
    }

    #[test]
    fn a_result_costs_what_all_runs_cost_and_its_copy_nothing() {
        let lead = announced();
        let own = result_of(&lead, &lead.id, &lead.attempts, AT.to_owned());
        assert_eq!(body(&own)["cost"], "0.020500000");
        assert_eq!(body(&own)["trail"].as_array().unwrap().len(), 2);
        let copy = result_of(&lead, &LeadId::new("2"), &[], AT.to_owned());
        assert_ne!(copy.message_id, own.message_id);
        check(
            &copy,
            &expect![[r#"
                {
                  "event_id": "…",
                  "at": "2026-11-21T10:00:00.000Z",
                  "job_id": "job_1",
                  "workspace_id": "acme",
                  "campaign_id": "cmp_1",
                  "lead_id": "2",
                  "status": "verified",
                  "reason": "none",
                  "email": "ada@acme.test",
                  "verdict": "valid",
                  "found_by": "leadmagic",
                  "verified_by": null,
                  "cost": "0.000000000",
                  "trail": []
                }"#]],
        );
    }

    #[test]
    fn copy_that_was_written_is_told_with_its_text_and_what_it_cost() {
        let lead = written();
        let told = result_of(&lead, &lead.id, &lead.attempts, AT.to_owned());
        assert_eq!((&told.to, told.kind.as_str()), (&To::Events("copy_result".to_owned()), CopyResult::KIND));
        let body = body(&told);
        assert_eq!(body["event_id"], told.message_id);
        for (field, value) in [
            ("at", AT),
            ("job_id", "job_1"),
            ("campaign_id", "cmp_1"),
            ("lead_id", "1"),
            ("status", "written"),
            ("reason", "none"),
            ("subject", "Hello"),
            ("body", "Dear Ada"),
            ("cost", "0.006260000"),
        ] {
            assert_eq!(body[field], value, "{field}");
        }
        assert_eq!(body["usage"]["output_tokens"], 80);
        assert_eq!(body["trail"].as_array().unwrap().len(), 2);
        let reply = reply_copy(&told, lead.job.reply.as_ref().unwrap());
        assert_eq!((reply.to, reply.body), (To::Queue("answers".to_owned()), told.body));
    }

    #[test]
    fn a_reply_is_the_event_itself_for_the_senders_queue() {
        let lead = announced();
        let event = message();
        let reply = reply_copy(&event, lead.job.reply.as_ref().unwrap());
        assert_eq!(event.to, To::Events("lead_result".to_owned()));
        assert_eq!((event.message_id.as_str(), event.correlation_id.as_deref()), ("e1", None));
        assert_eq!(reply.to, To::Queue("answers".to_owned()));
        assert_eq!((reply.message_id.as_str(), reply.correlation_id.as_deref()), ("e1", Some("c1")));
        assert_eq!((reply.kind, reply.body), (event.kind, event.body));
    }

    #[tokio::test(start_paused = true)]
    async fn a_result_is_published_until_a_queue_has_it() {
        let answers = [Err(unconfirmed()), Err(unconfirmed()), Err(NotPublished::Unroutable), Ok(())];
        let (voice, publisher) = voice(answers);
        let start = Instant::now();
        assert_eq!(voice.until_routed(message()).await, Telling::Told);
        assert_eq!(*publisher.asked.lock().unwrap(), 4);
        assert!((5_300..5_310).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
        assert!(voice.unroutable.begins() && voice.unconfirmed.begins(), "both episodes are over");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_the_trying_after_one_more_try() {
        let (voice, publisher) = voice([]);
        let stop = async {
            sleep(Duration::from_secs(60)).await;
            voice.tasks.stop();
        };
        let (told, ()) = tokio::join!(voice.until_routed(message()), stop);
        assert_eq!(told, Telling::Stopped);
        let asked = *publisher.asked.lock().unwrap();
        assert_eq!(voice.until_routed(message()).await, Telling::Stopped);
        assert_eq!(*publisher.asked.lock().unwrap(), asked + 1);
        assert_eq!(voice.until_confirmed(message()).await, Telling::Stopped);
        assert_eq!(*publisher.asked.lock().unwrap(), asked + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_whose_queue_is_gone_is_not_published_again() {
        let (voice, publisher) = voice([Err(unconfirmed()), Err(NotPublished::Unroutable)]);
        assert_eq!(voice.until_confirmed(message()).await, Telling::Told);
        assert_eq!(*publisher.asked.lock().unwrap(), 2);
    }

    #[test]
    fn pauses_grow_to_five_seconds() {
        let pauses = std::iter::successors(Some(FIRST_PAUSE), |pause| Some(longer(*pause)));
        let pauses: Vec<u128> = pauses.take(8).map(|pause| pause.as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    }

    #[test]
    fn an_episode_is_news_when_it_begins_and_when_it_is_over() {
        let episode = Episode::default();
        assert_eq!([episode.ends(), episode.begins(), episode.begins()], [false, true, false]);
        assert_eq!([episode.ends(), episode.ends(), episode.begins()], [true, false, true]);
    }
}
