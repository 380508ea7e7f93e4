//! Whole runs: what comes out, what it costs, and what running again does.

use crate::enrich::folder::Config;
use crate::enrich::folder::Folder;
use crate::enrich::lists::ADDED;
use crate::enrich::lists::endings;
use crate::enrich::lists::list_of;
use crate::enrich::lists::usd;
use crate::enrich::sandbox_process::SandboxProcess;
use csv::StringRecord;
use std::fs;

const FIND_AND_VERIFY: Config<'_> =
    Config { find: &["leadmagic"], verify: &["zerobounce"], worker: "", every_provider: "" };

fn records(table: &str) -> Vec<StringRecord> {
    let reader = csv::ReaderBuilder::new().has_headers(false).from_reader(table.as_bytes());
    reader.into_records().map(Result::unwrap).collect()
}

#[test]
fn the_example_comes_back_with_every_row_and_column_in_its_place_and_eight_more() {
    let folder = Folder::empty();
    folder.write("leads.csv", include_str!("../../../examples/leads.csv"));
    let answer = folder.run(&["enrich", "leads.csv", "--sandbox"]).done();

    let (list, enriched) = (records(&folder.read("leads.csv")), records(&folder.read("leads.enriched.csv")));
    assert_eq!(list.len(), enriched.len());
    for (row, enriched) in list.iter().zip(&enriched) {
        assert!(enriched.iter().zip(row).all(|(now, before)| now == before), "{enriched:?}");
        assert_eq!(enriched.len(), row.len() + ADDED.len());
    }
    assert!(enriched[0].iter().skip(list[0].len()).eq(ADDED));
    assert_eq!(
        endings(&folder.read("leads.enriched.csv")),
        "2 not_found/none, 2 risky/none, 1 skipped/invalid_input, 8 verified/none"
    );
    for words in ["verified   8", "leadmagic.find_email", "for each of 8 verified addresses", "USD left in the wallet"]
    {
        assert!(answer.out.contains(words), "no {words:?} in: {}", answer.out);
    }
    assert!(answer.err.contains("leads.enriched.csv is written"), "{}", answer.err);
}

#[test]
fn progress_is_told_on_standard_error_every_few_seconds() {
    let sandbox = SandboxProcess::start(&["--latency", "500"]);
    let folder = Folder::new(Config { verify: &[], ..FIND_AND_VERIFY }, &sandbox);
    folder.write("leads.csv", list_of(&[(12, "hit")]));
    let answer = folder.run(&["enrich", "leads.csv", "--budget", "1", "--concurrency", "1"]).done();
    assert!(answer.err.contains(" of 12 leads, "), "{}", answer.err);
    assert!(!answer.out.contains(" of 12 leads, "), "{}", answer.out);
}

#[test]
fn of_1000_leads_the_600_that_are_found_are_paid_and_no_other() {
    let sandbox = SandboxProcess::start(&[]);
    let folder = Folder::new(Config { verify: &[], ..FIND_AND_VERIFY }, &sandbox);
    folder.write("leads.csv", list_of(&[(600, "hit"), (400, "miss")]));
    assert_eq!(endings(&folder.enrich("20")), "400 not_found/none, 600 unverified/no_verifier");
    assert_eq!(folder.spent(), usd("7.5"));
    assert_eq!(folder.balance(), usd("12.5"));
    assert_eq!((sandbox.count(), sandbox.count_of("leadmagic", "find_email")), (1_000, 1_000));
    folder.assert_audit_is_clean();
}

#[test]
fn the_same_command_again_calls_nobody_costs_nothing_and_writes_the_same_bytes() {
    let sandbox = SandboxProcess::start(&[]);
    let folder = Folder::new(FIND_AND_VERIFY, &sandbox);
    folder.write("leads.csv", list_of(&[(20, "hit"), (10, "miss"), (5, "invalid"), (5, "catchall")]));
    let first = folder.enrich("5");
    let (calls, spent) = (sandbox.count(), folder.spent());
    fs::remove_file(folder.path("leads.enriched.csv")).unwrap();
    assert_eq!(folder.enrich("5"), first);
    assert_eq!((sandbox.count(), folder.spent()), (calls, spent));
    folder.assert_audit_is_clean();
}

#[test]
fn with_one_finder_more_only_that_finder_is_asked_and_only_its_addresses_are_verified() {
    let sandbox = SandboxProcess::start(&[]);
    let folder = Folder::new(FIND_AND_VERIFY, &sandbox);
    folder.write("leads.csv", list_of(&[(20, "hit"), (10, "only-prospeo"), (5, "miss")]));
    assert_eq!(endings(&folder.enrich("5")), "15 not_found/none, 20 verified/none");
    assert_eq!(folder.spent(), usd("0.508"));
    let calls = sandbox.count();

    folder.configure(&Config { find: &["leadmagic", "prospeo"], ..FIND_AND_VERIFY }.text());
    assert_eq!(endings(&folder.enrich("5")), "5 not_found/none, 30 verified/none");
    assert_eq!(sandbox.count() - calls, 15 + 10);
    assert_eq!(sandbox.count_of("prospeo", "find_email"), 15);
    assert_eq!(sandbox.count_of("zerobounce", "verify_email"), 20 + 10);
    assert_eq!(folder.spent(), usd("0.508") + usd("0.198") + usd("0.129"));
    folder.assert_audit_is_clean();
}

#[test]
fn a_sandbox_run_and_a_real_one_in_the_same_folder_do_not_see_each_other() {
    let sandbox = SandboxProcess::start(&[]);
    let mut folder = Folder::new(FIND_AND_VERIFY, &sandbox);
    folder.write("leads.csv", list_of(&[(10, "hit")]));
    folder.enrich("5");
    let calls = sandbox.count();

    folder.run(&["enrich", "leads.csv", "--sandbox", "-o", "pretended.csv"]).done();
    assert_eq!(sandbox.count(), calls, "it called the real providers");
    assert_eq!(endings(&folder.read("pretended.csv")), "10 verified/none");
    for (args, workspace) in [(&["jobs", "list"][..], "local"), (&["jobs", "list", "--sandbox"][..], "sandbox")] {
        let jobs = folder.json(args);
        assert_eq!(jobs.len(), 1, "{jobs:?}");
        assert_eq!(jobs[0]["workspace_id"], workspace);
        assert_eq!(jobs[0]["cost"], "0.254000000", "it used the other run's answers");
    }
    assert_eq!((folder.spent(), folder.balance()), (usd("0.254"), usd("4.746")));
    assert_eq!(folder.json(&["wallet", "show", "local", "--sandbox"])[0]["balance"], "0.000000000");

    folder.write("other/sandbox.db", fs::read(folder.path(".weir/weir.db")).unwrap());
    let never = ["sandbox.db", "never share a store"];
    folder.run(&["enrich", "leads.csv", "--sandbox", "--data", "other"]).assert_refused(&never);
    folder.set("WEIR__STORE__URL", "sqlite://.weir/sandbox.db");
    folder.run(&["enrich", "leads.csv", "--budget", "5"]).assert_refused(&never);
}
