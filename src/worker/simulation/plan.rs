//! Everything that a seed decides before the world begins.

use crate::config::Live;
use crate::domain::Fingerprint;
use crate::domain::JobId;
use crate::domain::Usd;
use crate::domain::WaterfallName;
use crate::domain::WorkspaceId;
use crate::jobs::NewJob;
use crate::jobs::Work;
use crate::keys::OwnKeyFallback;
use crate::keys::WorkspacePlan;
use crate::keys::WorkspaceSettings;
use crate::worker::Settings;
use crate::worker::simulation::dice::Dice;
use crate::worker::simulation::faults::Fault;
use crate::worker::simulation::faults::draw_faults;
use crate::worker::simulation::leads::Line;
use crate::worker::simulation::leads::draw_list;
use crate::worker::simulation::prices::WATERFALL;
use crate::worker::simulation::prices::draw_lives;
use std::sync::Arc;
use std::time::Duration;

/// A world before it begins.
pub(super) struct Plan {
    pub(super) seed: u64,
    /// In force first, and after a reload.
    pub(super) lives: Vec<Arc<Live>>,
    pub(super) customers: Vec<Customer>,
    pub(super) jobs: Vec<JobPlan>,
    pub(super) weather: Weather,
    pub(super) settings: Settings,
    /// With the time since the start at which each strikes, in order.
    pub(super) faults: Vec<(Duration, Fault)>,
    /// What chance decides later.
    pub(super) dice: Dice,
}

/// A workspace, its wallet and its own keys.
#[derive(Clone)]
pub(super) struct Customer {
    pub(super) id: WorkspaceId,
    pub(super) settings: WorkspaceSettings,
    pub(super) wallet: Usd,
    /// The providers it has a key of its own at.
    pub(super) keys: Vec<OwnKeyPlan>,
}

/// A customer's own key.
#[derive(Clone)]
pub(super) struct OwnKeyPlan {
    pub(super) provider: &'static str,
    /// Does the provider accept it?
    pub(super) works: bool,
}

/// A job and its list.
pub(super) struct JobPlan {
    pub(super) new: NewJob,
    pub(super) list: Vec<Line>,
}

/// How often, out of a hundred calls, a provider does not answer properly.
pub(super) struct Weather {
    pub(super) throttled: u64,
    pub(super) failing: u64,
    pub(super) lost: u64,
    pub(super) unsent: u64,
    pub(super) garbled: u64,
}

/// Leads of one world, unusable ones included.
const LEADS: (u64, u64) = (50, 66);

impl Plan {
    /// The world of this seed.
    pub(super) fn draw(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let leads_in_flight = 4;
        let settings = Settings {
            leads_in_flight: 4,
            prefetch: 2,
            slices_per_job: 2,
            lead_deadline: Duration::from_secs(dice.between(90, 300)),
        };
        let lives = draw_lives(&mut dice.fork(), leads_in_flight);
        let leads = dice.between(LEADS.0, LEADS.1);
        let customers = draw_customers(&mut dice, leads);
        let (jobs, jobs_of) = draw_jobs(&mut dice, &customers, leads);
        let weather = draw_weather(&mut dice);
        let faults = draw_faults(&mut dice.fork(), &jobs_of, u32::try_from(leads).unwrap());
        Self { seed, lives, customers, jobs, weather, settings, faults, dice }
    }
}

/// One customer pays by the call; the other, in half of the worlds, has keys of its own.
fn draw_customers(dice: &mut Dice, leads: u64) -> Vec<Customer> {
    let acme = Customer {
        id: WorkspaceId::new("acme"),
        settings: WorkspaceSettings::new(),
        wallet: draw_wallet(dice, leads),
        keys: Vec::new(),
    };
    if dice.percent(50) {
        return vec![acme];
    }
    let fallback = if dice.percent(50) { OwnKeyFallback::House } else { OwnKeyFallback::Never };
    let settings =
        WorkspaceSettings { plan: WorkspacePlan::Unlimited, own_key_fallback: fallback, ..WorkspaceSettings::new() };
    let mut providers = vec!["leadmagic", "prospeo", "findymail", "millionverifier", "zerobounce"];
    providers.rotate_left(dice.place(5));
    providers.truncate(2 + dice.place(2));
    let keys = providers.into_iter().map(|provider| OwnKeyPlan { provider, works: dice.percent(80) }).collect();
    vec![acme, Customer { id: WorkspaceId::new("beta"), settings, wallet: draw_wallet(dice, leads), keys }]
}

/// Mostly too little: from two thousandths to four cents a lead, where one costs two or three cents.
fn draw_wallet(dice: &mut Dice, leads: u64) -> Usd {
    Usd::from_nanos(i64::try_from(leads * dice.between(2, 40)).unwrap() * 1_000_000)
}

/// One to three jobs; also which of them are each customer's.
fn draw_jobs(dice: &mut Dice, customers: &[Customer], leads: u64) -> (Vec<JobPlan>, Vec<Vec<usize>>) {
    let count = 1 + dice.place(3);
    let share = leads.div_ceil(u64::try_from(count).unwrap());
    let mut known = vec![Vec::new(); customers.len()];
    let mut jobs_of = vec![Vec::new(); customers.len()];
    let mut jobs = Vec::new();
    for place in 0..count {
        let customer = place % customers.len();
        let workspace = &customers[customer].id;
        let list = draw_list(dice, workspace.as_str(), u32::try_from(share).unwrap(), &mut known[customer]);
        let id = format!("job-{place}");
        let new = NewJob {
            content: Fingerprint::of("list", [Some(id.as_str())]),
            id: JobId::new(id),
            workspace: workspace.clone(),
            work: Work::Enrich(WaterfallName::new(WATERFALL)),
            slice_size: u32::try_from(dice.between(5, 10)).unwrap(),
            campaign: None,
            max_spend: dice.percent(25).then(|| draw_wallet(dice, share)),
            auto_resume: dice.percent(30),
            reply: None,
        };
        jobs.push(JobPlan { new, list });
        jobs_of[customer].push(place);
    }
    (jobs, jobs_of)
}

fn draw_weather(dice: &mut Dice) -> Weather {
    let fine = dice.percent(30);
    let mut at_most = |most: u64| if fine { 0 } else { dice.below(most + 1) };
    Weather { throttled: at_most(8), failing: at_most(10), lost: at_most(6), unsent: at_most(4), garbled: at_most(3) }
}
