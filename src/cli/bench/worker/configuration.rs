//! What the workers are told: the sandbox in the providers' place, and no limit but the leads in flight.

use crate::cli::bench::chain::FINDER;
use crate::cli::bench::chain::LEAD_CAP;
use crate::cli::bench::chain::VERIFIER;
use crate::cli::bench::sandbox_process::SandboxProcess;
use crate::cli::bench::worker::case::Case;
use crate::domain::Usd;
use anyhow::Context;
use anyhow::Result;
use anyhow::anyhow;
use std::fs;
use std::path::Path;
use url::Url;

/// Holds the house's key of both providers; the sandbox takes any that does not ask for trouble.
pub(super) const KEY_VARIABLE: &str = "WEIR_BENCH_KEY";
/// The waterfall of every job.
pub(super) const WATERFALL: &str = "bench";
/// Leads in a slice, as shipped.
pub(super) const SLICE_SIZE: u32 = 100;

/// A credit of each provider; a lead takes one of both.
const FIND_PRICE: Usd = Usd::from_nanos(12_500_000);
const VERIFY_PRICE: Usd = Usd::from_nanos(12_900_000);

/// What a lead costs, in nano-dollars.
pub(super) const PRICE_OF_LEAD: i64 = FIND_PRICE.nanos() + VERIFY_PRICE.nanos();

/// The most that the configuration takes.
const MAX_IN_FLIGHT: u32 = 10_000;

/// Writes `weir.toml` into `folder`, in which lists may lie too.
pub(super) fn write(folder: &Path, sandbox: &SandboxProcess, case: &Case) -> Result<()> {
    let lists = address_of(folder)?;
    let text = text(sandbox.base_url(FINDER)?, sandbox.base_url(VERIFIER)?, &lists, case.in_flight);
    fs::write(folder.join("weir.toml"), text).context("the configuration cannot be written")
}

/// A file or folder as `leads_from` and `worker.sources` name it.
pub(super) fn address_of(path: &Path) -> Result<Url> {
    Url::from_file_path(path).map_err(|()| anyhow!("{} is no absolute path", path.display()))
}

fn text(finder: &str, verifier: &str, lists: &Url, in_flight: u32) -> String {
    let mut text = format!(
        "[broker]\nprefetch = {}\n\
         [worker]\nleads_in_flight = {in_flight}\nslice_size = {SLICE_SIZE}\nsources = [\"{lists}\"]\n",
        prefetch(in_flight)
    );
    for (name, base_url, price) in [(FINDER, finder, FIND_PRICE), (VERIFIER, verifier, VERIFY_PRICE)] {
        text.push_str(&format!(
            "[providers.{name}]\nbase_url = \"{base_url}\"\nhouse_key = \"env:{KEY_VARIABLE}\"\n\
             credit_price = \"{price}\"\nmax_in_flight = {MAX_IN_FLIGHT}\n"
        ));
    }
    text.push_str(&format!(
        "[waterfalls.{WATERFALL}]\nfind = [\"{FINDER}\"]\nverify = [\"{VERIFIER}\"]\n\
         max_spend_per_lead = \"{LEAD_CAP}\"\n"
    ));
    text
}

/// Slices that hold twice the leads in flight: some wait for their last leads. At least as many as shipped.
fn prefetch(in_flight: u32) -> u32 {
    (2 * in_flight).div_ceil(SLICE_SIZE).clamp(16, 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    #[test]
    fn it_is_a_configuration_without_a_mistake_or_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let lists = address_of(folder.path()).unwrap();
        let text = text("http://127.0.0.1:9", "http://127.0.0.1:9/v2", &lists, 1_500);
        fs::write(folder.path().join("weir.toml"), text).unwrap();
        let key = |name: &str| (name == KEY_VARIABLE).then(|| "key".to_owned());
        let config = load(Some(folder.path()), &key, &[]).unwrap();
        assert_eq!(
            (config.live.leads_in_flight, config.boot.broker_prefetch, config.boot.slice_size),
            (1_500, 30, 100)
        );
        assert_eq!(config.warnings, Vec::<String>::new());
        for provider in config.live.providers.values() {
            assert_eq!((provider.requests_per_second, provider.max_in_flight), (None, MAX_IN_FLIGHT));
        }
    }

    #[test]
    fn what_is_in_flight_fits_into_the_slices_held() {
        assert_eq!([1, 512, 1_500, 65_535].map(prefetch), [16, 16, 30, 1_000]);
    }
}
