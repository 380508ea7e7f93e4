//! No key and no address where it does not belong: canaries, and a search for them in everything written.

use crate::enrich::folder::Config;
use crate::enrich::folder::Folder;
use crate::enrich::folder::PRICES;
use crate::enrich::folder::key_variable;
use crate::enrich::lists::list_of;
use crate::enrich::lists::rows;
use crate::enrich::sandbox_process::SandboxProcess;
use serde_json::Value;
use serde_json::json;
use std::fs;

/// Patience with providers that fail is not what is proved here.
const CONFIG: Config<'_> = Config {
    find: &["leadmagic", "prospeo", "findymail"],
    verify: &["millionverifier", "zerobounce"],
    worker: "lead_deadline = \"1s\"",
    every_provider: "timeout = \"200ms\"\nbreaker_open = \"200ms\"",
};

/// What is in the keys, and nowhere else.
const CANARY: &str = "7f3a91c5";

fn has_bytes(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The addresses of the list and those that were found, also as a URL would show them.
fn addresses(folder: &Folder) -> Vec<String> {
    let rows = rows(&folder.read("leads.enriched.csv"));
    let cells = rows.iter().flat_map(|row| [row["email"].clone(), row["weir_email"].clone()]);
    cells.filter(|cell| !cell.is_empty()).flat_map(|cell| [cell.replace('@', "%40"), cell]).collect()
}

/// A whole run and the commands after it, with `word` in every key, all providers under `fault`.
fn assert_nothing_leaks(sandbox: &SandboxProcess, log_format: &str, word: &str, fault: &Value) {
    let mut folder = Folder::new(CONFIG, sandbox);
    folder.set("WEIR_LOG", "trace");
    folder.set("WEIR_LOG_FORMAT", log_format);
    for (provider, _) in PRICES {
        folder.set(&key_variable(provider), &format!("{word}-{provider}-{CANARY}"));
        let mut order = fault.clone();
        order["provider"] = provider.into();
        sandbox.fault(&order);
    }
    let list = list_of(&[(5, "hit"), (3, "invalid"), (2, "catchall"), (2, "miss")]);
    let given = list.lines().enumerate().map(|(n, row)| match n {
        0 => format!("{row},email\n"),
        1 => format!("{row},iris.lund@ivy.hit.test\n"),
        _ => format!("{row},\n"),
    });
    folder.write("leads.csv", given.collect::<String>());

    let mut answers = vec![folder.run(&["enrich", "leads.csv", "--budget", "5"]).done()];
    let job = folder.job();
    for args in [
        &["enrich", "leads.csv", "--estimate"][..],
        &["jobs", "show", &job],
        &["jobs", "results", &job],
        &["explain", &job, "2"],
        &["wallet", "ledger", "local"],
        &["wallet", "audit"],
        &["config", "check"],
        &["config", "show"],
    ] {
        answers.push(folder.run(args).done());
    }
    let case = format!("{log_format} {word} {fault}");
    for answer in &answers {
        assert!(!answer.out.contains(CANARY), "{case}: a key is printed: {}", answer.out);
        assert!(!answer.err.contains(CANARY), "{case}: a key is logged: {}", answer.err);
        for address in addresses(&folder) {
            assert!(!answer.err.contains(&address), "{case}: {address} is logged: {}", answer.err);
        }
    }
    for path in folder.everything().into_iter().filter(|path| path.is_file()) {
        assert!(!has_bytes(&fs::read(&path).unwrap(), CANARY.as_bytes()), "{case}: a key is in {}", path.display());
    }
}

fn assert_nothing_leaks_whatever_happens(log_format: &str) {
    let sandbox = SandboxProcess::start(&[]);
    let healthy = json!({"down": false});
    for word in ["fine", "bad-key", "no-credits"] {
        assert_nothing_leaks(&sandbox, log_format, word, &healthy);
    }
    for fault in [json!({"down": true}), json!({"html": true}), json!({"cut": true}), json!({"hang": true})] {
        assert_nothing_leaks(&sandbox, log_format, "fine", &fault);
    }
}

#[test]
fn no_key_and_no_address_is_logged_as_text_or_left_in_a_file_whatever_the_providers_do() {
    assert_nothing_leaks_whatever_happens("text");
}

#[test]
fn no_key_and_no_address_is_logged_as_json_or_left_in_a_file_whatever_the_providers_do() {
    assert_nothing_leaks_whatever_happens("json");
}
