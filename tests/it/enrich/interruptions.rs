//! Two at once, Ctrl-C, cancel: the job is safe, and the same command finishes it at the same price.

use crate::enrich::folder::Config;
use crate::enrich::folder::Folder;
use crate::enrich::lists::endings;
use crate::enrich::lists::list_of;
use crate::enrich::lists::rows;
use crate::enrich::lists::usd;
use crate::enrich::running::until;
use crate::enrich::sandbox_process::SandboxProcess;

const CONFIG: Config<'_> = Config { find: &["leadmagic"], verify: &["zerobounce"], worker: "", every_provider: "" };
const IN_FLIGHT: usize = 8;
const ENRICH: [&str; 6] = ["enrich", "leads.csv", "--budget", "5", "--concurrency", "8"];
const SCENES: [(usize, &str); 2] = [(60, "hit"), (20, "miss")];
/// The calls and the price of it all, undisturbed.
const CALLS: usize = 80 + 60;
const COST: &str = "1.524";

fn assert_finished_as_if_undisturbed(folder: &Folder, sandbox: &SandboxProcess) {
    folder.run(&ENRICH).done();
    assert_eq!(endings(&folder.read("leads.enriched.csv")), "20 not_found/none, 60 verified/none");
    assert_eq!((sandbox.count(), folder.spent()), (CALLS, usd(COST)));
    folder.assert_audit_is_clean();
}

#[test]
fn a_second_command_for_a_running_job_is_turned_away_by_name_and_ctrl_c_writes_what_is_known() {
    let sandbox = SandboxProcess::start(&["--latency", "100"]);
    let folder = Folder::new(CONFIG, &sandbox);
    folder.write("leads.csv", list_of(&SCENES));
    let first = folder.start(&ENRICH);
    until("a verification", || sandbox.count_of("zerobounce", "verify_email") > 0);

    let second = folder.run(&ENRICH);
    assert_eq!((second.code, second.out.as_str()), (1, ""), "{}", second.err);
    assert!(second.err.contains(&format!("already running in process {}", first.id())), "{}", second.err);

    let calls = sandbox.count();
    first.interrupt();
    let interrupted = first.finish();
    assert_eq!(interrupted.code, 130, "{}", interrupted.err);
    assert!(sandbox.count() <= calls + 2 * IN_FLIGHT, "it went on calling");
    let enriched = rows(&folder.read("leads.enriched.csv"));
    assert_eq!(enriched.len(), 80);
    assert!(enriched.iter().any(|row| row["weir_status"] == "verified"), "nothing of what is known was written");
    assert!(enriched.iter().any(|row| row["weir_status"].is_empty()), "all was done already");
    assert_eq!(folder.json(&["wallet", "audit"])[0]["ok"], true);

    assert_finished_as_if_undisturbed(&folder, &sandbox);
}

#[test]
fn a_job_cancelled_from_elsewhere_stops_calling_gives_every_lead_its_ending_and_can_be_resumed() {
    let sandbox = SandboxProcess::start(&["--latency", "100"]);
    let folder = Folder::new(CONFIG, &sandbox);
    folder.write("leads.csv", list_of(&SCENES));
    let running = folder.start(&ENRICH);
    until("a verification", || sandbox.count_of("zerobounce", "verify_email") > 0);
    folder.run(&["jobs", "cancel", &folder.job()]).done();
    let calls = sandbox.count();

    running.finish().done();
    assert!(sandbox.count() <= calls + 2 * IN_FLIGHT, "it went on calling");
    let enriched = folder.read("leads.enriched.csv");
    for row in rows(&enriched) {
        let ending = (row["weir_status"].as_str(), row["weir_reason"].as_str());
        let allowed =
            [("verified", "none"), ("not_found", "none"), ("unverified", "cancelled"), ("skipped", "cancelled")];
        assert!(allowed.contains(&ending), "{row:?}");
    }
    assert!(enriched.contains(",cancelled,"), "all was done already");
    let job = &folder.json(&["jobs", "show", &folder.job()])[0];
    assert_eq!((job["state"].as_str(), job["done"].as_u64()), (Some("cancelled"), Some(80)), "{job}");
    folder.assert_audit_is_clean();

    assert_finished_as_if_undisturbed(&folder, &sandbox);
}

#[test]
fn a_killed_job_that_is_cancelled_gives_back_what_it_held_and_every_lead_its_ending() {
    let sandbox = SandboxProcess::start(&["--latency", "20"]);
    let folder = Folder::new(CONFIG, &sandbox);
    folder.write("leads.csv", list_of(&[(60, "hit"), (20, "miss")]));
    let running = folder.start(&["enrich", "leads.csv", "--budget", "5", "--concurrency", "8"]);
    until("calls", || sandbox.count() >= 30);
    running.kill();
    let calls = sandbox.count();
    folder.run(&["jobs", "cancel", &folder.job()]).done();

    // What was in flight at the kill may still have been recorded.
    assert!(sandbox.count() <= calls + 8, "the cancelled job was called for");
    let job = &folder.json(&["jobs", "show", &folder.job()])[0];
    assert_eq!((job["state"].as_str(), job["done"].as_u64()), (Some("cancelled"), Some(80)), "{job}");
    assert_eq!(folder.json(&["wallet", "show", "local"])[0]["held"], "0.000000000");
    folder.assert_audit_is_clean();
}
