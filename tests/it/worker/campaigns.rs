//! Campaigns and wallets that run dry: stopped once, refused without a balance, taken up again with the job that a
//! top-up pays for; work on the customer's own key goes on.

use crate::services::CLAUDE;
use crate::services::Config;
use crate::services::GPT;
use crate::services::Received;
use crate::worker::stage::EVENTS;
use crate::worker::stage::Stage;
use crate::worker::told::amount;
use crate::worker::told::count_of;
use crate::worker::told::endings;
use crate::worker::told::told;
use crate::worker::told::usd;
use crate::worker::told::with;
use crate::worker::written::HAS_READ;
use crate::worker::written::attempt;
use crate::worker::written::copies;
use crate::worker::written::live;
use crate::worker::written::of;
use crate::worker::written::warm_up;
use rust_decimal::Decimal;
use serde_json::Value;
use serde_json::json;

const EMPTY: &str = "weir.wallet_empty.v1";
const ACTIVATED: &str = "weir.campaign_activated.v1";
const REFUSED: &str = "weir.campaign_refused.v1";
const DEACTIVATED: &str = "weir.campaign_deactivated.v1";

const CONFIG: Config<'_> = Config {
    find: &["leadmagic"],
    verify: &["millionverifier"],
    worker: "slice_size = 10",
    every_provider: "",
    more: "",
};

/// What pays for a part of the e-mails: some with their page, some without, and then none.
const WALLET: &str = "0.2";
const EMAILS: usize = 250;

/// What is held for an e-mail without a page, or a little more: what a model is paid that does not say what it has
/// counted, for a lead whose fields are longer than the others'.
async fn hold_without_page(stage: &Stage) -> Decimal {
    stage.top_up("rich", "1").await;
    stage.submit_copy(&of(warm_up("as-long-as-no-other-job-id", GPT, &[(1, "nousage")]), "rich")).await;
    let results = copies(&stage.until_completed(&["as-long-as-no-other-job-id"]).await);
    assert_eq!(attempt(&results[0], "write_copy")["usage_missing"], true, "{}", results[0]);
    amount(&results[0]["cost"])
}

/// `weir campaign list`: the names, and whether each is active.
async fn campaigns(stage: &Stage, workspace: &str) -> Vec<(String, bool)> {
    let listed = stage.json(&["campaign", "list", workspace]).await;
    let state = |line: &Value| (line["campaign"].as_str().unwrap().to_owned(), line["active"] == true);
    listed.iter().map(state).collect()
}

/// Asks for a campaign as a platform does.
async fn ask_for(stage: &Stage, workspace: &str, campaign: &str) {
    let message = json!({"workspace_id": workspace, "campaign_id": campaign});
    stage.control("weir.campaign_activate.v1", &message).await;
}

/// Workspace, campaign and, if there is one, reason of the events of a kind.
fn of_kind(events: &[Received], kind: &str) -> Vec<[Value; 3]> {
    let fields = |event: Value| ["workspace_id", "campaign_id", "reason"].map(|field| event[field].clone());
    told(events, kind).into_iter().map(fields).collect()
}

/// How many of these e-mails were written with their page, and how many because the page alone could not be paid.
fn written(results: &[Value]) -> [usize; 2] {
    ["scraped", "unaffordable"].map(|page| {
        let of_page = |result: &&Value| attempt(result, "scrape")["outcome"] == page;
        results.iter().filter(|result| result["status"] == "written").filter(of_page).count()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_runs_dry_stops_its_campaign_once_and_a_top_up_and_a_resume_pay_for_the_rest_and_go_on() {
    let stage = Stage::new(CONFIG, &["--latency", "5"]).await;
    let mut workers = [stage.worker().await, stage.worker().await];
    let cheapest = hold_without_page(&stage).await;
    let asked = stage.sandbox.calls().len();
    let billed = || -> Decimal { stage.sandbox.calls().split_off(asked).iter().map(|call| call.cost()).sum() };
    stage.top_up("acme", WALLET).await;
    stage.broker.listen(EVENTS).await;
    stage.submit_copy(&with(live("emails", GPT, &[(EMAILS, "hit")]), "campaign_id", "spring")).await;
    let events = stage.until_all_is_told(&["emails"]).await;

    let first = copies(&events);
    let [with_page, without] = written(&first);
    let skipped = EMAILS - with_page - without;
    assert!(with_page > 0 && without > 0 && skipped > 0, "{with_page} with their page, {without} without, of {EMAILS}");
    assert_eq!(endings(&first), format!("{skipped} skipped/wallet_empty, {} written/none", with_page + without));
    let (spent, balance) = (stage.spent("acme").await, stage.balance("acme").await);
    assert_eq!((spent, balance), (billed(), usd(WALLET) - spent));
    assert!(balance < cheapest, "{balance} were left, and a step of less than {cheapest} was refused");
    let spring = |reason: Value| vec![[json!("acme"), json!("spring"), reason]];
    assert_eq!((count_of(&events, EMPTY), of_kind(&events, DEACTIVATED)), (1, spring(json!("wallet_empty"))));
    assert_eq!(campaigns(&stage, "acme").await, [("spring".to_owned(), false)]);
    stage.assert_audit_is_clean().await;

    // Asked for by a message and by a command, without money.
    ask_for(&stage, "acme", "spring").await;
    let refused = stage.folder.weir(&["campaign", "activate", "acme", "spring"]).await;
    assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""));
    assert!(refused.err.contains("campaign spring is not activated"), "{}", refused.err);
    let events = stage.take(EVENTS, |taken| count_of(taken, REFUSED) == 2).await;
    assert_eq!(of_kind(&events, REFUSED), [spring(json!("wallet_empty")), spring(json!("wallet_empty"))].concat());
    assert_eq!(count_of(&events, ACTIVATED), 0);

    stage.top_up("acme", "5").await;
    stage.folder.weir(&["jobs", "resume", "emails"]).await.done();
    let events = stage.until_all_is_told(&["emails"]).await;
    let second = copies(&events);
    assert_eq!(endings(&second), format!("{skipped} written/none"));
    let has_read = |result: &Value| result["body"].as_str().unwrap().contains(HAS_READ);
    assert!(second.iter().all(has_read), "a page that can be paid now was not read");
    assert_eq!(of_kind(&events, ACTIVATED), spring(Value::Null));
    assert_eq!(count_of(&events, DEACTIVATED) + count_of(&events, EMPTY), 0);
    assert_eq!(campaigns(&stage, "acme").await, [("spring".to_owned(), true)]);

    assert_eq!(stage.job("emails").await["by_status"], json!({"written": EMAILS}));
    assert_eq!(stage.spent("acme").await, billed());
    let counted = ["scrape", "write_copy"].map(|operation| {
        let calls = stage.sandbox.calls().split_off(asked).into_iter();
        calls.filter(|call| call.operation == operation).count()
    });
    assert_eq!(counted, [EMAILS - without, EMAILS], "a page or an e-mail was paid that had been paid");
    stage.assert_all_end_well(&mut workers).await;
    stage.assert_audit_is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_on_an_own_key_is_not_stopped_by_an_empty_wallet_and_campaigns_are_turned_on_and_off_by_who_may() {
    let stage = Stage::new(CONFIG, &["--latency", "5"]).await;
    stage.set_key("beta", "openai", "own-key-7001").await;
    stage.top_up("beta", "0.03").await;
    let mut workers = [stage.worker().await, stage.worker().await];
    stage.broker.listen(EVENTS).await;
    stage.submit_copy(&of(with(live("emails", GPT, &[(30, "hit")]), "campaign_id", "autumn"), "beta")).await;
    let events = stage.until_all_is_told(&["emails"]).await;

    // A page costs 0.005 and binds 0.025: two can be paid.
    let results = copies(&events);
    assert_eq!((endings(&results), written(&results)), ("30 written/none".to_owned(), [2, 28]));
    assert_eq!((stage.spent("beta").await, stage.balance("beta").await), (usd("0.01"), usd("0.02")));
    let on_own_key = |result: &Value| attempt(result, "write_copy")["key_source"] == "own";
    assert!(results.iter().all(on_own_key), "{results:?}");
    let autumn = [[json!("beta"), json!("autumn"), json!("wallet_empty")]];
    assert_eq!((count_of(&events, EMPTY), of_kind(&events, DEACTIVATED)), (1, autumn.to_vec()));

    // Whoever has money may begin a campaign that nobody has heard of.
    stage.top_up("gamma", "1").await;
    ask_for(&stage, "gamma", "by message").await;
    let events = stage.take(EVENTS, |taken| count_of(taken, ACTIVATED) == 1).await;
    assert_eq!(of_kind(&events, ACTIVATED), [[json!("gamma"), json!("by message"), Value::Null]]);
    stage.folder.weir(&["campaign", "activate", "gamma", "by command"]).await.done();
    for _ in 0..2 {
        stage.folder.weir(&["campaign", "deactivate", "gamma", "by message"]).await.done();
    }
    let all = |taken: &[Received]| count_of(taken, ACTIVATED) == 1 && count_of(taken, DEACTIVATED) == 1;
    let events = stage.take(EVENTS, all).await;
    assert_eq!(of_kind(&events, ACTIVATED)[0][1], "by command");
    assert_eq!(of_kind(&events, DEACTIVATED)[0][1], "by message");
    let listed = [("by command".to_owned(), true), ("by message".to_owned(), false)];
    assert_eq!(campaigns(&stage, "gamma").await, listed);

    // The flag tells the platform: nothing is stopped by it.
    let of_campaign = with(warm_up("late", CLAUDE, &[(3, "hit")]), "campaign_id", "by message");
    stage.submit_copy(&of(of_campaign, "gamma")).await;
    let events = stage.until_all_is_told(&["late"]).await;
    assert_eq!(endings(&copies(&events)), "3 written/none");
    assert_eq!(count_of(&events, DEACTIVATED), 0, "what was deactivated before was told again");
    stage.assert_all_end_well(&mut workers).await;
    stage.assert_audit_is_clean().await;
}
