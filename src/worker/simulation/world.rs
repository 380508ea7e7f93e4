//! A world from its beginning to its end.

use crate::clock;
use crate::domain::WorkerId;
use crate::jobs::JobState;
use crate::ledger::JobKey;
use crate::queue::SliceMessage;
use crate::store::Store;
use crate::store::memory::MemoryStore;
use crate::store::memory::Planted;
use crate::worker::simulation::auditor::Auditor;
use crate::worker::simulation::auditor::Tally;
use crate::worker::simulation::auditor::audit;
use crate::worker::simulation::body::Whole;
use crate::worker::simulation::broker::Broker;
use crate::worker::simulation::dice::Dice;
use crate::worker::simulation::faults::Fault;
use crate::worker::simulation::faults::KeyChange;
use crate::worker::simulation::faults::WORKERS;
use crate::worker::simulation::findings::Breach;
use crate::worker::simulation::findings::Findings;
use crate::worker::simulation::findings::Rule;
use crate::worker::simulation::plan::Plan;
use crate::worker::simulation::setup::own_key;
use crate::worker::simulation::setup::put_key;
use crate::worker::simulation::setup::set_up;
use crate::worker::simulation::setup::top_up;
use crate::worker::simulation::stage::Stage;
use crate::worker::simulation::workers::Ended;
use crate::worker::simulation::workers::Worker;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio::time::advance;
use tokio::time::sleep_until;

/// How often the world looks after its workers.
const TICK: Duration = Duration::from_millis(500);
/// As the crew of the real worker has them.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
const STRANDED_AFTER: Duration = Duration::from_secs(60);
/// After the last thing to do: what is still under way comes in, or is found wrong.
const SETTLES_IN: Duration = Duration::from_secs(100);
/// Far more than any world takes.
const LONGEST: Duration = Duration::from_secs(6 * 60 * 60);
/// More than any test of this process has moved its own clock by.
const BEGINNING: Duration = Duration::from_secs(10 * 24 * 60 * 60);

struct World {
    stage: Arc<Stage>,
    /// The store without faults: the operator's, and the sweep's.
    store: Arc<dyn Store>,
    broker: Arc<Broker>,
    dice: Dice,
    places: Vec<Place>,
    tasks: JoinSet<Ended>,
    faults: VecDeque<(Instant, Fault)>,
    began: Instant,
    sweep_at: Instant,
    /// Workers, top-ups and keys so far: so that each has a name of its own.
    named: u32,
    reloaded: bool,
}

/// Where a worker works.
enum Place {
    Taken(Worker),
    /// The next one comes then.
    Free(Instant),
}

/// Plays the world of this plan to its end. What is wrong with it comes first.
pub(super) async fn play(plan: Plan, planted: Option<Planted>) -> Result<Tally, Breach> {
    // From the first reading on, `clock::moment` stands still until it is passed again: every world is later than it.
    clock::moment();
    advance(BEGINNING).await;
    let mut world = Box::pin(World::begin(plan, planted)).await;
    Box::pin(world.run()).await?;
    audit(&world.stage)
}

impl World {
    async fn begin(plan: Plan, planted: Option<Planted>) -> Self {
        let findings = Arc::new(Findings::default());
        let auditor = Arc::new(Auditor::new(Arc::clone(&findings)));
        let store = MemoryStore::new(Arc::new(Whole), auditor, planted);
        let whole: Arc<dyn Store> = Arc::new(store.clone());
        let people = set_up(&*whole, &plan).await;
        let mut dice = plan.dice.clone();
        let (of_broker, of_stage) = (dice.fork(), dice.fork());
        let broker = Arc::new(Broker::new(of_broker));
        let began = Instant::now();
        let faults = plan.faults.iter().map(|(at, fault)| (began + *at, *fault)).collect();
        let stage = Arc::new(Stage::new(plan, of_stage, store.clone(), findings, people));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            store.serve().await;
            Ended::Other
        });
        let places = (0..WORKERS).map(|_| Place::Free(began)).collect();
        let world = Self {
            stage,
            store: whole,
            broker,
            dice,
            places,
            tasks,
            faults,
            began,
            sweep_at: began + SWEEP_EVERY,
            named: 0,
            reloaded: false,
        };
        for job in world.jobs() {
            world.announce(job).await;
        }
        world
    }

    /// Until everything is done and has settled.
    async fn run(&mut self) -> Result<(), Breach> {
        let mut settled_at = Instant::now() + SETTLES_IN;
        loop {
            self.look_after_workers();
            if self.sweep_at <= Instant::now() {
                self.sweep_at += SWEEP_EVERY;
                self.sweep().await;
            }
            while let Some((_, fault)) = self.faults.front().copied().filter(|(at, _)| *at <= Instant::now()) {
                self.faults.pop_front();
                self.strike(fault).await;
            }
            if let Some(breach) = self.stage.findings.first() {
                return Err(breach);
            }
            if !self.is_done() {
                settled_at = Instant::now() + SETTLES_IN;
            } else if settled_at <= Instant::now() {
                return Ok(());
            }
            if self.began.elapsed() > LONGEST {
                let what = "the jobs have not come to their end in six hours".to_owned();
                return Err(Breach { rule: Rule::Progress, what });
            }
            let tick = Instant::now() + TICK;
            let next_fault = self.faults.front().map_or(tick, |(at, _)| *at);
            sleep_until(tick.min(next_fault)).await;
        }
    }

    /// Nothing more strikes, nobody is frozen or cut off, and every job has come to its end.
    fn is_done(&self) -> bool {
        let is_well = |place: &Place| match place {
            Place::Taken(worker) => worker.body.deaf_until().is_none(),
            Place::Free(_) => true,
        };
        self.faults.is_empty()
            && self.places.iter().all(is_well)
            && self.stage.store.look(|tables| tables.is_finished())
    }

    /// Buries the dead, lets go of those that have stopped, and puts others in their place.
    fn look_after_workers(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            match ended {
                Ok(Ended::Work(name, Ok(()))) => self.vacate(&name),
                Ok(Ended::Work(name, Err(error))) => {
                    self.stage.findings.report(Rule::Progress, format!("the work of {name} has ended: {error}"));
                }
                Ok(Ended::Other) => {}
                Err(error) if error.is_cancelled() => {}
                Err(error) => self.stage.findings.report(Rule::Progress, format!("a task has broken: {error}")),
            }
        }
        for place in 0..WORKERS {
            match &self.places[place] {
                Place::Taken(worker) if worker.body.is_dead() => {
                    let name = worker.body.name.clone();
                    self.vacate(&name);
                }
                Place::Free(from) if *from <= Instant::now() => self.employ(place),
                Place::Taken(_) | Place::Free(_) => {}
            }
        }
    }

    /// A worker is gone.
    fn vacate(&mut self, name: &WorkerId) {
        let until = Instant::now() + self.dice.ms(500, 10_000);
        for place in &mut self.places {
            if let Place::Taken(worker) = place
                && worker.body.name == *name
            {
                worker.leave();
                *place = Place::Free(until);
            }
        }
        self.broker.take_back(name);
    }

    fn employ(&mut self, place: usize) {
        let name = WorkerId::new(format!("worker-{}", self.next_name()));
        let live = Arc::clone(&self.stage.plan.lives[usize::from(self.reloaded)]);
        let worker = Worker::start(&self.stage, &self.broker, name, live, &mut self.tasks);
        self.places[place] = Place::Taken(worker);
    }

    const fn next_name(&mut self) -> u32 {
        self.named += 1;
        self.named
    }

    /// What a worker's crew does beside its work: finds what got lost, and takes up what was paid for.
    async fn sweep(&self) {
        let slices_per_job = self.stage.plan.settings.slices_per_job;
        for (job, slice) in self.store.stranded_slices(STRANDED_AFTER, slices_per_job).await.unwrap() {
            self.broker.publish(SliceMessage { job, slice });
        }
        self.store.expire(Vec::new()).await.unwrap();
        while let Some(job) = self.store.auto_resume().await.unwrap() {
            self.announce(job).await;
        }
    }

    async fn announce(&self, job: JobKey) {
        let slices_per_job = self.stage.plan.settings.slices_per_job;
        for slice in self.store.announce_slices(job, slices_per_job).await.unwrap() {
            self.broker.publish(SliceMessage { job, slice });
        }
    }

    /// The jobs' rows, in the order of the plan.
    fn jobs(&self) -> Vec<JobKey> {
        self.stage.store.look(|tables| tables.all_jobs().map(|(job, _)| job.key).collect())
    }

    async fn strike(&mut self, fault: Fault) {
        match fault {
            Fault::Kill(place) => {
                if let Some(worker) = self.worker(place) {
                    worker.body.kill();
                    self.look_after_workers();
                }
            }
            Fault::Doom(place, point, nth) => {
                if let Some(worker) = self.worker(place) {
                    worker.body.doom(point, nth);
                }
            }
            Fault::Freeze(place, time) => {
                if let Some(worker) = self.worker(place) {
                    worker.body.freeze(time);
                    // Its connection is given up for lost.
                    self.broker.take_back(&worker.body.name);
                }
            }
            Fault::Cut(place, time) => {
                if let Some(worker) = self.worker(place) {
                    worker.body.cut(time);
                    self.broker.take_back(&worker.body.name);
                }
            }
            Fault::Stop(place) => {
                if let Some(worker) = self.worker(place) {
                    worker.engine.tasks.stop();
                }
            }
            Fault::DeliverAgain => self.broker.deliver_again(),
            Fault::Trouble(trouble, time) => self.stage.begin_trouble(trouble, time),
            Fault::Cancel(job) => self.cancel(self.jobs()[job]).await,
            Fault::Resume(job) => self.resume(self.jobs()[job]).await,
            Fault::TopUp(customer, amount) => {
                let reference = format!("top-up-{}", self.next_name());
                let workspace = &self.stage.plan.customers[customer].id;
                let first = top_up(&*self.store, workspace, amount, &reference).await;
                let again = top_up(&*self.store, workspace, amount, &reference).await;
                if !first || again {
                    self.stage.findings.report(Rule::G2Balance, "a top-up is booked other than once");
                }
            }
            Fault::ChangeKeys(customer, change) => self.change_keys(customer, change).await,
            Fault::Reload => {
                self.reloaded = true;
                for place in 0..WORKERS {
                    if let Some(worker) = self.worker(place) {
                        worker.engine.swap(Arc::clone(&self.stage.plan.lives[1]));
                    }
                }
            }
        }
    }

    /// The living worker at this place.
    fn worker(&self, place: usize) -> Option<&Worker> {
        match &self.places[place] {
            Place::Taken(worker) if !worker.body.is_dead() => Some(worker),
            Place::Taken(_) | Place::Free(_) => None,
        }
    }

    /// One worker hears of it at once, the others with their next beat.
    async fn cancel(&self, job: JobKey) {
        self.store.cancel_job(job).await.unwrap();
        if let Some(worker) = self.worker(0) {
            worker.engine.works.cancel(job);
        }
        self.announce(job).await;
    }

    async fn resume(&self, job: JobKey) {
        let before = self.store.read_job(job).await.unwrap().unwrap();
        if before.state == JobState::Cancelled {
            self.stage.note_overtaken(job);
        }
        self.store.resume_job(job).await.unwrap();
        if let Some(worker) = self.worker(0) {
            worker.engine.works.forget(job);
        }
        self.announce(job).await;
    }

    /// The first of a customer's keys goes, and perhaps another comes.
    async fn change_keys(&mut self, customer: usize, change: KeyChange) {
        let workspace = self.stage.plan.customers[customer].id.clone();
        let Some(former) = self.store.keys(&workspace).await.unwrap().into_iter().next() else { return };
        match change {
            KeyChange::Removed => assert!(self.store.remove_key(&workspace, &former.provider).await.unwrap()),
            KeyChange::Replaced => {
                let provider = former.provider.as_str();
                let key = own_key(&workspace, provider, self.next_name(), "");
                put_key(&*self.store, &workspace, provider, &key).await;
            }
        }
        self.stage.revoke(former.key_id);
    }
}
