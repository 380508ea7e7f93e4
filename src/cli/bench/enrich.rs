//! `weir bench enrich`: the whole chain over real HTTP, in turn with what its parts cost alone.

use crate::cli::Globals;
use crate::cli::bench::chain::Chain;
use crate::cli::bench::chain::Worked;
use crate::cli::bench::floor_http;
use crate::cli::bench::floor_wallet;
use crate::cli::bench::load::Load;
use crate::cli::bench::measure::Measured;
use crate::cli::bench::measure::median;
use crate::cli::bench::process::us_each;
use crate::cli::bench::sandbox_process::SandboxProcess;
use crate::cli::bench::scratch::scratch;
use crate::cli::output;
use crate::cli::output::OutputError;
use anyhow::Result;
use clap::value_parser;
use serde_json::Value;
use serde_json::json;
use std::thread::available_parallelism;

/// Each part is measured for so long, in every run.
const PART_SECONDS: u32 = 3;
const PART_LOAD: Load = Load { seconds: PART_SECONDS, in_flight: 512, wallets: 1 };

/// A lead finds and verifies; each call is held for, and settled.
const CALLS: f64 = 2.0;
const WALLET_OPERATIONS: f64 = 4.0;

/// What `weir bench enrich` takes.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Enrich a list of so many leads
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = value_parser!(u32).range(1..=100_000_000))]
    leads: u32,
    /// Let the providers take so many milliseconds for a call
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = value_parser!(u32).range(0..=10_000))]
    latency: u32,
    /// Decide and call for so many leads at once
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = value_parser!(u32).range(1..=100_000))]
    in_flight: u32,
    /// Run everything so many times, in turn, and tell the medians
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u32).range(1..=100))]
    runs: u32,
}

/// What a lead takes.
#[derive(Clone, Copy, Debug, PartialEq)]
struct LeadCost {
    leads_per_s: f64,
    /// CPU of this process, in microseconds.
    own_us: f64,
    /// CPU of the sandbox, in microseconds.
    sandbox_us: f64,
}

/// One run and its floor.
struct Round {
    weir: LeadCost,
    floor: LeadCost,
}

pub(super) async fn run(args: &Args, globals: &Globals) -> Result<()> {
    let config = globals.load_config()?;
    let directory = scratch(globals)?;
    let sandbox = SandboxProcess::start(args.latency)?;
    let chain = Chain::prepare(directory.path(), args.leads, args.in_flight, config, &sandbox)?;
    let cores = u32::try_from(available_parallelism()?.get())?;
    let mut rounds = Vec::new();
    // Of the first run alone: afterwards it would be the floors' as well.
    let mut peak_kib = None;
    for n in 1..=args.runs {
        let directory = scratch(globals)?;
        let worked = chain.run(directory.path(), sandbox.process()).await?;
        peak_kib.get_or_insert(worked.peak_kib);
        let calls = floor_http::run(&sandbox, PART_SECONDS).await?;
        let wallet = floor_wallet::run(directory.path(), PART_LOAD).await?;
        let round = Round { weir: cost_of_lead(&worked, args.leads), floor: sum_of_parts(&calls, &wallet, cores) };
        let (weir, floor) = (round.weir.leads_per_s, round.floor.leads_per_s);
        tracing::info!("run {n} of {}: {weir:.0} leads/s, {floor:.0} by its parts", args.runs);
        rounds.push(round);
    }
    Ok(print(&rounds, peak_kib.unwrap_or_default(), cores, args, globals)?)
}

fn cost_of_lead(worked: &Worked, leads: u32) -> LeadCost {
    let count = u64::from(leads);
    LeadCost {
        leads_per_s: f64::from(leads) / worked.spent.wall.as_secs_f64(),
        own_us: us_each(worked.spent.own, count),
        sandbox_us: us_each(worked.spent.beside, count),
    }
}

/// The CPU of a lead's calls and of its holds and settlements, and how many leads all cores could do
/// if there were nothing else to do.
fn sum_of_parts(calls: &Measured, wallet: &Measured, cores: u32) -> LeadCost {
    let own_us = CALLS * calls.own_us + WALLET_OPERATIONS * wallet.own_us;
    let sandbox_us = CALLS * calls.beside_us;
    LeadCost { leads_per_s: f64::from(cores) * 1e6 / (own_us + sandbox_us), own_us, sandbox_us }
}

fn median_cost(costs: impl Iterator<Item = LeadCost> + Clone) -> LeadCost {
    LeadCost {
        leads_per_s: median(costs.clone().map(|cost| cost.leads_per_s)),
        own_us: median(costs.clone().map(|cost| cost.own_us)),
        sandbox_us: median(costs.map(|cost| cost.sandbox_us)),
    }
}

fn print(rounds: &[Round], peak_kib: u64, cores: u32, args: &Args, globals: &Globals) -> Result<(), OutputError> {
    let weir = median_cost(rounds.iter().map(|round| round.weir));
    let floor = median_cost(rounds.iter().map(|round| round.floor));
    // Of neighbours in time: the machine's own drift stays out of it.
    let ratio = median(rounds.iter().map(|round| round.weir.leads_per_s / round.floor.leads_per_s));
    if globals.json {
        let ratio = json!({
            "bench": "enrich", "part": "ratio", "weir_to_floor": ratio, "peak_kib": peak_kib, "cores": cores,
        });
        return output::lines([figures("weir", &weir, args), figures("floor", &floor, args), ratio]);
    }
    output::table(
        ["", "leads/s", "CPU us a lead", "sandbox's CPU us a lead"],
        [row("weir", &weir), row("floor", &floor)],
    )?;
    output::lines([
        format!("floor: {cores} cores / the CPU of 2 bare calls and 4 bare holds and settlements"),
        format!("{} leads, {} ms a call, {} in flight", args.leads, args.latency, args.in_flight),
        format!("{} MiB of memory at most, in the first run", peak_kib / 1024),
        format!("{ratio:.2} weir / floor; every run was exact"),
    ])
}

fn figures(part: &str, cost: &LeadCost, args: &Args) -> Value {
    json!({
        "bench": "enrich",
        "part": part,
        "leads": args.leads,
        "latency_ms": args.latency,
        "in_flight": args.in_flight,
        "runs": args.runs,
        "leads_per_s": cost.leads_per_s.round(),
        "us_self": (cost.own_us * 10.0).round() / 10.0,
        "us_sandbox": (cost.sandbox_us * 10.0).round() / 10.0,
        "exact": true,
    })
}

fn row(part: &str, cost: &LeadCost) -> [String; 4] {
    [
        part.to_owned(),
        format!("{:.0}", cost.leads_per_s),
        format!("{:.0}", cost.own_us),
        format!("{:.0}", cost.sandbox_us),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_two_calls_and_four_wallet_operations_over_all_cores() {
        let idle = Measured {
            operations_per_s: 1.0,
            requests_per_s: 1.0,
            p50_us: 1.0,
            p99_us: 1.0,
            own_us: 0.0,
            beside_us: 0.0,
        };
        let calls = Measured { own_us: 30.0, beside_us: 15.0, ..idle };
        let wallet = Measured { own_us: 2.5, ..idle };
        let floor = sum_of_parts(&calls, &wallet, 2);
        assert_eq!(floor, LeadCost { leads_per_s: 20_000.0, own_us: 70.0, sandbox_us: 30.0 });
    }
}
