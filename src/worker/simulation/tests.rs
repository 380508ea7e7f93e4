//! Many worlds. `WEIR_SIMULATION_SEEDS=5000` plays more of them, `WEIR_SIMULATION_SEED=17` that one alone.

use crate::domain::Reason;
use crate::worker::simulation::auditor::Tally;
use crate::worker::simulation::dice::Dice;
use crate::worker::simulation::faults::Fault;
use crate::worker::simulation::faults::WORKERS;
use crate::worker::simulation::plan::Plan;
use crate::worker::simulation::planted::play_seed;
use std::collections::BTreeSet;
use std::ops::Range;

/// As many as end within a minute, unoptimised.
const SEEDS: u64 = 300;

/// A number from the environment; one that cannot be read is a mistake, not an absence.
fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

fn seeds() -> Range<u64> {
    match from_environment("WEIR_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..from_environment("WEIR_SIMULATION_SEEDS").unwrap_or(SEEDS),
    }
}

fn play_well(seed: u64) -> Tally {
    play_seed(seed, None).unwrap_or_else(|breach| {
        panic!("seed {seed}: {breach}\nthis one alone: WEIR_SIMULATION_SEED={seed} cargo test --lib simulation")
    })
}

#[test]
fn what_must_never_happen_does_not() {
    let tallies: Vec<Tally> = seeds().map(play_well).collect();
    // A world in which nothing goes wrong would prove nothing; one of them may.
    if tallies.len() >= 100 {
        let ended = |reason| tallies.iter().filter(|tally| tally.reasons.contains_key(&reason)).count();
        assert!(ended(Reason::WalletEmpty) >= 20, "money runs out in {} worlds", ended(Reason::WalletEmpty));
        let cut_off = tallies.iter().filter(|tally| tally.unbooked > 0).count();
        assert!(cut_off >= 20, "an answer dies with its worker in {cut_off} worlds");
    }
}

#[test]
fn a_seed_plays_the_same_twice() {
    for seed in [1, 2, 3] {
        assert_eq!(play_well(seed), play_well(seed), "seed {seed}");
    }
}

#[test]
fn a_world_has_fifty_leads_three_workers_and_five_faults_and_every_fault_strikes_somewhere() {
    let mut struck = BTreeSet::new();
    for seed in 0..100 {
        let plan = Plan::draw(seed);
        let leads: usize = plan.jobs.iter().map(|job| job.list.len()).sum();
        assert!(leads >= 50 && plan.faults.len() >= 5, "seed {seed}: {leads} leads, {} faults", plan.faults.len());
        struck.extend(plan.faults.iter().map(|(_, fault)| word_of(fault)));
    }
    assert_eq!(WORKERS, 3);
    assert_eq!(struck.len(), 12, "{struck:?}");
}

fn word_of(fault: &Fault) -> String {
    format!("{fault:?}").split('(').next().unwrap().to_owned()
}

#[test]
fn dice_are_fair_and_repeat_themselves() {
    let rolls = |seed| {
        let mut dice = Dice::new(seed);
        (0..1_000).map(|_| dice.below(10)).collect::<Vec<_>>()
    };
    assert_eq!(rolls(7), rolls(7));
    assert_ne!(rolls(7), rolls(8));
    for face in 0..10 {
        let times = rolls(7).iter().filter(|roll| **roll == face).count();
        assert!((60..140).contains(&times), "{face} came {times} times");
    }
}
