//! `--added-latency`: the time that weir adds to a lead beyond its providers' own, at a quarter of the
//! full rate.
//!
//! The rate is set by what is in flight. Of each lead the time is known from the moment its first hold is
//! written to the moment its result is told; the rest (before the hold is written, and until the result
//! is confirmed) is known on average, because leads in flight are rate times time. It is added to each.

use crate::cli::BadInput;
use crate::cli::Globals;
use crate::cli::bench::measure::median;
use crate::cli::bench::worker::case::Case;
use crate::cli::bench::worker::results::Told;
use crate::cli::bench::worker::shift::Shift;
use crate::cli::bench::worker::site::Site;
use crate::cli::bench::worker::throughput;
use crate::cli::output;
use crate::domain::JobId;
use crate::ledger::JobKey;
use crate::ledger::LeadNo;
use crate::store::Store;
use anyhow::Context;
use anyhow::Result;
use serde_json::json;
use std::collections::HashMap;

/// Below this, in milliseconds, what is in flight does not set the rate.
const LEAST_LATENCY_MS: u32 = 10;
/// Leads that are looked at.
const SAMPLE: usize = 5_000;

/// What one run came to, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Added {
    mean_ms: f64,
    p99_ms: f64,
    /// What is known on average only.
    unseen_ms: f64,
    /// The rate at which it was measured, as a share of the full one.
    share: f64,
}

/// Measures full speed and a quarter of it in turn, and prints what is added.
pub(super) async fn run(site: &Site, case: &Case, runs: u32, globals: &Globals) -> Result<()> {
    if case.latency_ms < LEAST_LATENCY_MS {
        let why = "what is in flight sets the rate only if the providers take their time";
        return Err(BadInput(format!("--added-latency needs --latency {LEAST_LATENCY_MS} or more: {why}")).into());
    }
    let mut all = Vec::new();
    for n in 1..=runs {
        let full = Box::pin(throughput::run(site, case)).await?.leads_per_s;
        let added = Box::pin(measure(site, &slowed(case, full), full)).await?;
        tracing::info!("run {n} of {runs}: {:.1} ms added, p99 {:.1} ms", added.mean_ms, added.p99_ms);
        all.push(added);
    }
    let of = |figure: fn(&Added) -> f64| median(all.iter().map(figure));
    let (mean, p99) = (of(|added| added.mean_ms), of(|added| added.p99_ms));
    let (unseen, share) = (of(|added| added.unseen_ms), of(|added| added.share));
    if globals.json {
        return Ok(output::line(json!({
            "bench": "worker", "part": "added_latency", "latency_ms": case.latency_ms, "workers": case.workers,
            "runs": runs, "mean_ms": mean, "p99_ms": p99, "unseen_ms": unseen, "rate_to_full": share, "exact": true,
        }))?);
    }
    Ok(output::lines([
        format!(
            "{mean:.1} ms on average and {p99:.1} ms at the 99th percentile, beyond {} ms of providers",
            case.providers_ms()
        ),
        format!("at {share:.2} of the full rate; {unseen:.1} ms of it known on average only; every run was exact"),
    ])?)
}

/// In flight what makes a quarter of the full rate, and a quarter of the leads.
fn slowed(case: &Case, full: f64) -> Case {
    let in_flight = full / 4.0 * f64::from(case.providers_ms()) / 1000.0 / f64::from(case.workers);
    Case { in_flight: in_flight.round().max(1.0) as u32, leads_each: case.leads_each.div_ceil(4), ..*case }
}

async fn measure(site: &Site, case: &Case, full: f64) -> Result<Added> {
    let mut shift = Shift::begin(site, case).await?;
    let (mut messages, mut ids) = (Vec::new(), Vec::new());
    for _ in 0..case.workspaces {
        let (job, message) = shift.add_job(case.leads_each).await?;
        messages.push(message);
        ids.push(job.id);
    }
    site.publish(messages).await?;
    let mut results = shift.end().await?.results;
    results.sort_unstable_by_key(|told| told.at_ms);

    let rate = throughput::steady_rate(&throughput::times(&results));
    let mean_ms = f64::from(case.in_flight * case.workers) / rate * 1000.0;
    let keys = keys_of(&*site.store, &ids).await?;
    // The first tenth is warm-up here as well.
    let (_, counted) = results.split_at(results.len() / 10);
    let seen = seen_ms(&*site.store, &keys, counted).await?;
    let unseen_ms = mean_ms - seen.iter().sum::<f64>() / seen.len().max(1) as f64;
    let providers_ms = f64::from(case.providers_ms());
    Ok(Added {
        mean_ms: mean_ms - providers_ms,
        p99_ms: p99(seen) + unseen_ms - providers_ms,
        unseen_ms,
        share: rate / full,
    })
}

async fn keys_of(store: &dyn Store, ids: &[JobId]) -> Result<HashMap<String, JobKey>> {
    let mut keys = HashMap::new();
    for id in ids {
        let job = store.find_job(id).await?.context("a job is gone")?;
        keys.insert(id.as_str().to_owned(), job.key);
    }
    Ok(keys)
}

/// How long each lead of a sample took, as far as it is written down, in milliseconds.
async fn seen_ms(store: &dyn Store, keys: &HashMap<String, JobKey>, results: &[Told]) -> Result<Vec<f64>> {
    let mut seen = Vec::new();
    for told in results.iter().step_by(results.len().div_ceil(SAMPLE).max(1)) {
        let key = keys.get(&told.job).context("a result of no job")?;
        let trail = store.trail(*key, LeadNo(told.lead)).await?;
        let first = trail.first().context("a lead without an attempt")?;
        seen.push((told.at_ms - first.began_ms) as f64);
    }
    Ok(seen)
}

fn p99(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() * 99 / 100).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASE: Case = Case { leads_each: 1_000, workspaces: 1, workers: 2, latency_ms: 50, in_flight: 1_500 };

    #[test]
    fn a_quarter_of_the_rate_is_so_many_in_flight_that_their_providers_take_that_long() {
        // 1,000 leads a second, each at its providers for 0.1 s, on two workers.
        let slowed = slowed(&CASE, 4_000.0);
        assert_eq!((slowed.in_flight, slowed.leads_each, slowed.workers), (50, 250, 2));
        assert_eq!(super::slowed(&CASE, 0.1).in_flight, 1);
    }

    #[test]
    fn one_of_a_hundred_may_be_slower_than_p99() {
        assert_eq!(p99((1..=200).map(f64::from).collect()), 199.0);
        assert!(p99(Vec::new()).is_nan());
    }
}
