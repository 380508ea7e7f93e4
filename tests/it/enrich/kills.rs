//! `kill -9`, anywhere: nothing is lost, nothing is paid twice, no half list is seen.

use crate::enrich::folder::Config;
use crate::enrich::folder::Folder;
use crate::enrich::lists::endings;
use crate::enrich::lists::list_of;
use crate::enrich::running::until;
use crate::enrich::sandbox_process::SandboxProcess;
use std::fs;

/// Leads in flight, and so the calls that one kill may cost the house.
const IN_FLIGHT: usize = 16;
const ENRICH: [&str; 6] = ["enrich", "leads.csv", "--budget", "20", "--concurrency", "16"];

/// Signs of how far a starting run has come: not at all, store, lock, loading.
const STARTING: [&str; 4] = ["leads.csv", ".weir/weir.db", ".weir/locks", ".weir/weir.db-wal"];

/// Kills while providers are called, so many calls apart.
const KILLS_AMONG_CALLS: usize = 12;
const CALLS_BETWEEN_KILLS: usize = 30;

#[test]
fn a_run_killed_sixteen_times_ends_like_an_undisturbed_one_and_pays_no_step_twice() {
    let sandbox = SandboxProcess::start(&["--latency", "5"]);
    let config = Config { find: &["leadmagic"], verify: &["zerobounce"], ..Config::default() };
    let list = list_of(&[(200, "hit"), (60, "miss"), (40, "invalid"), (40, "catchall")]);
    let undisturbed = Folder::new(config, &sandbox);
    undisturbed.write("leads.csv", &list);
    let enriched = undisturbed.enrich("20");
    let needed = sandbox.count();

    let folder = Folder::new(config, &sandbox);
    folder.write("leads.csv", &list);
    for sign in STARTING {
        let running = folder.start(&ENRICH);
        until(sign, || folder.path(sign).exists());
        running.kill();
        assert_eq!(folder.find("leads.enriched.csv"), None, "killed at {sign}");
    }
    for kill in 1..=KILLS_AMONG_CALLS {
        let enough = sandbox.count() + CALLS_BETWEEN_KILLS;
        let mut running = folder.start(&ENRICH);
        until("calls", || sandbox.count() >= enough);
        assert!(!running.has_ended(), "it was done before kill {kill}");
        running.kill();
        assert_eq!(folder.find("leads.enriched.csv"), None, "kill {kill}");
        assert_eq!(folder.json(&["wallet", "audit"])[0]["ok"], true, "kill {kill}");
    }
    folder.run(&ENRICH).done();

    assert_eq!(endings(&enriched), "100 not_found/none, 40 risky/none, 200 verified/none");
    assert_eq!(folder.read("leads.enriched.csv"), enriched);
    assert_eq!(folder.spent(), undisturbed.spent());
    assert_eq!(folder.balance(), undisturbed.balance());
    folder.assert_audit_is_clean();
    let repeated = sandbox.count() - 2 * needed;
    let allowed = IN_FLIGHT * (STARTING.len() + KILLS_AMONG_CALLS);
    assert!(repeated <= allowed, "{repeated} calls were repeated, {allowed} may be");
}

#[test]
fn a_run_killed_while_it_writes_leaves_the_old_list_or_none_and_the_next_one_writes_it_whole() {
    let sandbox = SandboxProcess::start(&[]);
    let folder = Folder::new(Config { find: &["leadmagic"], ..Config::default() }, &sandbox);
    // Wide rows, so that writing takes long enough to be met at it.
    let wide: String = list_of(&[(3_000, "miss")])
        .lines()
        .enumerate()
        .map(|(n, row)| format!("{row},{}\n", if n == 0 { "note".to_owned() } else { "x".repeat(2_000) }))
        .collect();
    folder.write("leads.csv", wide);
    let whole = folder.enrich("20");
    let calls = sandbox.count();

    for (old, megabytes) in [(None, 0_u64), (None, 1), (Some("old"), 2), (Some("old"), 4)] {
        fs::remove_file(folder.path("leads.enriched.csv")).unwrap();
        if let Some(old) = old {
            folder.write("leads.enriched.csv", old);
        }
        for left in folder.unfinished() {
            fs::remove_file(left).unwrap();
        }
        let mut running = folder.start(&ENRICH);
        until("the writing", || {
            let lengths = folder.unfinished().into_iter().filter_map(|path| Some(path.metadata().ok()?.len()));
            lengths.max().is_some_and(|length| length > megabytes << 20) || running.has_ended()
        });
        running.kill();
        let seen = folder.find("leads.enriched.csv");
        assert!(seen.as_deref() == old || seen.as_deref() == Some(whole.as_str()), "a half list is seen");
        assert!(folder.enrich("20") == whole, "the next run wrote another list");
    }
    assert_eq!(sandbox.count(), calls);
    folder.assert_audit_is_clean();
}
