//! Which measurement, and of what.

use crate::cli::BadInput;
use crate::cli::Globals;
use crate::cli::bench::database;
use crate::cli::bench::scratch::scratch;
use crate::cli::bench::worker::added;
use crate::cli::bench::worker::case::Case;
use crate::cli::bench::worker::fairness;
use crate::cli::bench::worker::floor::Floor;
use crate::cli::bench::worker::report;
use crate::cli::bench::worker::report::Measured;
use crate::cli::bench::worker::site::Site;
use crate::cli::bench::worker::throughput;
use anyhow::Result;
use clap::value_parser;
use secrecy::SecretString;
use std::path::PathBuf;

/// What `weir bench worker` takes.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Publish the jobs to this RabbitMQ; the virtual host must be the benchmark's own
    #[arg(long, value_name = "URL", value_parser = database::address)]
    broker: SecretString,
    /// Keep the store in this PostgreSQL database; it must be the benchmark's own
    #[arg(long, value_name = "URL", value_parser = database::address)]
    store: SecretString,
    /// Enrich so many leads in a run
    #[arg(long, value_name = "N", default_value_t = 20_000,
          value_parser = value_parser!(u32).range(1_000..=10_000_000))]
    leads: u32,
    /// Let the providers take so many milliseconds for a call
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = value_parser!(u32).range(0..=10_000))]
    latency: u32,
    /// Decide and call for so many leads at once, in each worker
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = value_parser!(u32).range(1..=65_535))]
    in_flight: u32,
    /// Spread the leads over so many workspaces, a job and a wallet each; several numbers are compared
    #[arg(long, value_name = "N,...", default_value = "1", value_delimiter = ',',
          value_parser = value_parser!(u32).range(1..=100_000))]
    workspaces: Vec<u32>,
    /// Start so many workers; several numbers are compared
    #[arg(long, value_name = "N,...", default_value = "1", value_delimiter = ',',
          value_parser = value_parser!(u32).range(1..=64))]
    workers: Vec<u32>,
    /// Run everything so many times, in turn, and tell the medians
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u32).range(1..=100))]
    runs: u32,
    /// Run this program in turn, the least one for the same work; its provider lies beside it
    #[arg(long, value_name = "PATH", conflicts_with_all = ["added_latency", "fairness"])]
    floor: Option<PathBuf>,
    /// Hand the floor this database instead of its own default; it must be a local one without a password
    #[arg(long, value_name = "URL", requires = "floor")]
    floor_url: Option<String>,
    /// Measure what weir adds to a lead's time at a quarter of the full rate instead
    #[arg(long, conflicts_with = "fairness")]
    added_latency: bool,
    /// Measure small jobs while a large one of --leads runs instead
    #[arg(long)]
    fairness: bool,
}

/// Measures, and prints the figures.
pub(crate) async fn run(args: &Args, globals: &Globals) -> Result<()> {
    let cases = args.cases()?;
    let site = Box::pin(Site::open(&args.broker, &args.store, globals)).await?;
    let measured = measure(&site, cases, args, globals).await;
    site.close().await;
    measured
}

async fn measure(site: &Site, cases: Vec<Case>, args: &Args, globals: &Globals) -> Result<()> {
    if !args.added_latency && !args.fairness {
        return Box::pin(compare(site, cases, args, globals)).await;
    }
    for case in &cases {
        if args.added_latency {
            Box::pin(added::run(site, case, args.runs, globals)).await?;
        } else {
            Box::pin(fairness::run(site, case, args.runs, globals)).await?;
        }
    }
    Ok(())
}

/// Each case and its floor in turn, again and again: the machine's own drift meets all of them.
async fn compare(site: &Site, cases: Vec<Case>, args: &Args, globals: &Globals) -> Result<()> {
    let floor = match &args.floor {
        Some(program) => Some(Floor::start(program, args.floor_url.as_deref(), scratch(globals)?).await?),
        None => None,
    };
    let mut all: Vec<Measured> = cases.into_iter().map(Measured::new).collect();
    for n in 1..=args.runs {
        for measured in &mut all {
            let ran = Box::pin(throughput::run(site, &measured.case)).await?;
            tracing::info!("run {n} of {}: {:.0} leads/s, {}", args.runs, ran.leads_per_s, measured.name());
            measured.weir.push(ran);
            if let Some(floor) = &floor {
                let ran = floor.run(&measured.case).await?;
                tracing::info!("run {n} of {}: {:.0} leads/s in the floor", args.runs, ran.per_s);
                measured.floor.push(ran);
            }
        }
    }
    Ok(report::print(&all, globals)?)
}

impl Args {
    /// Each number of workspaces with each number of workers.
    fn cases(&self) -> Result<Vec<Case>> {
        let mut cases = Vec::new();
        for workspaces in self.workspaces.iter().copied() {
            let leads_each = self.leads / workspaces;
            if leads_each == 0 {
                return Err(BadInput(format!("--leads {} is less than one for each workspace", self.leads)).into());
            }
            let (latency_ms, in_flight) = (self.latency, self.in_flight);
            cases.extend(self.workers.iter().map(|workers| Case {
                leads_each,
                workspaces,
                workers: *workers,
                latency_ms,
                in_flight,
            }));
        }
        Ok(cases)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser, Debug)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(more: &str) -> Result<Args, clap::Error> {
        let places = "weir --broker amqp://weir:hunter2@b.test --store postgres://weir:hunter2@s.test/bench";
        Line::try_parse_from(places.split(' ').chain(more.split_whitespace())).map(|line| line.args)
    }

    #[test]
    fn several_numbers_are_as_many_cases() {
        let cases = parse("--workspaces 1,1000 --workers 1,2 --latency 50").unwrap().cases().unwrap();
        let told: Vec<_> = cases.iter().map(|case| (case.workspaces, case.leads_each, case.workers)).collect();
        assert_eq!(told, [(1, 20_000, 1), (1, 20_000, 2), (1_000, 20, 1), (1_000, 20, 2)]);
        assert!(cases.iter().all(|case| case.latency_ms == 50 && case.in_flight == 512));
        assert!(parse("--workspaces 30000").unwrap().cases().unwrap_err().is::<BadInput>());
    }

    #[test]
    fn one_thing_is_measured_at_a_time_and_no_password_is_shown() {
        let args = parse("").unwrap();
        assert!(!args.fairness && args.floor.is_none() && args.cases().unwrap().len() == 1);
        assert!(!format!("{args:?}").contains("hunter2"));
        for more in ["--added-latency --fairness", "--floor f --fairness", "--floor-url x", "--workers 0"] {
            parse(more).unwrap_err();
        }
    }
}
