//! A budget is never exceeded, and what it did not pay for can be paid later.

use crate::enrich::folder::Config;
use crate::enrich::folder::Folder;
use crate::enrich::folder::PRICES;
use crate::enrich::lists::endings;
use crate::enrich::lists::list_of;
use crate::enrich::lists::rows;
use crate::enrich::lists::usd;
use crate::enrich::sandbox_process::SandboxProcess;
use rust_decimal::Decimal;
use std::collections::BTreeMap;

const FIND_AND_VERIFY: Config<'_> =
    Config { find: &["leadmagic"], verify: &["zerobounce"], worker: "", every_provider: "" };

/// What the sandbox has billed, at the configured prices.
fn billed(sandbox: &SandboxProcess) -> Decimal {
    let prices = BTreeMap::from(PRICES);
    sandbox.calls().iter().map(|call| call.credits * usd(prices[call.provider.as_str()])).sum()
}

#[test]
fn a_budget_that_pays_for_a_part_is_not_exceeded_and_a_larger_one_pays_only_the_rest() {
    let sandbox = SandboxProcess::start(&["--latency", "1"]);
    let folder = Folder::new(FIND_AND_VERIFY, &sandbox);
    folder.write("leads.csv", list_of(&[(100, "hit")]));
    folder.run(&["enrich", "leads.csv", "--budget", "1.01", "--concurrency", "8"]).done();

    assert_eq!(billed(&sandbox), folder.spent());
    assert!(folder.spent() <= usd("1.01"));
    assert!(folder.balance() < usd("0.0125"), "{} USD were left unused", folder.balance());
    for row in rows(&folder.read("leads.enriched.csv")) {
        match row["weir_status"].as_str() {
            "verified" => assert_eq!(row["weir_reason"], "none"),
            "unverified" | "skipped" => assert_eq!(row["weir_reason"], "wallet_empty"),
            other => panic!("{other}"),
        }
    }
    folder.assert_audit_is_clean();

    assert_eq!(endings(&folder.enrich("10")), "100 verified/none");
    assert_eq!((folder.spent(), billed(&sandbox)), (usd("2.54"), usd("2.54")), "an undisturbed run costs 2.54");
    assert_eq!(folder.balance(), usd("7.46"));
    assert_eq!(sandbox.count(), 200);
    folder.assert_audit_is_clean();
}

#[test]
fn money_left_by_another_job_is_kept_from_a_job_by_its_own_cap() {
    let sandbox = SandboxProcess::start(&[]);
    let folder = Folder::new(FIND_AND_VERIFY, &sandbox);
    folder.write("leads.csv", list_of(&[(10, "hit")]));
    folder.enrich("5");
    folder.write("more.csv", list_of(&[(10, "hit")]).replace("Ada", "Bea"));
    folder.run(&["enrich", "more.csv", "--budget", "0.1"]).done();

    for row in rows(&folder.read("more.enriched.csv")) {
        assert!(row["weir_status"] == "verified" || row["weir_reason"] == "job_cap", "{row:?}");
    }
    let spent_on_more = folder.spent() - usd("0.254");
    assert!(spent_on_more <= usd("0.1") && spent_on_more > usd("0.1") - usd("0.0125"), "{spent_on_more}");
    assert_eq!(folder.balance(), usd("5.1") - folder.spent());
    folder.assert_audit_is_clean();
}

#[test]
fn a_cap_per_lead_stops_each_lead_and_leaves_the_wallet_alone() {
    let sandbox = SandboxProcess::start(&[]);
    let folder = Folder::new(FIND_AND_VERIFY, &sandbox);
    folder.write("leads.csv", list_of(&[(10, "hit")]));
    folder.run(&["enrich", "leads.csv", "--budget", "5", "--max-per-lead", "0.02"]).done();
    assert_eq!(endings(&folder.read("leads.enriched.csv")), "10 unverified/lead_cap");
    assert_eq!(folder.spent(), usd("0.125"));
    assert_eq!(sandbox.count_of("zerobounce", "verify_email"), 0);

    assert_eq!(endings(&folder.enrich("5")), "10 verified/none");
    assert_eq!((folder.spent(), sandbox.count()), (usd("0.254"), 20));
    folder.assert_audit_is_clean();
}
