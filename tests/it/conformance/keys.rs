//! What is kept of workspaces and their keys, of workers, and of inline configurations.

use crate::conformance::Lab;
use crate::conformance::lab::HOUR;
use crate::conformance::lab::acme;
use crate::conformance::lab::config_version;
use crate::conformance::lab::usd;
use weir::domain::ConfigVersion;
use weir::domain::ProviderName;
use weir::domain::WorkerId;
use weir::domain::WorkspaceId;
use weir::keys::OwnKeyFallback;
use weir::keys::StoredKey;
use weir::keys::WorkspacePlan;
use weir::keys::WorkspaceSettings;
use weir::ledger::RechargeTerms;
use weir::roster::StoredConfig;

/// Of `acme`, as if it were sealed.
pub(super) fn stored_key(provider: &str, key_id: &str) -> StoredKey {
    StoredKey {
        workspace: acme(),
        provider: ProviderName::new(provider),
        key_id: key_id.to_owned(),
        sealed: vec![0, 1, 254, 255],
        last4: "1234".to_owned(),
        stored_ms: 1_700_000_000_000,
    }
}

pub(super) async fn a_workspace_keeps_its_settings(lab: Lab) {
    assert_eq!(lab.store.workspace(&acme()).await.unwrap(), None);
    let own = WorkspaceSettings {
        plan: WorkspacePlan::Unlimited,
        own_key_fallback: OwnKeyFallback::House,
        low_balance: Some(usd("7.5")),
        recharge: Some(RechargeTerms { cool_off: Some(HOUR), ..RechargeTerms::usual(usd("10"), usd("50")) }),
    };
    for settings in [own, WorkspaceSettings::new()] {
        lab.store.set_workspace(&acme(), settings.clone()).await.unwrap();
        assert_eq!(lab.store.workspace(&acme()).await.unwrap(), Some(settings));
    }
    assert_eq!(lab.store.workspace(&WorkspaceId::new("globex")).await.unwrap(), None);
    assert_eq!(lab.store.balance(&acme()).await.unwrap(), None);
}

pub(super) async fn a_key_is_kept_in_place_of_the_earlier_one(lab: Lab) {
    let (older, newer) = (stored_key("prospeo", "key-1"), stored_key("prospeo", "key-2"));
    let other = stored_key("leadmagic", "key-3");
    let theirs = StoredKey { workspace: WorkspaceId::new("globex"), ..stored_key("prospeo", "key-4") };
    for key in [&older, &theirs, &other, &newer] {
        lab.store.put_key(key.clone()).await.unwrap();
    }
    assert_eq!(lab.store.keys(&acme()).await.unwrap(), [other.clone(), newer]);
    assert!(lab.store.remove_key(&acme(), &older.provider).await.unwrap());
    assert!(!lab.store.remove_key(&acme(), &older.provider).await.unwrap());
    assert_eq!(lab.store.keys(&acme()).await.unwrap(), [other]);
    assert_eq!(lab.store.keys(&theirs.workspace).await.unwrap(), [theirs]);
}

pub(super) async fn every_change_of_a_workspace_or_key_is_counted(lab: Lab) {
    let worker = WorkerId::new("worker-1");
    let mut versions = vec![lab.store.keys_version().await.unwrap()];
    lab.store.set_workspace(&acme(), WorkspaceSettings::new()).await.unwrap();
    versions.push(lab.store.keys_version().await.unwrap());
    lab.store.put_key(stored_key("prospeo", "key-1")).await.unwrap();
    versions.push(lab.store.keys_version().await.unwrap());
    lab.store.put_key(stored_key("prospeo", "key-2")).await.unwrap();
    versions.push(lab.store.keys_version().await.unwrap());
    assert!(lab.store.remove_key(&acme(), &ProviderName::new("prospeo")).await.unwrap());
    versions.push(lab.store.heartbeat(&worker, &config_version()).await.unwrap().keys_version);
    assert!(versions.is_sorted_by(|earlier, later| earlier < later), "{versions:?}");
}

pub(super) async fn workers_are_known_from_heartbeat_to_farewell(lab: Lab) {
    let (one, two) = (WorkerId::new("worker-1"), WorkerId::new("worker-2"));
    let newer = ConfigVersion::new("ba9876543210");
    lab.store.heartbeat(&one, &config_version()).await.unwrap();
    lab.store.heartbeat(&two, &config_version()).await.unwrap();
    lab.store.heartbeat(&one, &newer).await.unwrap();
    let mut workers = lab.store.workers(HOUR).await.unwrap();
    workers.sort_by(|one, other| one.worker.cmp(&other.worker));
    let known: Vec<_> = workers.iter().map(|row| (&row.worker, &row.config_version)).collect();
    assert_eq!(known, [(&one, &newer), (&two, &config_version())]);
    assert!(workers[0].seen_ms >= workers[1].seen_ms && workers[1].seen_ms > 0);

    lab.store.farewell(&one).await.unwrap();
    lab.store.farewell(&one).await.unwrap();
    let left = lab.store.workers(HOUR).await.unwrap();
    assert_eq!(left.iter().map(|row| &row.worker).collect::<Vec<_>>(), [&two]);
}

pub(super) async fn a_configuration_is_stored_once_a_request(lab: Lab) {
    let worker = WorkerId::new("worker-1");
    assert_eq!(lab.store.stored_config().await.unwrap().text, None);
    let unset = lab.store.heartbeat(&worker, &config_version()).await.unwrap().config_seq;

    let text = Some("[wallet]".to_owned());
    let seq = lab.store.store_config("r-1", text.clone()).await.unwrap();
    assert!(seq > unset);
    assert_eq!(lab.store.store_config("r-1", Some("[other]".to_owned())).await.unwrap(), seq);
    assert_eq!(lab.store.stored_config().await.unwrap(), StoredConfig { seq, text });

    let later = lab.store.store_config("r-2", None).await.unwrap();
    assert!(later > seq);
    assert_eq!(lab.store.stored_config().await.unwrap(), StoredConfig { seq: later, text: None });
    assert_eq!(lab.store.heartbeat(&worker, &config_version()).await.unwrap().config_seq, later);
}
