//! Where a lead waits: for leave to call, for money, for an answer that comes later.

use crate::clock;
use crate::domain::Outcome;
use crate::ledger::Answer;
use crate::ledger::LedgerError;
use crate::ledger::Pending;
use crate::waterfall::Moment;
use crate::worker::answers::Upshot;
use crate::worker::call::Entry;
use crate::worker::call::GIVEN_UP;
use crate::worker::call::NoEntry;
use crate::worker::lead::Flow;
use crate::worker::lead::LeadAtWork;
use crate::worker::lead::Making;
use crate::worker::reader::Awaited;
use std::time::Duration;

/// Between two looks whether a page that another lead asked for has come: a page takes a second or more.
const BEFORE_ASKING_AGAIN: Duration = Duration::from_millis(200);

impl LeadAtWork<'_> {
    /// Leave to call, if it is to be had without waiting.
    pub(super) async fn enter_at_once(&self, making: &mut Making) -> Option<Entry> {
        if making.route.adapter.deferred().is_some() {
            making.place = self.engine.readers.of(&making.route).place_now();
            making.place.as_ref()?;
        }
        let call = self.calling(making);
        tokio::select! {
            biased;
            entry = call.enter(Duration::ZERO) => entry.ok(),
            () = std::future::ready(()) => None,
        }
    }

    /// Leave to call, waited for; an outage is sat out with `patience`.
    pub(super) async fn enter(&self, making: &mut Making, patience: Duration) -> Result<Entry, NoEntry> {
        let Moment(now) = clock::moment();
        let left = self.deadline_of(making.route.step.operation).0.saturating_sub(now);
        if making.route.adapter.deferred().is_some() && making.place.is_none() {
            let reader = self.engine.readers.of(&making.route);
            // A provider that answers later takes only so many waiting attempts of a key.
            making.place = tokio::select! {
                biased;
                () = self.engine.tasks.stopping() => return Err(NoEntry::Stopping),
                () = self.lease.lost() => return Err(NoEntry::Fenced),
                place = self.active.park(reader.place()) => place,
                () = tokio::time::sleep(left) => return Err(NoEntry::Late),
            };
        }
        self.calling(making).enter(patience.min(left)).await
    }

    /// Waits, without permit and slot, until money is free; then for leave to call.
    pub(super) async fn wait_for_money(&mut self, making: Making, mut pending: Pending) -> Result<Flow, LedgerError> {
        let waits = self.engine.money.join(self.work.job.account);
        let Moment(now) = clock::moment();
        let left = self.deadline_of(making.route.step.operation).0.saturating_sub(now);
        let came = tokio::select! {
            biased;
            committed = self.active.wait(&mut pending) => Some(committed),
            () = tokio::time::sleep(left) => None,
            () = self.engine.tasks.stopping() => None,
            () = self.lease.lost() => None,
        };
        let came = came.or_else(|| pending.give_up());
        drop(waits);
        match came.transpose()?.map(|committed| committed.answer) {
            Some(Answer::Granted) => self.enter_and_call(making).await,
            Some(other) => self.without_call(making, other).await,
            None if self.lease.is_lost() => self.leave_to_owner().await,
            None if self.engine.tasks.is_stopping() => self.leave_off().await,
            None => Ok(self.note(making, Upshot::not_asked(Outcome::Unaffordable))),
        }
    }

    /// Somebody else's answer to the same question will serve this lead too: waits a moment for it, parked.
    pub(super) async fn let_others_ask(&mut self) -> Result<Flow, LedgerError> {
        tokio::select! {
            biased;
            () = self.engine.tasks.stopping() => self.leave_off().await,
            () = self.lease.lost() => self.leave_to_owner().await,
            () = self.work.cancelled.cancelled() => self.finish_cancelled().await.map(Flow::Out),
            () = self.active.park(tokio::time::sleep(BEFORE_ASKING_AGAIN)) => Ok(Flow::On),
        }
    }

    /// Waits for a late answer, parked. The handle of one that has not come is kept: it is read again
    /// before anything is submitted anew.
    pub(super) async fn await_answer(
        &mut self,
        making: Making,
        handle: String,
        after: Duration,
    ) -> Result<Flow, LedgerError> {
        let reader = self.engine.readers.of(&making.route);
        let awaited = tokio::select! {
            biased;
            () = self.engine.tasks.stopping() => return self.leave_off().await,
            () = self.lease.lost() => return self.leave_to_owner().await,
            awaited = self.active.park(reader.answer(self.engine, &making.route, &making.query, &handle, after)) => awaited,
        };
        let upshot = match awaited {
            Awaited::Answer(answer) => Upshot::of(answer),
            Awaited::Late => Upshot { handle: Some(handle), ..Upshot::called(Outcome::Timeout) },
            Awaited::Revoked => Upshot { handle: Some(handle), ..Upshot::called(GIVEN_UP) },
        };
        Ok(self.note(making, upshot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::prepare_inline;
    use crate::domain::AnswerSource;
    use crate::domain::Brief;
    use crate::domain::Fingerprint;
    use crate::domain::JobId;
    use crate::domain::Lead;
    use crate::domain::LeadId;
    use crate::domain::Purpose;
    use crate::domain::Status;
    use crate::domain::WorkerId;
    use crate::domain::WorkspaceId;
    use crate::http::Client;
    use crate::http::Gates;
    use crate::http::Received;
    use crate::http::Sending;
    use crate::http::Target;
    use crate::http::Transport;
    use crate::jobs::Claimant;
    use crate::jobs::LeadWork;
    use crate::jobs::NewJob;
    use crate::jobs::NewLead;
    use crate::jobs::Tenure;
    use crate::jobs::Work;
    use crate::ledger::Booking;
    use crate::ledger::Boundary;
    use crate::ledger::JobKey;
    use crate::ledger::LeadNo;
    use crate::ledger::SliceNo;
    use crate::providers::Request;
    use crate::queue::MemoryQueue;
    use crate::queue::Receipt;
    use crate::queue::Received as Delivery;
    use crate::queue::SliceMessage;
    use crate::store::Store;
    use crate::store::memory::Fate;
    use crate::store::memory::MemoryStore;
    use crate::store::memory::Reaching;
    use crate::store::memory::Seam;
    use crate::store::memory::Tables;
    use crate::store::memory::Watch;
    use crate::worker::engine::Engine;
    use crate::worker::engine::Parts;
    use crate::worker::engine::Settings;
    use crate::worker::keyring::Keyring;
    use crate::worker::lead::LeadEnd;
    use crate::worker::parts::claim_slice;
    use crate::worker::parts::work_lead;
    use crate::worker::slice::OpenSlice;
    use crate::worker::slice::SliceInHand;
    use crate::worker::slice::Start;
    use crate::worker::tasks::Tasks;
    use crate::worker::works::Overrides;
    use crate::worker::works::Works;
    use http::HeaderMap;
    use serde_json::json;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::AtomicU32;
    use std::sync::atomic::Ordering;
    use tokio::time::advance;
    use tokio::time::sleep;
    use tokio::time::timeout;

    const LIVE: &str = r#"
        [providers.firecrawl]
        house_key = "env:KEY"
        credit_price = "0.005"
        [providers.openai]
        house_key = "env:KEY"
        [models.writer]
        provider = "openai"
        input_per_million = "0.75"
        cached_input_per_million = "0.075"
        cache_write_per_million = "0.75"
        output_per_million = "4.50"
    "#;
    const SECOND: Duration = Duration::from_secs(1);
    /// Long enough that nothing lapses.
    const HOUR: Duration = Duration::from_secs(60 * 60);
    /// More than any test of this process has moved its own clock by.
    const BEGINNING: Duration = Duration::from_secs(10 * 24 * 60 * 60);
    /// Far more than any scene commits: whoever asks without a pause is not answered any more.
    const MOST_COMMITS: u32 = 1_000;

    /// The providers: copy comes at once, and so do pages, or never.
    #[derive(Default)]
    struct Wire {
        pages_hang: AtomicBool,
        scrapes: AtomicU32,
    }

    impl Transport for Wire {
        fn send<'a>(&'a self, _: &'a Target, request: &'a Request) -> Sending<'a> {
            Box::pin(async move {
                if request.path == "/scrape" {
                    self.scrapes.fetch_add(1, Ordering::Relaxed);
                    if self.pages_hang.load(Ordering::Relaxed) {
                        std::future::pending::<()>().await;
                    }
                    return Ok(answer(&json!({"success": true, "data": {"markdown": "We make mops."}})));
                }
                let letter = json!({"subject": "Mops", "body": "Dear Ada,\nyou make mops."}).to_string();
                Ok(answer(&json!({
                    "choices": [{"message": {"content": letter}, "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": 90, "completion_tokens": 20, "total_tokens": 110},
                })))
            })
        }
    }

    fn answer(body: &serde_json::Value) -> Received {
        Received::new(200, HeaderMap::new(), body.to_string())
    }

    /// Counts what is committed.
    #[derive(Default)]
    struct Commits(AtomicU32);

    impl Seam for Commits {
        fn reach(&self) -> Reaching<'_> {
            Box::pin(std::future::ready(()))
        }

        fn before(&self, _: &Boundary) -> Fate {
            let is_too_much = self.0.fetch_add(1, Ordering::Relaxed) >= MOST_COMMITS;
            if is_too_much { Fate::NeverAsked } else { Fate::Commits(Duration::ZERO) }
        }

        fn after(&self) -> bool {
            true
        }
    }

    struct Unwatched;

    impl Watch for Unwatched {
        fn changed(&self, _: &Tables) {}

        fn refused(&self, error: &LedgerError) {
            panic!("{error}");
        }
    }

    /// A worker with a job of two leads, a slice each, who want the same page.
    struct Scene {
        engine: Engine,
        store: MemoryStore,
        wire: Arc<Wire>,
        commits: Arc<Commits>,
        job: JobKey,
    }

    impl Scene {
        /// Slices are claimed for so long, and not renewed.
        async fn new(lease: Duration) -> Self {
            // From the process's first look on the clock stands still until that is passed again.
            clock::moment();
            advance(BEGINNING).await;
            let (wire, commits) = (Arc::<Wire>::default(), Arc::<Commits>::default());
            let store = MemoryStore::new(Arc::<Commits>::clone(&commits), Arc::new(Unwatched), None);
            let key = |name: &str| (name == "KEY").then(|| "k".to_owned());
            let live = prepare_inline(LIVE, Path::new("."), &key, &[]).unwrap().live;
            let lead_deadline = SECOND * 60;
            let engine = Engine::new(Parts {
                store: Arc::new(store.clone()),
                settings: Settings { leads_in_flight: 4, prefetch: 2, slices_per_job: 2, lead_deadline },
                tasks: Tasks::default(),
                gates: Gates::default(),
                client: Client::over(Arc::<Wire>::clone(&wire)),
                works: Works::new(live, Keyring::new(None), Overrides::default()),
                claimant: Claimant { worker: WorkerId::new("one"), tenure: Tenure::Lease(lease) },
                announce: None,
            });
            let job = load(&*engine.store).await;
            Self { engine, store, wire, commits, job }
        }

        /// Plays while the store commits.
        async fn play<T>(&self, scene: impl Future<Output = T>) -> T {
            tokio::select! {
                biased;
                () = self.store.serve() => panic!("the store has stopped"),
                played = timeout(HOUR, scene) => played.unwrap(),
            }
        }

        /// Takes a lead's slice in hand.
        async fn take(&self, lead: u32) -> (Arc<SliceInHand>, LeadWork) {
            let message = SliceMessage { job: self.job, slice: SliceNo(lead - 1) };
            let delivery = Delivery { message, receipt: Receipt(0) };
            let taken = claim_slice(&self.engine, &MemoryQueue::default(), delivery).await.unwrap().unwrap();
            let OpenSlice { slice, mut waiting } = OpenSlice::new(delivery, taken, false, 0);
            match waiting.next() {
                Some(Start::Lead(work)) => (slice, *work),
                Some(Start::Tell(_)) | None => panic!("lead {lead} has ended"),
            }
        }

        async fn work_on(&self, slice: &SliceInHand, lead: LeadWork) -> LeadEnd {
            Box::pin(work_lead(&self.engine, slice, lead, self.engine.active.begin())).await.unwrap()
        }

        async fn work(&self, lead: u32) -> LeadEnd {
            let (slice, work) = self.take(lead).await;
            self.work_on(&slice, work).await
        }

        /// How a lead's attempts have ended.
        async fn trail(&self, lead: u32) -> Vec<(Outcome, AnswerSource)> {
            let trail = self.engine.store.trail(self.job, LeadNo(lead)).await.unwrap();
            trail.iter().filter_map(|stored| stored.attempt.end()).map(|end| (end.outcome, end.source)).collect()
        }

        fn committed(&self) -> u32 {
            self.commits.0.load(Ordering::Relaxed)
        }
    }

    async fn load(store: &dyn Store) -> JobKey {
        let brief = Brief {
            purpose: Purpose::Live,
            model: "writer".to_owned(),
            max_output_tokens: 100,
            instructions: "Write.".to_owned(),
            pages: vec!["https://acme.test".to_owned()],
        };
        let workspace = WorkspaceId::new("acme");
        let new = NewJob {
            id: JobId::new("copies"),
            workspace: workspace.clone(),
            work: Work::Copy(Arc::new(brief)),
            content: Fingerprint::of("job", []),
            slice_size: 1,
            campaign: None,
            max_spend: None,
            auto_resume: false,
            reply: None,
        };
        let job = store.create_job(new).await.unwrap().key;
        let load = store.begin_load(job).await.unwrap().unwrap();
        let lead = |n: u32| {
            let lead = Lead { first_name: Some(format!("Ada{n}")), ..Lead::default() };
            NewLead { n: LeadNo(n), id: LeadId::new(n.to_string()), lead: Some(lead) }
        };
        store.load_leads(load, vec![lead(1), lead(2)]).await.unwrap();
        store.seal_job(load).await.unwrap();
        let booking = Booking { workspace, amount: "5".parse().unwrap(), reference: "first".to_owned(), note: None };
        assert!(store.top_up(booking).await.unwrap());
        job
    }

    const WRITTEN: (Outcome, AnswerSource) = (Outcome::Written, AnswerSource::Called);

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_anothers_page_leaves_at_a_stop_and_with_its_lease_and_asks_no_more() {
        let stop: fn(&Scene, &SliceInHand) = |scene, _| scene.engine.tasks.stop();
        let lose: fn(&Scene, &SliceInHand) = |_, slice| assert!(slice.lease.lose());
        for (leave, expected) in [(stop, LeadEnd::LeftOff), (lose, LeadEnd::Fenced)] {
            let scene = Scene::new(HOUR).await;
            scene.wire.pages_hang.store(true, Ordering::Relaxed);
            let played = scene.play(async {
                let (slice, lead) = scene.take(2).await;
                let leaving = async {
                    // Between two of its looks.
                    sleep(Duration::from_millis(1_150)).await;
                    leave(&scene, &slice);
                    scene.committed()
                };
                tokio::select! {
                    biased;
                    end = scene.work(1) => panic!("the page came: {end:?}"),
                    (end, before) = async { tokio::join!(scene.work_on(&slice, lead), leaving) } => {
                        (end, scene.committed() - before)
                    }
                }
            });
            assert_eq!(played.await, (expected, 0));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_waited_half_of_its_time_for_anothers_page_writes_without() {
        let scene = Scene::new(HOUR).await;
        scene.wire.pages_hang.store(true, Ordering::Relaxed);
        let played = scene.play(async {
            tokio::select! {
                biased;
                end = scene.work(1) => panic!("the page came: {end:?}"),
                end = scene.work(2) => end,
            }
        });
        assert_eq!(played.await, LeadEnd::Decided(Status::Written));
        assert_eq!(scene.trail(2).await, [(Outcome::Timeout, AnswerSource::NotAsked), WRITTEN]);
        assert_eq!(scene.wire.scrapes.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_page_of_a_dead_worker_is_another_leads_to_ask_for_and_is_not_called_again_when_it_is_taken_up() {
        const LEASE: Duration = Duration::from_secs(30);
        let scene = Scene::new(LEASE).await;
        let played = scene.play(async {
            scene.wire.pages_hang.store(true, Ordering::Relaxed);
            // It dies in the middle of its call.
            assert!(timeout(SECOND, scene.work(1)).await.is_err());
            scene.wire.pages_hang.store(false, Ordering::Relaxed);
            sleep(LEASE).await;
            for lead in [2, 1] {
                assert_eq!(scene.work(lead).await, LeadEnd::Decided(Status::Written));
            }
        });
        played.await;
        assert_eq!(scene.trail(2).await, [(Outcome::Scraped, AnswerSource::Called), WRITTEN]);
        let given_up = (GIVEN_UP, AnswerSource::NotAsked);
        assert_eq!(scene.trail(1).await, [given_up, (Outcome::Scraped, AnswerSource::Cached), WRITTEN]);
        assert_eq!(scene.wire.scrapes.load(Ordering::Relaxed), 2);
    }
}
