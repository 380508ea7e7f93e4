//! Lists that a message names instead of carrying them.

use crate::services::Config;
use crate::worker::stage::PATIENCE;
use crate::worker::stage::Stage;
use crate::worker::told::endings;
use crate::worker::told::results;
use crate::worker::told::usd;
use serde_json::Value;
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use tempfile::TempDir;

const ROWS: usize = 5_000;

/// Every fiftieth is known.
fn list() -> String {
    let scene = |n: usize| if n.is_multiple_of(50) { "hit" } else { "miss" };
    let rows = (1..=ROWS).map(|n| format!("row-{n},Ada{n},Sample,c{n}.{}.test,kept\n", scene(n)));
    format!("Lead ID;First Name;Last Name;Website;Note\n{}", rows.collect::<String>()).replace(',', ";")
}

fn job_from(id: &str, file: &Path) -> Value {
    json!({"job_id": id, "workspace_id": "acme", "leads_from": format!("file://{}", file.display())})
}

/// A plant whose workers may read lists in `lists`.
async fn stage(lists: &TempDir) -> Stage {
    let worker = format!("sources = [\"file://{}\"]", lists.path().display());
    let stage = Stage::new(Config { worker: &worker, ..Config::default() }, &[]).await;
    stage.top_up("acme", "5").await;
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_5000_rows_under_an_allowed_root_is_a_job_like_any_other() {
    let lists = TempDir::new().unwrap();
    fs::create_dir(lists.path().join("may")).unwrap();
    let file = lists.path().join("may/leads.csv");
    fs::write(&file, list()).unwrap();
    let stage = stage(&lists).await;
    let mut workers = [stage.worker().await, stage.worker().await];
    stage.submit(&job_from("listed", &file)).await;
    let heard = results(&stage.until_completed(&["listed"]).await);

    assert_eq!(endings(&heard), "4900 not_found/none, 100 verified/none");
    assert!(heard.iter().any(|result| result["lead_id"] == "row-5000" && result["status"] == "verified"));
    assert_eq!((stage.spent("acme").await, stage.billed()), (usd("1.64"), usd("1.64")));
    assert_eq!(stage.sandbox.calls().len(), ROWS + 100);
    stage.assert_all_end_well(&mut workers).await;
    stage.assert_audit_is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_lies_or_leads_outside_the_allowed_roots_is_refused_and_not_read() {
    let (lists, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (secret, beside) = (outside.path().join("secret.csv"), format!("{}-too", lists.path().display()));
    fs::write(&secret, list()).unwrap();
    symlink(&secret, lists.path().join("link.csv")).unwrap();
    symlink(outside.path(), lists.path().join("folder")).unwrap();
    let up = lists.path().join("..").join(outside.path().file_name().unwrap()).join("secret.csv");
    let refused = [
        ("outside", secret.clone()),
        ("link", lists.path().join("link.csv")),
        ("folder", lists.path().join("folder/secret.csv")),
        ("up", up),
        ("beside", Path::new(&beside).join("leads.csv")),
        ("absent", lists.path().join("absent.csv")),
    ];
    let stage = stage(&lists).await;
    let mut worker = stage.worker().await;
    for (id, file) in &refused {
        stage.submit(&job_from(id, file)).await;
        let dead = stage.broker.drain("weir.dead", 1, PATIENCE).await.remove(0);
        assert_eq!(dead.json()["job_id"], *id);
        assert_eq!(dead.header("x-weir-reason").as_deref(), Some("source_refused"), "{id}");
        let detail = dead.header("x-weir-detail").unwrap();
        assert!(detail.contains("leads_from"), "{id}: {detail}");
    }
    assert!(stage.json(&["jobs", "list"]).await.is_empty());
    assert!(stage.sandbox.calls().is_empty());
    worker.terminate();
    assert_eq!(worker.ended().await, Some(0), "{}", worker.log());
}
