//! `--fairness`: small jobs while a large one runs, beside the time that a slice of the large one takes.

use crate::cli::Globals;
use crate::cli::bench::measure::median;
use crate::cli::bench::worker::case::Case;
use crate::cli::bench::worker::configuration::SLICE_SIZE;
use crate::cli::bench::worker::results::Told;
use crate::cli::bench::worker::shift::Shift;
use crate::cli::bench::worker::site::Site;
use crate::cli::bench::worker::throughput;
use crate::cli::output;
use crate::domain::JobId;
use crate::jobs::JobState;
use crate::ledger::JobKey;
use crate::ledger::LeadNo;
use crate::store::Store;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
use tokio::time::sleep;

/// Small jobs in a run, one after the other, and the leads of each.
const SMALL_JOBS: usize = 10;
const SMALL_LEADS: u32 = 10;
/// Between two of them.
const APART: Duration = Duration::from_millis(200);
/// Between two looks at a small job.
const PAUSE: Duration = Duration::from_millis(2);
/// A small job that takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(120);
/// Slices of the large job whose time is taken.
const SLICES: usize = 20;

/// What one run came to, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Served {
    /// From the publishing of a small job to its completion: the middle one, and the slowest.
    small_ms: f64,
    slowest_ms: f64,
    /// From the first hold of a slice of the large job to its last result.
    slice_ms: f64,
    /// After so long, on average, another slice of the large job is done.
    slice_every_ms: f64,
}

/// Runs small jobs beside a large one, and prints how long they take.
pub(super) async fn run(site: &Site, case: &Case, runs: u32, globals: &Globals) -> Result<()> {
    let mut all = Vec::new();
    for n in 1..=runs {
        let served = Box::pin(measure(site, case)).await?;
        tracing::info!("run {n} of {runs}: {:.0} ms a small job, {:.0} ms a slice", served.small_ms, served.slice_ms);
        all.push(served);
    }
    let of = |figure: fn(&Served) -> f64| median(all.iter().map(figure));
    let (small, slowest) = (of(|served| served.small_ms), of(|served| served.slowest_ms));
    let (slice, every) = (of(|served| served.slice_ms), of(|served| served.slice_every_ms));
    let ratio = median(all.iter().map(|served| served.small_ms / served.slice_ms));
    if globals.json {
        return Ok(output::line(json!({
            "bench": "worker", "part": "fairness", "leads": case.leads_each, "small_leads": SMALL_LEADS,
            "latency_ms": case.latency_ms, "in_flight": case.in_flight, "workers": case.workers, "runs": runs,
            "small_ms": small, "slowest_ms": slowest, "slice_ms": slice, "slice_every_ms": every,
            "small_to_slice": ratio, "exact": true,
        }))?);
    }
    Ok(output::lines([
        format!(
            "{small:.0} ms for a job of {SMALL_LEADS} leads, {slowest:.0} ms for the slowest, beside one of {}",
            case.leads_each
        ),
        format!("{slice:.0} ms for a slice of the large job, of which one is done every {every:.0} ms"),
        format!("{ratio:.2} small job / slice; every run was exact"),
    ])?)
}

async fn measure(site: &Site, case: &Case) -> Result<Served> {
    let mut shift = Shift::begin(site, case).await?;
    let (large, message) = shift.add_job(case.leads_each).await?;
    let mut small_jobs = Vec::new();
    for _ in 0..SMALL_JOBS {
        small_jobs.push(shift.add_job(SMALL_LEADS).await?);
    }
    site.publish(vec![message]).await?;
    shift.wait_for(u64::from(case.leads_each) / 10).await?;
    let mut took_ms = Vec::new();
    for (job, message) in small_jobs {
        let sent = Instant::now();
        site.publish(vec![message]).await?;
        completed(&*site.store, &job.id).await?;
        took_ms.push(sent.elapsed().as_secs_f64() * 1000.0);
        sleep(APART).await;
    }
    let large_job = site.store.find_job(&large.id).await?.context("the large job is gone")?;
    ensure!(large_job.state == JobState::Running, "the large job was done before the small ones: give it more --leads");

    let results = shift.end().await?.results;
    let of_large: Vec<Told> = results.into_iter().filter(|told| told.job == large.id.as_str()).collect();
    let rate = throughput::steady_rate(&throughput::times(&of_large));
    Ok(Served {
        small_ms: median(took_ms.iter().copied()),
        slowest_ms: took_ms.iter().copied().fold(0.0, f64::max),
        slice_ms: median(slice_times(&*site.store, large_job.key, &of_large).await?),
        slice_every_ms: f64::from(SLICE_SIZE) / rate * 1000.0,
    })
}

/// Waits until a job is completed, which it is once its results are out.
async fn completed(store: &dyn Store, job: &JobId) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while store.find_job(job).await?.is_none_or(|job| job.state != JobState::Completed) {
        ensure!(Instant::now() < until, "a small job was not done within {} s", PATIENCE.as_secs());
        sleep(PAUSE).await;
    }
    Ok(())
}

/// How long slices from the middle of a job took, in milliseconds.
async fn slice_times(store: &dyn Store, job: JobKey, results: &[Told]) -> Result<Vec<f64>> {
    let slices = by_slice(results);
    let from = slices.len() / 4;
    let every = (slices.len() / 2 / SLICES).max(1);
    let mut times = Vec::new();
    for leads in slices.values().skip(from).step_by(every).take(SLICES) {
        let mut began_ms = i64::MAX;
        for told in leads {
            let trail = store.trail(job, LeadNo(told.lead)).await?;
            began_ms = trail.first().map_or(began_ms, |first| first.began_ms.min(began_ms));
        }
        let last_ms = leads.iter().map(|told| told.at_ms).max().unwrap_or(began_ms);
        times.push((last_ms - began_ms) as f64);
    }
    Ok(times)
}

/// Slices are the leads of a job in the order of their numbers, a hundred each.
fn by_slice(results: &[Told]) -> BTreeMap<u32, Vec<&Told>> {
    let mut slices: BTreeMap<u32, Vec<&Told>> = BTreeMap::new();
    for told in results {
        slices.entry((told.lead - 1) / SLICE_SIZE).or_default().push(told);
    }
    slices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_a_hundred_leads_from_the_first_on() {
        let told = |lead| Told { job: "j".to_owned(), lead, at_ms: 0 };
        let results: Vec<Told> = (1..=250).map(told).collect();
        let sizes: Vec<_> = by_slice(&results).into_iter().map(|(slice, leads)| (slice, leads.len())).collect();
        assert_eq!(sizes, [(0, 100), (1, 100), (2, 50)]);
    }
}
