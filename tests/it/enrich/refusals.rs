//! Whatever is wrong is told before anything is written, called or spent.

use crate::enrich::folder::Config;
use crate::enrich::folder::Folder;
use crate::enrich::lists::list_of;
use crate::enrich::running::until;
use crate::enrich::sandbox_process::SandboxProcess;

const CONFIG: Config<'_> = Config { find: &["leadmagic"], verify: &["zerobounce"], worker: "", every_provider: "" };
const ENRICH: &str = "enrich leads.csv --budget 1";

/// Arguments, and what the refusal names.
const ARGUMENTS: &[(&str, &[&str])] = &[
    ("enrich nowhere.csv --budget 1", &["nowhere.csv", "cannot be opened"]),
    ("enrich config --budget 1", &["config", "not a regular file"]),
    ("enrich nothing.csv --budget 1", &["nothing.csv", "empty"]),
    ("enrich header.csv --budget 1", &["header.csv", "no rows"]),
    ("enrich binary.csv --budget 1", &["binary.csv", "not a text file"]),
    ("enrich latin1.csv --budget 1", &["latin1.csv line 2", "not UTF-8"]),
    ("enrich huge.csv --budget 1", &["huge.csv line 2", "longer than 1 MiB"]),
    ("enrich strange.csv --budget 1", &["strange.csv", "no column is recognised", "`shoe`, `size`", "--map"]),
    ("enrich enriched.csv --budget 1", &["enriched.csv", "`weir_status` already"]),
    ("enrich broken.ndjson --budget 1", &["broken.ndjson line 2", "not a JSON object"]),
    ("enrich leads.csv --budget 1 --map shoe=id", &["--map shoe=id", "there is no field `shoe`", "linkedin_url"]),
    ("enrich leads.csv --budget 1 --map company=Firma", &["leads.csv", "--map company=Firma", "no such column"]),
    ("enrich leads.csv --budget 1 --map company", &["--map company", "field=Column"]),
    ("enrich leads.csv --budget 1 --format xml", &["--format", "csv or ndjson"]),
    ("enrich leads.csv --budget 1 --concurrency 0", &["--concurrency"]),
    ("enrich leads.csv --budget 1 --waterfall phone", &["`phone`", "work_email"]),
    ("enrich leads.csv --budget 1 --max-per-lead 0", &["--max-per-lead", "must be more than zero"]),
    ("enrich leads.csv --budget 1 --config elsewhere", &["elsewhere/weir.toml"]),
    ("enrich leads.csv --budget 1 -o no/such/out.csv", &["no/such/out.csv", "cannot be written"]),
    ("enrich leads.csv --budget 1 -o header.csv/out.csv", &["header.csv/out.csv", "cannot be written"]),
    ("enrich leads.csv --budget 1 -o config", &["config", "not a regular file"]),
    ("enrich leads.csv --budget 1 -o ./leads.csv", &["leads.csv", "the list itself"]),
    ("enrich leads.csv --budget 5,00", &["--budget", "not a decimal amount"]),
    ("enrich leads.csv --budget 0.0000000001", &["--budget", "more than nine digits"]),
    ("enrich leads.csv --budget 0", &["--budget", "must be more than zero"]),
    ("enrich leads.csv --budget=-5", &["--budget", "must be more than zero"]),
    ("enrich leads.csv", &["--budget USD", "--sandbox", "worst case: 0.050800000 USD"]),
];

/// What the configuration says, what it says instead, and what the refusal names.
const CONFIGURATIONS: &[(&str, &str, &[&str])] = &[
    ("[worker]", "[worker", &["config/weir.toml:1", "not TOML"]),
    ("credit_price = \"0.0125\"\n", "", &["config/weir.toml:3", "providers.leadmagic.credit_price", "is missing"]),
    ("env:LEADMAGIC_API_KEY", "7f3a91c5", &["config/weir.toml:5", "providers.leadmagic.house_key", "env:NAME"]),
];

/// Five mistakes, and where the refusal places each.
const FIVE_MISTAKES: [(&str, &str, &str); 5] = [
    ("[worker]\n", "[worker]\nslice_siz = 5\n", ":2: worker.slice_siz: unknown key; did you mean `slice_size`?"),
    ("slice_siz = 5\n", "slice_siz = 5\nleads_in_flight = 0\n", ":3: worker.leads_in_flight: must be from 1 to 100000"),
    ("\"0.0129\"", "\"cheap\"", "providers.zerobounce.credit_price: must be a price"),
    ("[\"leadmagic\"]", "[\"nobody\"]", "waterfalls.work_email.find: there is no table [providers.nobody]"),
    ("[waterfalls", "[cache]\nmax_age = \"soon\"\n[waterfalls", "cache.max_age: must be a duration"),
];

/// A folder with a good list and every bad one.
fn folder(sandbox: &SandboxProcess) -> Folder {
    let folder = Folder::new(CONFIG, sandbox);
    folder.write("leads.csv", list_of(&[(2, "hit")]));
    folder.write("nothing.csv", "");
    folder.write("header.csv", "id,email\n");
    folder.write("binary.csv", b"id,email\n\0\x01,x\n");
    folder.write("latin1.csv", b"id,full_name,company\n1,J\xf6rg Sample,Acme\n");
    folder.write("huge.csv", format!("id,full_name\n1,{}\n", "x".repeat(1_100_000)));
    folder.write("strange.csv", "shoe,size\n1,2\n");
    folder.write("enriched.csv", "email,weir_status\na@b.test,verified\n");
    folder.write("broken.ndjson", "{\"full_name\":\"Ada Sample\",\"company\":\"Acme\"}\n{\"full_name\":\n");
    folder
}

/// Refused as bad input; the folder stays as it is.
fn assert_refused(folder: &Folder, args: &str, names: &[&str]) {
    let before = folder.everything();
    folder.run(&args.split(' ').collect::<Vec<_>>()).assert_refused(names);
    assert_eq!(folder.everything(), before, "{args}: something was written");
}

#[test]
fn a_bad_list_or_argument_is_named_and_nothing_is_written_or_called() {
    let sandbox = SandboxProcess::start(&[]);
    let folder = folder(&sandbox);
    for (args, names) in ARGUMENTS {
        assert_refused(&folder, args, names);
    }
    assert_eq!(sandbox.count(), 0);
}

#[test]
fn a_bad_configuration_is_named_with_its_line_and_a_key_in_it_is_not_repeated() {
    let sandbox = SandboxProcess::start(&[]);
    let folder = folder(&sandbox);
    for (right, wrong, names) in CONFIGURATIONS {
        folder.configure(&CONFIG.text().replacen(right, wrong, 1));
        assert_refused(&folder, ENRICH, names);
        assert!(!folder.run(&["enrich", "leads.csv"]).err.contains("7f3a91c5"), "the key is repeated");
    }
    assert_eq!(sandbox.count(), 0);
}

#[test]
fn five_mistakes_in_the_configuration_are_named_at_once() {
    let sandbox = SandboxProcess::start(&[]);
    let folder = folder(&sandbox);
    let spoil = |text: String, (right, wrong, _): (&str, &str, &str)| text.replacen(right, wrong, 1);
    folder.configure(&FIVE_MISTAKES.into_iter().fold(CONFIG.text(), spoil));
    assert_refused(&folder, ENRICH, &FIVE_MISTAKES.map(|(.., name)| name));
}

#[test]
fn without_a_finders_key_the_variables_that_would_help_are_named() {
    let sandbox = SandboxProcess::start(&[]);
    let mut folder = folder(&sandbox);
    folder.configure(&Config { find: &["leadmagic", "prospeo"], ..CONFIG }.text());
    folder.unset("LEADMAGIC_API_KEY");
    folder.unset("PROSPEO_API_KEY");
    assert_refused(&folder, ENRICH, &["set LEADMAGIC_API_KEY", "set PROSPEO_API_KEY", "add --sandbox"]);
    assert_eq!(sandbox.count(), 0);
}

#[test]
fn an_estimate_writes_nothing_and_calls_nobody() {
    let sandbox = SandboxProcess::start(&[]);
    let folder = folder(&sandbox);
    let before = folder.everything();
    let estimate = folder.run(&["enrich", "leads.csv", "--estimate"]).done().out;
    for words in ["worst case: 0.050800000 USD", "40 % a step", "an assumption", "zerobounce.verify_email"] {
        assert!(estimate.contains(words), "no {words:?} in: {estimate}");
    }
    assert_eq!((folder.everything(), sandbox.count()), (before, 0));
}

#[test]
fn a_list_that_changes_meanwhile_leaves_the_old_result_as_it_was() {
    let sandbox = SandboxProcess::start(&["--latency", "500"]);
    let folder = folder(&sandbox);
    folder.write("leads.enriched.csv", "old");
    let running = folder.start(&["enrich", "leads.csv", "--budget", "1"]);
    until("a call", || sandbox.count() > 0);
    folder.write("leads.csv", list_of(&[(3, "hit")]));
    let answer = running.finish();
    assert_eq!(answer.code, 1, "{}", answer.err);
    assert!(answer.err.contains("leads.csv: the list changed while it was worked on"), "{}", answer.err);
    assert_eq!(folder.read("leads.enriched.csv"), "old");
    assert!(folder.unfinished().is_empty(), "{:?}", folder.unfinished());
    folder.assert_audit_is_clean();
}
