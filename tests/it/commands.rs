//! The commands, proved on the built program: what they print, and the exit codes of CONTRACTS §1.

use expect_test::expect;
use serde_json::Value;
use serde_json::json;
use std::io::BufRead;
use std::io::BufReader;
use std::process::Command;
use std::process::Stdio;
use tempfile::TempDir;
use weir::domain::Fingerprint;
use weir::domain::JobId;
use weir::domain::Lead;
use weir::domain::LeadId;
use weir::domain::WaterfallName;
use weir::domain::WorkspaceId;
use weir::jobs::Jobs;
use weir::jobs::NewJob;
use weir::jobs::NewLead;
use weir::jobs::Work;
use weir::ledger::LeadNo;
use weir::store::Nature;
use weir::store::SqliteStore;

/// The program, in a directory of its own, with nothing in the environment.
struct Weir(TempDir);

struct Answer {
    code: i32,
    out: String,
    err: String,
}

impl Weir {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.env_clear().current_dir(self.0.path()).args(args);
        command
    }

    /// Runs to the end, with its store in `store/`.
    fn run(&self, args: &[&str]) -> Answer {
        Answer::of(self.command(args).args(["--data", "store"]))
    }

    /// Runs what must succeed, and takes its JSON lines.
    fn json(&self, args: &[&str]) -> Vec<Value> {
        let answer = self.run(&[args, &["--json"]].concat());
        assert_eq!(answer.code, 0, "{args:?}: {}", answer.err);
        answer.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// A queued job of `acme` with a cap of 5 USD: lead 1 is to be decided, lead 2 cannot be used.
    async fn store_job(&self) {
        let store = SqliteStore::open(&self.0.path().join("store/weir.db"), Nature::Paid).unwrap();
        let new = NewJob {
            id: JobId::new("job_1"),
            workspace: WorkspaceId::new("acme"),
            work: Work::Enrich(WaterfallName::new("work_email")),
            content: Fingerprint::from_bytes([7; 16]),
            slice_size: 100,
            campaign: None,
            max_spend: None,
            auto_resume: false,
            reply: None,
        };
        let job = store.create_job(new).await.unwrap();
        let text = |text: &str| Some(text.to_owned());
        let ada = Lead { full_name: text("Ada Sample"), domain: text("acme.test"), ..Lead::default() };
        let lead = |n: u32, lead| NewLead { n: LeadNo(n), id: LeadId::new(n.to_string()), lead };
        let load = store.begin_load(job.key).await.unwrap().unwrap();
        store.load_leads(load, vec![lead(1, Some(ada)), lead(2, None)]).await.unwrap();
        store.seal_job(load).await.unwrap();
        store.set_budget(job.key, "5".parse().unwrap()).await.unwrap();
    }
}

impl Answer {
    fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Was it refused as bad input, nothing printed, with a message that names all of `names`?
    fn assert_refused(&self, names: &[&str]) {
        assert_eq!((self.code, self.out.as_str()), (2, ""), "{}", self.err);
        for name in names {
            assert!(self.err.contains(name), "no {name:?} in: {}", self.err);
        }
    }
}

#[test]
fn the_help_shows_the_main_job_first_with_an_example() {
    let help = Weir::new().run(&["--help"]);
    assert_eq!(help.code, 0);
    assert!(help.out.contains("weir enrich leads.csv --budget 5.00"), "{}", help.out);
}

#[test]
fn a_new_store_is_made_by_migrate_and_found_empty() {
    let weir = Weir::new();
    assert_eq!(weir.run(&["migrate"]).out, "store/weir.db is created\n");
    assert_eq!(weir.run(&["migrate"]).out, "store/weir.db is up to date\n");
    assert_eq!(weir.json(&["migrate"]), [json!({"ok": true, "store": "store/weir.db"})]);
    assert_eq!(weir.json(&["jobs", "list"]), Vec::<Value>::new());
    let zeros = json!({"workspace": "acme", "balance": "0.000000000", "held": "0.000000000", "available": "0.000000000",
            "burn_per_hour": null, "runs_dry_at": null});
    assert_eq!(weir.json(&["wallet", "show", "acme"]), [zeros]);
    let clean = json!({"ok": true, "accounts": 0, "entries": 0, "open_holds": 0, "problems": []});
    assert_eq!(weir.json(&["wallet", "audit"]), [clean]);
}

#[test]
fn a_top_up_is_booked_once_by_its_reference() {
    let weir = Weir::new();
    let top_up = |amount| weir.run(&["wallet", "topup", "acme", amount, "--ref", "r1"]);
    assert_eq!(
        top_up("25").out,
        "25.000000000 USD under r1 is booked\nacme: balance 25.000000000 USD, held 0.000000000, available 25.000000000\n"
    );
    let again = top_up("25.00");
    assert_eq!(again.code, 0);
    assert!(again.out.contains("was booked before, nothing was changed"), "{}", again.out);
    top_up("26").assert_refused(&["--ref r1", "another amount", "weir wallet ledger acme"]);
    let shown = weir.run(&["wallet", "show", "acme", "--json"]);
    expect![[r#"
        {"workspace":"acme","balance":"25.000000000","held":"0.000000000","available":"25.000000000","burn_per_hour":null,"runs_dry_at":null}
    "#]]
    .assert_eq(&shown.out);
}

#[test]
fn an_adjustment_takes_either_sign_but_never_more_than_there_is() {
    let weir = Weir::new();
    weir.json(&["wallet", "topup", "acme", "3", "--ref", "in"]);
    let adjust = |amount, reference| {
        weir.run(&["wallet", "adjust", "acme", amount, "--ref", reference, "--note", "a correction", "--json"])
    };
    let booked: Value = serde_json::from_str(&adjust("-1.5", "less").out).unwrap();
    assert_eq!((&booked["balance"], &booked["booked"]), (&json!("1.500000000"), &json!(true)));
    assert_eq!(adjust("+0.25", "more").code, 0);
    let refused = adjust("-1.750000001", "too much");
    assert_eq!(refused.code, 1);
    assert!(refused.err.ends_with("weir: only 1.750000000 USD are available in this wallet\n"), "{}", refused.err);
    adjust("1", "in").assert_refused(&["--ref in"]);
}

#[test]
fn the_ledger_lists_every_change_oldest_first_and_the_audit_agrees() {
    let weir = Weir::new();
    weir.json(&["wallet", "topup", "acme", "25", "--ref", "r1"]);
    weir.json(&["wallet", "adjust", "acme", "-0.01", "--ref", "r2", "--note", "a correction"]);
    let mut lines = weir.json(&["wallet", "ledger", "acme"]);
    for line in &mut lines {
        assert!(line["at"].as_str().unwrap().ends_with('Z'));
        line["at"] = Value::Null;
    }
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    expect![[r#"
        {"seq":1,"at":null,"kind":"top_up","amount":"25.000000000","balance":"25.000000000","ref":"r1","job_id":null,"lead_id":null,"provider":null,"operation":null}
        {"seq":2,"at":null,"kind":"adjust","amount":"-0.010000000","balance":"24.990000000","ref":"r2","job_id":null,"lead_id":null,"provider":null,"operation":null,"note":"a correction"}"#]]
    .assert_eq(&lines.join("\n"));
    assert!(weir.run(&["wallet", "ledger", "acme"]).out.contains("24.990000000"));
    expect![[r#"
        {"ok":true,"accounts":1,"entries":2,"open_holds":0,"problems":[]}
    "#]]
    .assert_eq(&weir.run(&["wallet", "audit", "acme", "--json"]).out);
    assert_eq!(weir.run(&["wallet", "audit"]).out, "ok: 1 wallets, 2 entries, 0 open holds\n");
}

#[tokio::test]
async fn a_job_is_listed_and_shown_with_the_fields_of_the_contract() {
    let weir = Weir::new();
    weir.store_job().await;
    let listed = weir.run(&["jobs", "list", "--json"]).out;
    expect![[r#"
        {"job_id":"job_1","workspace_id":"acme","kind":"enrich","state":"queued","leads":2,"done":1,"by_status":{"skipped":1},"by_reason":{"invalid_input":1},"cost":"0.000000000"}
    "#]]
    .assert_eq(&listed);
    assert_eq!(weir.run(&["jobs", "show", "job_1", "--json"]).out, listed);
    assert!(weir.run(&["jobs", "list"]).out.contains("1/2"));
    assert!(weir.run(&["jobs", "show", "job_1"]).out.contains("1 of 2 have ended"));
}

#[tokio::test]
async fn results_are_the_same_bytes_every_time_and_leave_out_what_has_not_ended() {
    let weir = Weir::new();
    weir.store_job().await;
    let results = weir.run(&["jobs", "results", "job_1"]).out;
    expect![[r#"
        {"event_id":"6c8f4876ca2897c28ccb908165022694","at":null,"job_id":"job_1","workspace_id":"acme","campaign_id":null,"lead_id":"2","status":"skipped","reason":"invalid_input","email":null,"verdict":null,"found_by":null,"verified_by":null,"cost":"0.000000000","trail":[]}
    "#]]
    .assert_eq(&results);
    assert_eq!(weir.run(&["jobs", "results", "job_1"]).out, results);
}

#[tokio::test]
async fn a_job_cancelled_while_nobody_works_on_it_ends_at_once_and_can_be_resumed() {
    let weir = Weir::new();
    weir.store_job().await;
    assert_eq!(weir.run(&["jobs", "cancel", "job_1"]).out, "job_1 is cancelled: no call begins any more\n");
    let shown = &weir.json(&["jobs", "show", "job_1"])[0];
    assert_eq!((&shown["state"], &shown["done"]), (&json!("cancelled"), &json!(2)));
    assert_eq!(shown["by_reason"], json!({"invalid_input": 1, "cancelled": 1}));
    let resumed = weir.run(&["jobs", "resume", "job_1"]).out;
    let how = "`weir enrich FILE --budget 5.000000000` with the same list decides them";
    assert_eq!(resumed, format!("job_1: run 2, leads to decide: 1; {how}\n"));
    assert_eq!(weir.json(&["jobs", "show", "job_1"])[0]["state"], "queued");
}

#[tokio::test]
async fn a_cap_may_only_rise_and_puts_no_money_in() {
    let weir = Weir::new();
    weir.store_job().await;
    let resume = |cap| weir.run(&["jobs", "resume", "job_1", "--max-spend", cap]);
    resume("4.999999999").assert_refused(&["--max-spend 4.999999999", "may only rise", "5.000000000"]);
    assert_eq!(resume("6").code, 0);
    assert!(weir.run(&["jobs", "show", "job_1"]).out.contains("cap 6.000000000"));
    assert_eq!(weir.json(&["wallet", "show", "acme"])[0]["balance"], "5.000000000");
}

#[tokio::test]
async fn a_lead_is_explained_with_the_steps_that_were_not_tried() {
    let weir = Weir::new();
    weir.store_job().await;
    let story = &weir.json(&["explain", "job_1", "1"])[0];
    assert_eq!((&story["status"], &story["trail"]), (&Value::Null, &json!([])));
    let first = json!({"step": "leadmagic.find_email", "why": "left out: env:LEADMAGIC_API_KEY is not set"});
    assert_eq!(story["not_tried"][0], first);
    let text = weir.run(&["explain", "job_1", "2"]).out;
    assert!(text.ends_with("skipped (invalid_input); cost 0.000000000 USD\n"), "{text}");
}

#[test]
fn the_configuration_in_force_is_shown_with_its_version() {
    let weir = Weir::new();
    let checked = weir.run(&["config", "check"]);
    assert_eq!(checked.code, 0);
    assert!(checked.out.starts_with("ok: version "), "{}", checked.out);
    assert!(checked.out.contains("warning: providers.leadmagic: env:LEADMAGIC_API_KEY is not set"), "{}", checked.out);
    assert!(checked.err.contains("the shipped configuration is in force"), "{}", checked.err);
    let version = &weir.json(&["config", "check"])[0]["version"];
    assert_eq!(&weir.json(&["config", "show"])[0]["version"], version);
    assert!(weir.run(&["config", "show"]).out.starts_with(&format!("# version {}", version.as_str().unwrap())));
}

#[test]
fn every_mistake_in_the_configuration_is_named_with_its_line() {
    let weir = Weir::new();
    weir.write("config/weir.toml", "[cache]\nmax_ages = \"1d\"\n[wallet]\nlow_balance = \"much\"\n");
    weir.run(&["config", "check"]).assert_refused(&["weir.toml:2: cache.max_ages", "weir.toml:4: wallet.low_balance"]);
    weir.run(&["--config", "elsewhere", "config", "check"]).assert_refused(&["elsewhere/weir.toml"]);
}

/// Arguments, and what the refusal names.
const BAD_USAGE: &[(&[&str], &[&str])] = &[
    (&["frobnicate"], &["frobnicate"]),
    (&["wallet", "topup", "acme", "0", "--ref", "r"], &["USD", "must be more than zero"]),
    (&["wallet", "topup", "acme", "-5", "--ref", "r"], &["USD", "must be more than zero"]),
    (&["wallet", "topup", "acme", "5,00", "--ref", "r"], &["USD", "not a decimal amount"]),
    (&["wallet", "topup", "acme", "0.0000000001", "--ref", "r"], &["USD", "more than nine digits"]),
    (&["wallet", "topup", "acme", "5", "--ref", ""], &["--ref"]),
    (&["wallet", "topup", "acme", "5"], &["--ref"]),
    (&["wallet", "topup", "two words", "5", "--ref", "r"], &["WORKSPACE", "a workspace is 1 to 64"]),
    (&["wallet", "adjust", "acme", "5", "--ref", "r"], &["--note"]),
    (&["workspace", "set", "acme"], &["nothing to change", "--plan"]),
    (
        &["workspace", "set", "acme", "--auto-recharge-below", "5"],
        &["--auto-recharge-below needs --auto-recharge-amount"],
    ),
    (
        &["workspace", "set", "acme", "--auto-recharge-below", "0", "--auto-recharge-amount", "25"],
        &["--auto-recharge-below 0", "--auto-recharge-amount", "above 0"],
    ),
    (&["jobs", "resume", "job_1", "--max-spend", "0"], &["--max-spend", "must be more than zero"]),
    (&["sandbox", "--listen", "nowhere"], &["--listen"]),
    (&["sandbox", "--fail", "2"], &["--fail", "from 0 to 1"]),
    (&["sandbox", "--find-rate", "101"], &["--find-rate"]),
];

#[test]
fn bad_usage_names_what_is_wrong() {
    let weir = Weir::new();
    for (args, names) in BAD_USAGE {
        weir.run(args).assert_refused(names);
    }
    assert!(!weir.0.path().join("store").exists(), "a refused command made a store");
}

#[tokio::test]
async fn what_is_not_in_the_store_is_named_with_the_way_to_list_what_is() {
    let weir = Weir::new();
    weir.run(&["jobs", "list"]).assert_refused(&["there is no store at store/weir.db"]);
    weir.store_job().await;
    for args in [
        &["jobs", "show", "nope"][..],
        &["jobs", "results", "nope"],
        &["jobs", "resume", "nope"],
        &["jobs", "cancel", "nope"],
        &["explain", "nope", "1"],
    ] {
        weir.run(args).assert_refused(&["no job `nope`", "weir jobs list"]);
    }
    weir.run(&["explain", "job_1", "3"]).assert_refused(&["no lead `3`", "weir jobs results job_1"]);
    for action in ["ledger", "audit"] {
        weir.run(&["wallet", action, "nobody"]).assert_refused(&["no workspace `nobody`", "weir jobs list"]);
    }
}

#[test]
fn sandbox_and_real_money_never_share_a_store() {
    let weir = Weir::new();
    weir.json(&["wallet", "topup", "sandbox", "1", "--ref", "r", "--sandbox"]);
    weir.run(&["wallet", "show", "sandbox"]).assert_refused(&["there is no store"]);
    let other = ("WEIR__STORE__URL", "sqlite://store/sandbox.db");
    Answer::of(weir.command(&["wallet", "show", "sandbox"]).env(other.0, other.1))
        .assert_refused(&["never share a store"]);
}

#[test]
fn a_store_or_a_log_that_is_not_to_be_had_is_refused() {
    let weir = Weir::new();
    let url = ("WEIR__STORE__URL", "postgres://user:hunter2@host/db");
    let postgres = Answer::of(weir.command(&["jobs", "list"]).env(url.0, url.1));
    postgres.assert_refused(&["database db at host", "cannot be used as a store"]);
    assert!(!postgres.err.contains("hunter2"));
    Answer::of(weir.command(&["config", "check"]).env("WEIR_LOG_FORMAT", "xml")).assert_refused(&["WEIR_LOG_FORMAT"]);
}

#[test]
fn a_reader_that_has_seen_enough_ends_a_command_quietly() {
    let weir = Weir::new();
    let mut child = weir.command(&["config", "show"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("weir: standard output"));
}

#[test]
fn a_sandbox_prints_its_addresses_and_stops_when_told() {
    let weir = Weir::new();
    let mut child = weir
        .command(&["sandbox", "--listen", "127.0.0.1:0", "--seed", "7"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines().map(Result::unwrap);
    let lines: Vec<String> = lines.take(19).collect();
    let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(told.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(lines[0].starts_with("leadmagic        http://127.0.0.1:"), "{lines:?}");
    assert!(lines[10].starts_with("WEIR__PROVIDERS__LEADMAGIC__BASE_URL=http://127.0.0.1:"), "{lines:?}");
}
