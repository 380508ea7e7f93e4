//! What a happening is told as.

use crate::clock;
use crate::crew::teller::event;
use crate::domain::CampaignId;
use crate::domain::KeySource;
use crate::domain::Reason;
use crate::domain::Run;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::jobs::Progress;
use crate::jobs::StoredJob;
use crate::ledger::Burn;
use crate::ledger::Happening;
use crate::ledger::Outlook;
use crate::ledger::Stopper;
use crate::ledger::StoredHappening;
use crate::messages::CampaignActivated;
use crate::messages::CampaignDeactivated;
use crate::messages::CampaignRefused;
use crate::messages::JobCompleted;
use crate::messages::KeyRejected;
use crate::messages::Message;
use crate::messages::ProviderOutOfCredits;
use crate::messages::RechargeFailed;
use crate::messages::RechargeRequested;
use crate::messages::WalletEmpty;
use crate::messages::WalletLow;
use crate::messages::event_id;
use crate::messages::run_event_id;
use crate::queue::Outgoing;

/// The wallet that a happening says is running out.
pub(super) const fn wallet_of(what: &Happening) -> Option<&WorkspaceId> {
    match what {
        Happening::WalletLow { workspace, .. } | Happening::WalletEmpty { workspace, .. } => Some(workspace),
        Happening::CampaignDeactivated { .. }
        | Happening::CampaignActivated { .. }
        | Happening::CampaignRefused { .. }
        | Happening::RechargeRequested { .. }
        | Happening::RechargeFailed { .. }
        | Happening::KeyRejected { .. }
        | Happening::ProviderOutOfCredits { .. }
        | Happening::JobCompleted { .. } => None,
    }
}

/// What a happening is told as; `burn` is how fast its wallet is spent, if that is known. `None` for a
/// completion: it says what only the job knows.
pub(super) fn notice_of(stored: &StoredHappening, burn: Option<Burn>) -> Option<Outgoing> {
    let event_id = event_id(&[stored.what.kind(), &stored.key]);
    let id = event_id.clone();
    let at = clock::timestamp(stored.at_ms);
    Some(match stored.what.clone() {
        Happening::WalletLow { workspace: workspace_id, balance, threshold } => {
            let (burn_per_hour, runs_dry_at) = outlook(burn, balance, stored.at_ms);
            event(&WalletLow { event_id, at, workspace_id, balance, threshold, burn_per_hour, runs_dry_at }, &id)
        }
        Happening::WalletEmpty { workspace: workspace_id, balance, threshold } => {
            let (burn_per_hour, runs_dry_at) = outlook(burn, balance, stored.at_ms);
            event(&WalletEmpty { event_id, at, workspace_id, balance, threshold, burn_per_hour, runs_dry_at }, &id)
        }
        Happening::CampaignDeactivated { workspace: workspace_id, campaign, by } => {
            let campaign_id = CampaignId::new(campaign);
            let reason = match by {
                Stopper::Wallet => Reason::WalletEmpty,
                Stopper::Command => Reason::Cancelled,
            };
            event(&CampaignDeactivated { event_id, at, workspace_id, campaign_id, reason }, &id)
        }
        Happening::CampaignActivated { workspace: workspace_id, campaign } => {
            let campaign_id = CampaignId::new(campaign);
            event(&CampaignActivated { event_id, at, workspace_id, campaign_id }, &id)
        }
        Happening::CampaignRefused { workspace: workspace_id, campaign } => {
            let (campaign_id, reason) = (CampaignId::new(campaign), Reason::WalletEmpty);
            event(&CampaignRefused { event_id, at, workspace_id, campaign_id, reason }, &id)
        }
        Happening::RechargeRequested { workspace: workspace_id, amount, reference } => {
            event(&RechargeRequested { event_id, at, workspace_id, amount, reference }, &id)
        }
        Happening::RechargeFailed { workspace: workspace_id, amount, reference } => {
            event(&RechargeFailed { event_id, at, workspace_id, amount, reference }, &id)
        }
        Happening::KeyRejected { workspace: workspace_id, provider, key_source } => {
            event(&KeyRejected { event_id, at, workspace_id, provider, key_source }, &id)
        }
        Happening::ProviderOutOfCredits { provider } => {
            let key_source = KeySource::House;
            event(&ProviderOutOfCredits { event_id, at, workspace_id: None, provider, key_source }, &id)
        }
        Happening::JobCompleted { .. } => return None,
    })
}

/// What is spent in an hour, and when this balance of this time is gone if that goes on.
fn outlook(burn: Option<Burn>, balance: Usd, at_ms: i64) -> (Option<Usd>, Option<String>) {
    let Outlook { per_hour, dry_ms } = Outlook::of(burn, balance, at_ms);
    (per_hour, dry_ms.map(clock::timestamp))
}

/// A completion with how its job stands now.
pub(super) fn completion_of(job: &StoredJob, progress: &Progress, cost: Usd, run: Run, at: String) -> JobCompleted {
    JobCompleted {
        event_id: run_event_id(JobCompleted::KIND, &job.id, None, run),
        at,
        job_id: job.id.clone(),
        workspace_id: job.workspace.clone(),
        campaign_id: job.campaign.clone(),
        by_status: progress.by_status.iter().copied().filter(|(_, leads)| *leads > 0).collect(),
        by_reason: progress.by_reason.iter().copied().filter(|(_, leads)| *leads > 0).collect(),
        cost,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::Fingerprint;
    use crate::domain::JobId;
    use crate::domain::ProviderName;
    use crate::domain::Status;
    use crate::domain::WaterfallName;
    use crate::jobs::JobState;
    use crate::jobs::Work;
    use crate::ledger::AccountId;
    use crate::ledger::JobKey;
    use expect_test::expect;
    use serde_json::Value;
    use serde_json::json;
    use std::time::Duration;

    const AT_MS: i64 = 1_800_000_000_000;

    pub(in crate::crew) fn stored(what: Happening) -> StoredHappening {
        StoredHappening { seq: 1, key: "acme/7".to_owned(), at_ms: AT_MS, what }
    }

    fn acme() -> WorkspaceId {
        WorkspaceId::new("acme")
    }

    fn usd(text: &str) -> Usd {
        text.parse().unwrap()
    }

    fn completed() -> Happening {
        Happening::JobCompleted { workspace: acme(), job: JobKey(1), run: Run::FIRST }
    }

    /// One of each kind but a completion.
    pub(in crate::crew) fn happenings() -> [Happening; 11] {
        let provider = ProviderName::new("leadmagic");
        let (balance, threshold) = (usd("0.005"), usd("10"));
        let campaign = || "cmp_1".to_owned();
        let (amount, reference) = (usd("25"), || "recharge_1".to_owned());
        [
            Happening::WalletLow { workspace: acme(), balance, threshold },
            Happening::WalletEmpty { workspace: acme(), balance, threshold },
            Happening::CampaignDeactivated { workspace: acme(), campaign: campaign(), by: Stopper::Wallet },
            Happening::CampaignDeactivated { workspace: acme(), campaign: campaign(), by: Stopper::Command },
            Happening::CampaignActivated { workspace: acme(), campaign: campaign() },
            Happening::CampaignRefused { workspace: acme(), campaign: campaign() },
            Happening::RechargeRequested { workspace: acme(), amount, reference: reference() },
            Happening::RechargeFailed { workspace: acme(), amount, reference: reference() },
            Happening::KeyRejected { workspace: Some(acme()), provider: provider.clone(), key_source: KeySource::Own },
            Happening::KeyRejected { workspace: None, provider: provider.clone(), key_source: KeySource::House },
            Happening::ProviderOutOfCredits { provider },
        ]
    }

    #[test]
    fn every_happening_is_told_as_the_event_of_its_kind() {
        let mut told = String::new();
        for what in happenings() {
            let notice = notice_of(&stored(what.clone()), None).unwrap();
            assert_eq!(notice.kind, what.kind());
            assert_eq!(notice.message_id, event_id(&[what.kind(), "acme/7"]));
            let body = String::from_utf8(notice.body).unwrap().replace(&notice.message_id, "…");
            told.push_str(&format!("{:?} {body}\n", notice.to));
        }
        expect![[r#"
            Events("wallet_low") {"event_id":"…","at":"2027-01-15T08:00:00.000Z","workspace_id":"acme","balance":"0.005000000","threshold":"10.000000000","burn_per_hour":null,"runs_dry_at":null}
            Events("wallet_empty") {"event_id":"…","at":"2027-01-15T08:00:00.000Z","workspace_id":"acme","balance":"0.005000000","threshold":"10.000000000","burn_per_hour":null,"runs_dry_at":null}
            Events("campaign_deactivated") {"event_id":"…","at":"2027-01-15T08:00:00.000Z","workspace_id":"acme","campaign_id":"cmp_1","reason":"wallet_empty"}
            Events("campaign_deactivated") {"event_id":"…","at":"2027-01-15T08:00:00.000Z","workspace_id":"acme","campaign_id":"cmp_1","reason":"cancelled"}
            Events("campaign_activated") {"event_id":"…","at":"2027-01-15T08:00:00.000Z","workspace_id":"acme","campaign_id":"cmp_1"}
            Events("campaign_refused") {"event_id":"…","at":"2027-01-15T08:00:00.000Z","workspace_id":"acme","campaign_id":"cmp_1","reason":"wallet_empty"}
            Events("recharge_requested") {"event_id":"…","at":"2027-01-15T08:00:00.000Z","workspace_id":"acme","amount":"25.000000000","ref":"recharge_1"}
            Events("recharge_failed") {"event_id":"…","at":"2027-01-15T08:00:00.000Z","workspace_id":"acme","amount":"25.000000000","ref":"recharge_1"}
            Events("key_rejected") {"event_id":"…","at":"2027-01-15T08:00:00.000Z","workspace_id":"acme","provider":"leadmagic","key_source":"own"}
            Events("key_rejected") {"event_id":"…","at":"2027-01-15T08:00:00.000Z","workspace_id":null,"provider":"leadmagic","key_source":"house"}
            Events("provider_out_of_credits") {"event_id":"…","at":"2027-01-15T08:00:00.000Z","workspace_id":null,"provider":"leadmagic","key_source":"house"}
        "#]]
        .assert_eq(&told);
        assert_eq!(notice_of(&stored(completed()), None), None);
        assert_eq!(completed().kind(), JobCompleted::KIND);
    }

    #[test]
    fn a_wallet_that_runs_out_says_how_fast_and_until_when() {
        let burn = |spent: &str| Some(Burn { spent: usd(spent), over: Duration::from_secs(600) });
        for (burn, balance, per_hour, dry) in [
            (None, "1", Value::Null, Value::Null),
            (burn("2"), "1", json!("12.000000000"), json!("2027-01-15T08:05:00.000Z")),
            (burn("2"), "0", json!("12.000000000"), json!("2027-01-15T08:00:00.000Z")),
            (burn("0"), "1", json!("0.000000000"), Value::Null),
            // Further off than anybody can say.
            (burn("0.000000001"), "1", json!("0.000000006"), Value::Null),
        ] {
            let (workspace, balance, threshold) = (acme(), usd(balance), usd("10"));
            let low = Happening::WalletLow { workspace: workspace.clone(), balance, threshold };
            let empty = Happening::WalletEmpty { workspace, balance, threshold };
            for what in [low, empty] {
                assert_eq!(wallet_of(&what), Some(&acme()));
                let told: Value = serde_json::from_slice(&notice_of(&stored(what), burn).unwrap().body).unwrap();
                assert_eq!((&told["burn_per_hour"], &told["runs_dry_at"]), (&per_hour, &dry), "{burn:?} {balance}");
            }
        }
        assert_eq!(happenings().iter().filter(|what| wallet_of(what).is_some()).count(), 2);
    }

    #[test]
    fn a_completion_counts_what_there_is_and_is_new_in_every_run() {
        let job = StoredJob {
            key: JobKey(1),
            id: JobId::new("job_1"),
            workspace: acme(),
            account: AccountId(1),
            work: Work::Enrich(WaterfallName::new("work_email")),
            content: Fingerprint::from_bytes([0; 16]),
            state: JobState::Completed,
            run: Run::FIRST,
            max_spend: None,
            funded: Usd::ZERO,
            held: Usd::ZERO,
            leads: 3,
            slice_size: 100,
            campaign: Some(CampaignId::new("cmp_1")),
            reply: None,
        };
        let progress = Progress {
            leads: 3,
            done: 3,
            by_status: vec![(Status::Verified, 2), (Status::NotFound, 1), (Status::Failed, 0)],
            by_reason: vec![(Reason::None, 3), (Reason::Deadline, 0)],
            cost: None,
        };
        let cost = Usd::from_nanos(41_000_000);
        let of_run = |run| completion_of(&job, &progress, cost, Run::new(run), "now".to_owned());
        assert_ne!(of_run(1).event_id, of_run(2).event_id);
        assert_eq!(of_run(1), of_run(1));
        let told = JobCompleted { event_id: "…".to_owned(), ..of_run(1) };
        expect![[r#"{"event_id":"…","at":"now","job_id":"job_1","workspace_id":"acme","campaign_id":"cmp_1","by_status":{"verified":2,"not_found":1},"by_reason":{"none":3},"cost":"0.041000000"}"#]]
            .assert_eq(&told.to_json().to_string());
    }
}
