//! `weir copy`: a list in, the same list with an e-mail for each row out; what it costs, where it stops, and what
//! running it again does.

use crate::enrich::folder::Config;
use crate::enrich::folder::Folder;
use crate::enrich::folder::key_variable;
use crate::enrich::lists;
use crate::enrich::lists::endings;
use crate::enrich::lists::list_of;
use crate::enrich::lists::rows;
use crate::enrich::lists::usd;
use crate::enrich::running::Answer;
use crate::enrich::running::until;
use crate::enrich::sandbox_process::SandboxProcess;
use crate::services::Call;
use crate::services::model_tables;
use rust_decimal::Decimal;
use std::fs;

const CONFIG: Config<'_> = Config { find: &["leadmagic"], verify: &[], worker: "", every_provider: "" };

/// Who reads pages.
const FIRECRAWL: &str = r#"
[providers.firecrawl]
base_url = "http://127.0.0.1:9"
house_key = "env:FIRECRAWL_API_KEY"
credit_price = "0.005"
requests_per_second = 1000000
max_in_flight = 1000
"#;

/// What is written for each row, without its page.
const COPY: &str = "copy leads.csv --model gpt-5.4-mini --instructions brief.txt --concurrency 8";
/// With it.
const PERSONAL: &str =
    "copy leads.csv --model gpt-5.4-mini --instructions brief.txt --concurrency 16 --scrape https://{domain}";

/// The six columns that are added, in order.
const ADDED: [&str; 6] = ["weir_status", "weir_reason", "weir_subject", "weir_body", "weir_cost_usd", "weir_attempts"];

/// The beginning of a good line that only the next words spoil.
const START: &str = "copy leads.csv --model gpt-5.4-mini --instructions brief.txt --budget 1";

/// Lines, and what the refusal names.
const REFUSALS: &[(&str, &[&str])] = &[
    ("copy leads.csv --instructions brief.txt --budget 1", &["--model"]),
    ("copy leads.csv --model gpt-5.4-mini --budget 1", &["--instructions"]),
    ("copy leads.csv --model gpt-2 --instructions brief.txt --budget 1", &["--model gpt-2", "gpt-5.4-mini"]),
    ("copy leads.csv --model gpt-5.4-mini --instructions nowhere.txt --budget 1", &["nowhere.txt", "cannot be read"]),
    ("copy leads.csv --model gpt-5.4-mini --instructions empty.txt --budget 1", &["empty.txt", "empty"]),
    ("copy leads.csv --model gpt-5.4-mini --instructions long.txt --budget 1", &["long.txt", "32 KiB"]),
    ("copy nowhere.csv --model gpt-5.4-mini --instructions brief.txt --budget 1", &["nowhere.csv", "cannot be opened"]),
    ("copy header.csv --model gpt-5.4-mini --instructions brief.txt --budget 1", &["header.csv", "no rows"]),
    ("copy leads.csv --model gpt-5.4-mini --instructions brief.txt --budget 0", &["--budget", "more than zero"]),
    ("copy leads.csv --model gpt-5.4-mini --instructions brief.txt", &["--budget USD", "--sandbox", "worst case: "]),
    ("{start} --scrape {domain}", &["--scrape {domain}", "https://"]),
    ("{start} --scrape https://{team}", &["{team}", "first_name"]),
    ("{start} --purpose cold", &["--purpose", "live or warmup"]),
    ("{start} --max-output-tokens 0", &["--max-output-tokens"]),
    ("{start} -o ./leads.csv", &["leads.csv", "the list itself"]),
    ("{start} -o ./brief.txt", &["brief.txt", "the file of instructions"]),
    ("{start} --estimate", &["--estimate", "--budget"]),
    ("{start} --keep-limits", &["--keep-limits", "--sandbox"]),
    ("{start} --map company=Firma", &["--map company=Firma", "no such column"]),
];

/// A folder with a list, a brief and the keys for it, and no money.
fn folder(sandbox: &SandboxProcess, list: &str) -> Folder {
    let mut folder = Folder::new(CONFIG, sandbox);
    folder.configure(&format!("{}{FIRECRAWL}{}", CONFIG.text(), model_tables("")));
    for provider in ["firecrawl", "openai", "anthropic"] {
        folder.set(&key_variable(provider), &format!("house-key-of-{provider}"));
    }
    folder.write("brief.txt", "Write a short e-mail about mops to {first_name}.\n");
    folder.write("leads.csv", list);
    folder
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

/// Runs a line with a budget to its end.
fn run(folder: &Folder, line: &str, budget: &str) -> Answer {
    folder.run(&[words(line), vec!["--budget", budget]].concat()).done()
}

/// What the providers have billed, at the configured prices.
fn billed(sandbox: &SandboxProcess) -> Decimal {
    sandbox.calls().iter().map(Call::cost).sum()
}

/// What the rows say they have cost.
fn cost(written: &str) -> Decimal {
    rows(written).iter().map(|row| usd(&row["weir_cost_usd"])).sum()
}

fn header(table: &str) -> Vec<&str> {
    table.lines().next().unwrap().split(',').collect()
}

#[test]
fn a_list_comes_back_with_its_emails_for_what_the_providers_bill_and_again_with_the_same_bytes_for_nothing() {
    let sandbox = SandboxProcess::start(&[]);
    let scenes = [(20, "hit"), (2, "nodns"), (1, "blocked"), (1, "refuse"), (1, "truncate")];
    let list = list_of(&scenes) + "nobody,,,\n";
    let folder = folder(&sandbox, &list);
    let answer = run(&folder, PERSONAL, "5");

    let written = folder.read("leads.copy.csv");
    assert_eq!(header(&written), [header(&list), ADDED.to_vec()].concat());
    let reasons = "1 failed/refused, 1 failed/truncated, 1 skipped/invalid_input, 23 written/none";
    assert_eq!(endings(&written), reasons);
    for (before, row) in rows(&list).iter().zip(rows(&written)) {
        assert!(before.iter().all(|(column, cell)| row[column] == *cell), "{row:?}");
        let is_written = row["weir_status"] == "written";
        assert_eq!(row["weir_body"].starts_with(&format!("Hi {},", row["first_name"])), is_written, "{row:?}");
        assert_eq!(
            (row["weir_subject"].is_empty(), row["weir_body"].is_empty()),
            (!is_written, !is_written),
            "{row:?}"
        );
        let attempts = if row["weir_reason"] == "invalid_input" { "0" } else { "2" };
        assert_eq!(row["weir_attempts"], attempts, "{row:?}");
    }
    assert_eq!((cost(&written), folder.spent()), (billed(&sandbox), billed(&sandbox)));
    assert_eq!(folder.balance(), usd("5") - billed(&sandbox));
    for told in ["written", "firecrawl.scrape", "openai.write_copy", "for each of 23 written e-mails"] {
        assert!(answer.out.contains(told), "no {told:?} in: {}", answer.out);
    }
    assert!(answer.err.contains("leads.copy.csv is written"), "{}", answer.err);

    let calls = sandbox.count();
    fs::remove_file(folder.path("leads.copy.csv")).unwrap();
    run(&folder, PERSONAL, "5");
    assert!(folder.read("leads.copy.csv") == written, "the same command wrote another list");
    assert_eq!((calls, sandbox.count(), folder.spent()), (25 + 25, calls, cost(&written)));
    folder.assert_audit_is_clean();
}

#[test]
fn an_own_key_pays_for_itself_and_two_briefs_are_two_jobs_that_share_their_pages() {
    let sandbox = SandboxProcess::start(&[]);
    let mut folder = folder(&sandbox, &list_of(&[(10, "hit")]));
    folder.set("WEIR_MASTER_KEY", "d2Vpci10ZXN0cy1tYXN0ZXIta2V5LTMyLWJ5dGVzISE=");
    run(&folder, PERSONAL, "5");
    let (calls, spent) = (sandbox.count(), folder.spent());
    folder.run_on("own-key-7001", &["key", "set", "local", "openai"]).done();
    folder.write("brief.txt", "Write a letter about brooms to {first_name}.\n");
    run(&folder, PERSONAL, "5");

    assert_eq!(endings(&folder.read("leads.copy.csv")), "10 written/none");
    assert_eq!((cost(&folder.read("leads.copy.csv")), folder.spent()), (usd("0"), spent));
    let later = sandbox.calls().split_off(calls);
    assert_eq!(later.iter().filter(|call| call.operation == "write_copy" && call.key == "7001").count(), 10);
    assert_eq!(later.len(), 10, "a page was read again, or a house key was called: {later:?}");
    folder.assert_audit_is_clean();
}

#[test]
fn with_the_sandbox_it_needs_neither_keys_nor_a_configuration() {
    let folder = Folder::empty();
    folder.write("leads.csv", list_of(&[(10, "hit"), (2, "gone")]));
    folder.write("brief.txt", "Write.");
    let line = "copy leads.csv --model gpt-5.4-mini --instructions brief.txt --scrape https://{domain} --sandbox";
    folder.run(&words(line)).done();
    let written = folder.read("leads.copy.csv");
    assert_eq!(endings(&written), "12 written/none");
    let ledger = folder.json(&["wallet", "ledger", "sandbox", "--sandbox"]);
    let amounts = ledger.iter().map(|entry| usd(entry["amount"].as_str().unwrap()));
    assert_eq!(amounts.sum::<Decimal>(), usd("10") - cost(&written));
    assert_eq!(ledger.len(), 1 + 12 + 12, "each page and each e-mail by itself");
    folder.run(&words(line)).done();
    assert!(folder.read("leads.copy.csv") == written, "the same command wrote another list");
    assert_eq!(folder.json(&["wallet", "ledger", "sandbox", "--sandbox"]).len(), ledger.len());
}

#[test]
fn an_enriched_list_is_written_for_as_it_is_and_no_column_stands_twice() {
    let (folder, list) = (Folder::empty(), list_of(&[(3, "hit"), (1, "miss")]));
    folder.write("leads.csv", &list);
    folder.write("brief.txt", "Write to {email}.");
    folder.run(&words("enrich leads.csv --sandbox")).done();
    let enriched = folder.read("leads.enriched.csv");
    let line = "copy leads.enriched.csv --model gpt-5.4-mini --instructions brief.txt --sandbox";
    folder.run(&words(line)).done();

    let written = folder.read("leads.enriched.copy.csv");
    let copied =
        ["weir_copy_status", "weir_copy_reason", ADDED[2], ADDED[3], "weir_copy_cost_usd", "weir_copy_attempts"];
    assert_eq!(header(&written), [header(&list), lists::ADDED.to_vec(), copied.to_vec()].concat());
    for (before, row) in rows(&enriched).iter().zip(rows(&written)) {
        assert!(before.iter().all(|(column, cell)| row[column] == *cell), "{row:?}");
        assert_eq!((row["weir_copy_status"].as_str(), row["weir_body"].is_empty()), ("written", false), "{row:?}");
    }
    assert_eq!(endings(&written), endings(&enriched));

    folder.run(&words("enrich leads.enriched.copy.csv --sandbox")).assert_refused(&["`weir_email` already"]);
    folder.run(&words(&line.replace("enriched", "enriched.copy"))).assert_refused(&["`weir_copy_status` already"]);
}

#[test]
fn a_budget_that_runs_out_is_no_failure_and_a_larger_one_pays_only_the_rest() {
    let sandbox = SandboxProcess::start(&["--latency", "1"]);
    let folder = folder(&sandbox, &list_of(&[(150, "hit")]));
    run(&folder, COPY, "0.02");
    let first = folder.read("leads.copy.csv");
    for row in rows(&first) {
        let ending = (row["weir_status"].as_str(), row["weir_reason"].as_str());
        assert!([("written", "none"), ("skipped", "wallet_empty")].contains(&ending), "{row:?}");
    }
    assert!(first.contains(",written,none,") && first.contains(",skipped,wallet_empty,"), "{}", endings(&first));
    assert!(folder.spent() <= usd("0.02"));
    assert_eq!((folder.spent(), cost(&first)), (billed(&sandbox), billed(&sandbox)));
    folder.assert_audit_is_clean();

    run(&folder, COPY, "5");
    assert_eq!(endings(&folder.read("leads.copy.csv")), "150 written/none");
    assert_eq!((folder.spent(), sandbox.count()), (billed(&sandbox), 150));

    // Money is left in the wallet, and another job's cap keeps it from that.
    let spent = folder.spent();
    folder.write("leads.csv", list_of(&[(50, "hit")]).replace("Ada", "Bea"));
    run(&folder, COPY, "0.005");
    for row in rows(&folder.read("leads.copy.csv")) {
        assert!(row["weir_status"] == "written" || row["weir_reason"] == "job_cap", "{row:?}");
    }
    assert!(folder.read("leads.copy.csv").contains(",skipped,job_cap,"));
    assert!(folder.spent() - spent <= usd("0.005"));
    folder.assert_audit_is_clean();
}

#[test]
fn a_line_that_cannot_be_meant_is_refused_and_nothing_is_written_or_called() {
    let sandbox = SandboxProcess::start(&[]);
    let mut folder = folder(&sandbox, &list_of(&[(2, "hit")]));
    folder.write("header.csv", "id,email\n");
    folder.write("empty.txt", " \n");
    folder.write("long.txt", "x".repeat((32 << 10) + 1));
    let before = folder.everything();
    for (line, names) in REFUSALS {
        folder.run(&words(&line.replace("{start}", START))).assert_refused(names);
        assert_eq!(folder.everything(), before, "{line}: something was written");
    }
    let many = format!("{START}{}", " --scrape https://{domain}".repeat(11));
    folder.run(&words(&many)).assert_refused(&["--scrape", "at most 10"]);
    let estimate = folder.run(&words(&format!("{PERSONAL} --estimate"))).done().out;
    for told in ["worst case: ", "an assumption", "firecrawl.scrape", "openai.write_copy"] {
        assert!(estimate.contains(told), "no {told:?} in: {estimate}");
    }
    folder.unset("OPENAI_API_KEY");
    folder.run(&words(START)).assert_refused(&["gpt-5.4-mini", "set OPENAI_API_KEY", "add --sandbox"]);
    assert_eq!((folder.everything(), sandbox.count()), (before, 0));
}

/// Leads in flight, and so the calls that one kill may cost the house.
const IN_FLIGHT: usize = 16;
const KILLS: usize = 5;
const CALLS_BETWEEN_KILLS: usize = 25;

#[test]
fn a_run_killed_five_times_ends_like_an_undisturbed_one_and_pays_no_page_and_no_token_twice() {
    let sandbox = SandboxProcess::start(&["--latency", "20"]);
    let list = list_of(&[(130, "hit"), (5, "nodns"), (5, "refuse")]);
    let undisturbed = folder(&sandbox, &list);
    run(&undisturbed, PERSONAL, "5");
    let needed = sandbox.count();

    let folder = folder(&sandbox, &list);
    let line = format!("{PERSONAL} --budget 5");
    for kill in 1..=KILLS {
        let enough = sandbox.count() + CALLS_BETWEEN_KILLS;
        let mut running = folder.start(&words(&line));
        until("calls", || sandbox.count() >= enough);
        assert!(!running.has_ended(), "it was done before kill {kill}");
        running.kill();
        assert_eq!(folder.find("leads.copy.csv"), None, "kill {kill}");
        assert_eq!(folder.json(&["wallet", "audit"])[0]["ok"], true, "kill {kill}");
    }
    folder.run(&words(&line)).done();

    let written = folder.read("leads.copy.csv");
    assert_eq!(endings(&written), "5 failed/refused, 135 written/none");
    assert!(written == undisturbed.read("leads.copy.csv"), "it wrote another list than an undisturbed run");
    assert_eq!((folder.spent(), folder.balance()), (undisturbed.spent(), undisturbed.balance()));
    folder.assert_audit_is_clean();
    let (repeated, allowed) = (sandbox.count() - 2 * needed, IN_FLIGHT * KILLS);
    assert!(repeated <= allowed, "{repeated} calls were repeated, {allowed} may be");
}
