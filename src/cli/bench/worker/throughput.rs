//! How many leads a second the workers do, at what cost.

use crate::cli::bench::process::us_each;
use crate::cli::bench::worker::case::Case;
use crate::cli::bench::worker::results::Told;
use crate::cli::bench::worker::shift::Shift;
use crate::cli::bench::worker::site::Site;
use crate::clock;
use anyhow::Result;

/// The first tenth of the leads is not counted, as in the floor: connections are made, and the jobs are
/// still coming in.
const WARM_UP: usize = 10;

/// What one run came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ran {
    /// Once the first tenth is done.
    pub(super) leads_per_s: f64,
    /// From the publishing of the first job to the last result.
    pub(super) whole_per_s: f64,
    /// CPU of all workers for a lead, in microseconds.
    pub(super) workers_us: f64,
    /// CPU of the sandbox for a lead, in microseconds.
    pub(super) sandbox_us: f64,
    /// The most memory that any worker has had, in KiB.
    pub(super) peak_kib: u64,
}

/// Has workers do one job for each workspace.
pub(super) async fn run(site: &Site, case: &Case) -> Result<Ran> {
    let mut shift = Shift::begin(site, case).await?;
    let mut messages = Vec::new();
    for _ in 0..case.workspaces {
        messages.push(shift.add_job(case.leads_each).await?.1);
    }
    let began_ms = clock::wall_ms();
    site.publish(messages).await?;
    let all = shift.expected();
    let before = shift.wait_for(all / 10).await?;
    let warm = shift.cpu()?;
    shift.wait_for(all).await?;
    let used = shift.cpu()?.since(warm);
    let done = shift.end().await?;

    let at_ms = times(&done.results);
    let last = at_ms.last().copied().unwrap_or(began_ms);
    // Completions lie among the results.
    let counted = u64::from(case.leads()) * all.saturating_sub(before) / all;
    Ok(Ran {
        leads_per_s: steady_rate(&at_ms),
        whole_per_s: f64::from(case.leads()) / seconds(began_ms, last),
        workers_us: us_each(used.workers, counted),
        sandbox_us: us_each(used.sandbox, counted),
        peak_kib: done.peak_kib,
    })
}

/// When each result was told, in order.
pub(super) fn times(results: &[Told]) -> Vec<i64> {
    let mut at_ms: Vec<i64> = results.iter().map(|told| told.at_ms).collect();
    at_ms.sort_unstable();
    at_ms
}

/// Results a second, from the one that ends the warm-up to the last.
pub(super) fn steady_rate(at_ms: &[i64]) -> f64 {
    let (_, counted) = at_ms.split_at(at_ms.len() / WARM_UP);
    match counted {
        [first, .., last] => (counted.len() - 1) as f64 / seconds(*first, *last),
        [] | [_] => f64::NAN,
    }
}

/// At least a millisecond, which is as exact as the stamps are.
fn seconds(from_ms: i64, to_ms: i64) -> f64 {
    (to_ms - from_ms).max(1) as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_tenth_does_not_count() {
        // Ten that came slowly, then ninety in 900 ms.
        let slow = (0..10).map(|n| n * 1_000);
        let at_ms: Vec<i64> = slow.chain((0..90).map(|n| 10_000 + n * 10)).collect();
        assert_eq!(steady_rate(&at_ms), 89.0 / 0.89);
        assert!(steady_rate(&[5]).is_nan());
    }
}
