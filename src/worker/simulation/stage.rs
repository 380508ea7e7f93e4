//! What everybody in the world shares.

use crate::domain::KeySource;
use crate::domain::Outcome;
use crate::domain::Usd;
use crate::domain::WorkerId;
use crate::ledger::Boundary;
use crate::ledger::JobKey;
use crate::ledger::LeadNo;
use crate::ledger::rules::Owed;
use crate::store::memory::AttemptRow;
use crate::store::memory::Fate;
use crate::store::memory::MemoryStore;
use crate::worker::simulation::audience::Audience;
use crate::worker::simulation::body::Body;
use crate::worker::simulation::dice::Dice;
use crate::worker::simulation::faults::Trouble;
use crate::worker::simulation::findings::Findings;
use crate::worker::simulation::findings::Rule;
use crate::worker::simulation::leads::Person;
use crate::worker::simulation::plan::Plan;
use crate::worker::simulation::prices::house_key;
use crate::worker::simulation::prices::prices_of;
use crate::worker::simulation::prices::worst_credits;
use crate::worker::simulation::providers::Providers;
use crate::worker::simulation::providers::Reply;
use crate::worker::simulation::question::Question;
use crate::worker::simulation::record::Call;
use crate::worker::simulation::record::Record;
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::time::Duration;
use tokio::time::Instant;

/// A removed key may be used for so long.
const REVOKED_AFTER: Duration = Duration::from_secs(5);

pub(super) struct Stage {
    pub(super) plan: Plan,
    /// The store without faults.
    pub(super) store: MemoryStore,
    pub(super) findings: Arc<Findings>,
    pub(super) audience: Audience,
    /// Who each lead is.
    pub(super) people: BTreeMap<(JobKey, LeadNo), Person>,
    providers: Mutex<Providers>,
    dice: Mutex<Dice>,
    record: Mutex<Record>,
    trouble: Mutex<Option<(Trouble, Instant)>>,
    dead: Mutex<BTreeSet<WorkerId>>,
    frozen: Mutex<BTreeSet<WorkerId>>,
    overtaken: Mutex<BTreeSet<JobKey>>,
    /// Own keys that were taken away, and when.
    revoked: Mutex<BTreeMap<String, Instant>>,
    /// Attempts that the worker itself gave up for want of money, its time being over.
    given_up: Mutex<BTreeSet<(JobKey, LeadNo, u32)>>,
}

impl Stage {
    pub(super) fn new(
        plan: Plan,
        dice: Dice,
        store: MemoryStore,
        findings: Arc<Findings>,
        people: BTreeMap<(JobKey, LeadNo), Person>,
    ) -> Self {
        Self {
            audience: Audience::default(),
            plan,
            store,
            findings,
            people,
            providers: Mutex::default(),
            dice: Mutex::new(dice),
            record: Mutex::default(),
            trouble: Mutex::default(),
            dead: Mutex::default(),
            frozen: Mutex::default(),
            overtaken: Mutex::default(),
            revoked: Mutex::default(),
            given_up: Mutex::default(),
        }
    }

    pub(super) fn dice(&self) -> MutexGuard<'_, Dice> {
        self.dice.lock().unwrap()
    }

    pub(super) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap()
    }

    /// The store's trouble, while it lasts.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        let (trouble, until) = (*self.trouble.lock().unwrap())?;
        (Instant::now() < until).then_some(trouble)
    }

    pub(super) fn begin_trouble(&self, trouble: Trouble, time: Duration) {
        *self.trouble.lock().unwrap() = Some((trouble, Instant::now() + time));
    }

    pub(super) fn note_death(&self, worker: &WorkerId) {
        self.dead.lock().unwrap().insert(worker.clone());
    }

    pub(super) fn note_frost(&self, worker: &WorkerId) {
        self.frozen.lock().unwrap().insert(worker.clone());
    }

    /// A cancelled job is resumed: whoever was at work on it is overtaken, with calls in flight.
    pub(super) fn note_overtaken(&self, job: JobKey) {
        self.overtaken.lock().unwrap().insert(job);
    }

    /// May a call for it have been overtaken?
    pub(super) fn was_overtaken(&self, job: JobKey) -> bool {
        self.overtaken.lock().unwrap().contains(&job)
    }

    /// Has it been killed? What it had learned and not committed died with it.
    pub(super) fn is_dead(&self, worker: &WorkerId) -> bool {
        self.dead.lock().unwrap().contains(worker)
    }

    /// Was it ever frozen? From then on others may have taken over what it works on.
    pub(super) fn was_frozen(&self, worker: &WorkerId) -> bool {
        self.frozen.lock().unwrap().contains(worker)
    }

    pub(super) fn revoke(&self, key: String) {
        self.revoked.lock().unwrap().insert(key, Instant::now());
    }

    /// Was this attempt given up by its worker, rather than refused by the store?
    pub(super) fn is_given_up(&self, row: &AttemptRow) -> bool {
        self.given_up.lock().unwrap().contains(&(row.job, row.lead, row.attempt.n.get()))
    }

    /// A call arrives at its provider.
    pub(super) fn ask(&self, question: &Question, key: &str) -> Reply {
        let Plan { seed, weather, .. } = &self.plan;
        self.providers.lock().unwrap().reply(*seed, weather, &mut self.dice(), question, key)
    }

    /// A worker commits: what its calls came to is on the way into the store, or lost with this failure.
    pub(super) fn note_boundary(&self, worker: &WorkerId, boundary: &Boundary, fate: Fate) {
        let lead = (boundary.lead.job, boundary.lead.lead);
        let Some(person) = self.people.get(&lead) else { return };
        for ended in &boundary.ended {
            if ended.attempt.outcome() == Some(Outcome::Unaffordable) {
                self.given_up.lock().unwrap().insert((lead.0, lead.1, ended.attempt.n.get()));
            }
            let is_owed = |call: &Call| match call.key_source {
                KeySource::Own => ended.owed == Owed::NOTHING,
                KeySource::House => match ended.owed {
                    Owed::Amount(owed) => self.prices(&call.question, call.told).contains(&owed),
                    // Each of these providers says what it takes.
                    Owed::Held | Owed::ByHouse => false,
                },
            };
            let mut record = self.record();
            let booked = record.book(worker, &person.domain, ended, fate, is_owed);
            if let Some(call) = booked.filter(|call| !is_owed(call)) {
                let Call { question, told, .. } = call;
                let what = format!("{:?} is owed for {question}, whose provider takes {told} credits", ended.owed);
                self.findings.report(Rule::G5Unbooked, what);
            }
        }
    }

    /// A call leaves: is it covered by a hold, and is the key the right one?
    pub(super) fn examine(&self, body: &Body, question: &Question, key: &str) -> KeySource {
        let step = &question.step;
        if key == house_key(step.provider.as_str()) {
            if !self.was_frozen(&body.name) && !self.is_covered(question) {
                self.findings.report(Rule::G1Uncovered, format!("{question} is asked without an open hold"));
            }
            return KeySource::House;
        }
        if !key.starts_with(&format!("own-{}-{}-", question.workspace(), step.provider)) {
            self.findings.report(Rule::G7Key, format!("{question} is asked with the key {key}"));
        }
        let revoked = self.revoked.lock().unwrap().get(key).copied();
        if revoked.is_some_and(|at| at.elapsed() > REVOKED_AFTER) && !self.was_frozen(&body.name) {
            self.findings.report(Rule::G8Revoked, format!("{question} is asked with the removed key {key}"));
        }
        KeySource::Own
    }

    /// Is there, for one of this person's leads, a committed hold for this question that is open and large enough?
    fn is_covered(&self, question: &Question) -> bool {
        let worst = worst_credits(&question.step, question.by_profile());
        let least = self.prices(question, worst).into_iter().min();
        let leads = self.people.iter().filter(|(_, person)| person.domain == question.person);
        let mut leads = leads.map(|(lead, _)| *lead);
        self.store.look(|tables| {
            leads.any(|(job, lead)| {
                let mut rows = tables.attempts_of(job, lead).filter(|row| question.is_of(row));
                rows.any(|row| row.attempt.key_source == KeySource::House && row.open_amount() >= least)
            })
        })
    }

    /// What so many credits cost for this question, under each configuration.
    fn prices(&self, question: &Question, credits: Decimal) -> Vec<Usd> {
        let prices = prices_of(&self.plan.lives, &question.step, credits);
        prices.into_iter().map(|(_, price)| price).collect()
    }
}
