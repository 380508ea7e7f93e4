//! Mistakes planted into the store: a simulation that does not find them would find nothing.

use crate::store::memory::Planted;
use crate::worker::simulation::auditor::Tally;
use crate::worker::simulation::findings::Breach;
use crate::worker::simulation::findings::Rule;
use crate::worker::simulation::plan::Plan;
use crate::worker::simulation::world::play;
use tokio::runtime::Builder;

/// Within so many seeds each must be found.
const SEEDS: u64 = 200;

/// Plays the world of a seed on a runtime of its own, whose clock only waiting moves.
pub(super) fn play_seed(seed: u64, planted: Option<Planted>) -> Result<Tally, Breach> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(Box::pin(play(Plan::draw(seed), planted)))
}

/// Plays seeds until one breaks that rule.
fn check(planted: Planted, rule: Rule) {
    let breaches = (0..SEEDS).filter_map(|seed| play_seed(seed, Some(planted)).err());
    let mut others = Vec::new();
    for breach in breaches {
        if breach.rule == rule {
            return;
        }
        others.push(breach.rule);
    }
    panic!("{planted:?} is not found as {rule:?} in {SEEDS} seeds; what is found: {others:?}");
}

#[test]
fn a_call_before_its_hold_is_committed_is_found() {
    check(Planted::EarlyGrant, Rule::G1Uncovered);
}

#[test]
fn a_hold_that_takes_what_others_hold_is_found() {
    check(Planted::HeldIgnored, Rule::G2Balance);
}

#[test]
fn a_hold_that_never_ends_is_found() {
    check(Planted::HoldStaysOpen, Rule::G3Hold);
}

#[test]
fn a_step_that_is_charged_twice_is_found() {
    check(Planted::StaleSettles, Rule::G4ChargedTwice);
}

#[test]
fn a_cost_that_nobody_books_is_found() {
    check(Planted::LateAnswerDropped, Rule::G5Unbooked);
}
