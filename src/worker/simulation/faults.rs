//! What can go wrong, and when it does.

use crate::domain::Usd;
use crate::worker::simulation::body::Point;
use crate::worker::simulation::dice::Dice;
use std::time::Duration;

/// Workers at the same time.
pub(super) const WORKERS: usize = 3;

/// Something that happens to the world at a moment of its plan. A worker is named by its place, a job and a
/// customer by the order of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// kill -9, at this moment.
    Kill(usize),
    /// kill -9, when it passes this point for the n-th time from now.
    Doom(usize, Point, u32),
    /// It stops for so long, past its lease, and goes on as if nothing had been.
    Freeze(usize, Duration),
    /// It is cut off from the queue for so long; what it had in hand is delivered to others.
    Cut(usize, Duration),
    /// SIGTERM.
    Stop(usize),
    /// Everything that was delivered is delivered once more.
    DeliverAgain,
    /// For so long the store fails, does not know whether it has committed, or is slow.
    Trouble(Trouble, Duration),
    /// A job is cancelled.
    Cancel(usize),
    /// A job is resumed.
    Resume(usize),
    /// Money comes in, announced twice.
    TopUp(usize, Usd),
    /// A customer removes a key, and may store another.
    ChangeKeys(usize, KeyChange),
    /// Every worker swaps its configuration for one of other prices.
    Reload,
}

/// What the store does to commits for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    Fails,
    Unsure,
    Slow,
}

/// What becomes of a customer's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyChange {
    Removed,
    Replaced,
}

/// The least and the most faults of one world, what follows from them not counted.
const FAULTS: (u64, u64) = (5, 9);

/// The moments at which faults strike, counted from the start: while there is work.
const WINDOW_MS: (u64, u64) = (500, 40_000);

/// Draws the faults of a world with so many jobs and customers, in the order in which they strike. `jobs_of`
/// names the jobs of a customer.
pub(super) fn draw_faults(dice: &mut Dice, jobs_of: &[Vec<usize>], leads: u32) -> Vec<(Duration, Fault)> {
    let mut faults = Vec::new();
    let jobs: usize = jobs_of.iter().map(Vec::len).sum();
    for _ in 0..dice.between(FAULTS.0, FAULTS.1) {
        let at = dice.ms(WINDOW_MS.0, WINDOW_MS.1);
        let worker = dice.place(WORKERS);
        let customer = dice.place(jobs_of.len());
        let fault = match dice.below(100) {
            0..10 => Fault::Kill(worker),
            10..32 => Fault::Doom(worker, Point::ALL[dice.place(Point::ALL.len())], draw_nth(dice)),
            32..46 => Fault::Freeze(worker, dice.ms(60_000, 110_000)),
            46..53 => Fault::Cut(worker, dice.ms(5_000, 60_000)),
            53..57 => Fault::Stop(worker),
            57..63 => Fault::DeliverAgain,
            63..75 => {
                let trouble = [Trouble::Fails, Trouble::Unsure, Trouble::Slow][dice.place(3)];
                Fault::Trouble(trouble, dice.ms(1_000, 10_000))
            }
            75..82 => {
                let job = dice.place(jobs);
                faults.push((at + dice.ms(1_000, 20_000), Fault::Resume(job)));
                Fault::Cancel(job)
            }
            82..90 => {
                let then = at + dice.ms(0, 3_000);
                faults.extend(jobs_of[customer].iter().map(|job| (then, Fault::Resume(*job))));
                // From a thousandth to two cents a lead.
                Fault::TopUp(customer, Usd::from_nanos(i64::from(leads) * 1_000_000 * nanos(dice.between(1, 20))))
            }
            90..96 => Fault::ChangeKeys(customer, [KeyChange::Removed, KeyChange::Replaced][dice.place(2)]),
            _ => Fault::Reload,
        };
        faults.push((at, fault));
    }
    faults.sort_by_key(|(at, _)| *at);
    faults
}

fn draw_nth(dice: &mut Dice) -> u32 {
    u32::try_from(dice.between(1, 12)).unwrap()
}

fn nanos(number: u64) -> i64 {
    i64::try_from(number).unwrap()
}
