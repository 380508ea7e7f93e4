//! What each workspace has settled and its own keys, opened once and forgotten as soon as they change.

use crate::domain::ProviderName;
use crate::domain::WorkspaceId;
use crate::keys::KeyMaterial;
use crate::keys::MasterKey;
use crate::keys::StoredKey;
use crate::keys::WorkspaceSettings;
use crate::ledger::LedgerError;
use crate::store::Store;
use secrecy::SecretString;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// Beyond this many workspaces the ring is emptied: they are read again when they are needed.
const MOST_WORKSPACES: usize = 65_536;
/// So long own keys are used without a word from the store: one that is taken away is out of use
/// everywhere after five seconds.
const HEARD_WITHIN: Duration = Duration::from_secs(4);

/// A customer's own key, opened.
pub struct OwnKey {
    key_id: String,
    material: KeyMaterial,
    revoked: AtomicBool,
    /// `None` where keys are not watched.
    watch: Option<Arc<Watch>>,
}

/// When the store last said what has become of the keys; `None` before the first time.
#[derive(Default)]
struct Watch(Mutex<Option<Instant>>);

impl OwnKey {
    /// The key itself.
    pub fn secret(&self) -> &SecretString {
        self.material.secret()
    }

    /// Has it been removed or replaced? Asked right before each call.
    pub fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }

    /// May it have been, for all that is known here? Then it is not used either, until the store is heard
    /// again.
    pub fn is_unheard_of(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.is_silent())
    }
}

impl Watch {
    fn hear(&self, asked: Instant) {
        *self.last() = Some(asked);
    }

    fn is_silent(&self) -> bool {
        self.last().is_none_or(|asked| asked.elapsed() > HEARD_WITHIN)
    }

    fn last(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One workspace's settings and own keys.
pub struct WorkspaceKeys {
    /// What it has settled.
    pub settings: WorkspaceSettings,
    /// `None`: there is one, and it cannot be opened.
    own: HashMap<ProviderName, Option<Arc<OwnKey>>>,
}

impl WorkspaceKeys {
    /// A workspace without settings and keys of its own: everything by the house.
    pub fn house() -> Self {
        Self { settings: WorkspaceSettings::new(), own: HashMap::new() }
    }

    /// Its own key at this provider: `Some(None)` when there is one that cannot be opened. Then nobody
    /// falls silently to the house's.
    pub fn own(&self, provider: &ProviderName) -> Option<Option<&Arc<OwnKey>>> {
        self.own.get(provider).map(Option::as_ref)
    }

    /// Has anybody but the ring these settings, or one of these keys?
    fn is_in_hand(self: &Arc<Self>) -> bool {
        let mut keys = self.own.values().flatten();
        Arc::strong_count(self) > 1 || keys.any(|key| Arc::strong_count(key) > 1)
    }
}

/// The workspaces that were needed lately.
pub struct Keyring {
    master: Option<MasterKey>,
    watch: Option<Arc<Watch>>,
    ring: Mutex<Ring>,
}

#[derive(Default)]
struct Ring {
    /// What the store last said of its changes; an entry of another version is read again.
    version: u64,
    workspaces: HashMap<WorkspaceId, (u64, Arc<WorkspaceKeys>)>,
}

impl Keyring {
    /// An empty ring. Without a master key no own key can be opened.
    pub fn new(master: Option<MasterKey>) -> Self {
        Self { master, watch: None, ring: Mutex::default() }
    }

    /// The same for a process that works as long as it is left to: own keys are used only while the
    /// store is heard of, which [`Self::beat`] says.
    pub fn watched(self) -> Self {
        Self { watch: Some(Arc::default()), ..self }
    }

    /// The store was asked at `asked` which keys have changed, and those have been revoked.
    pub fn beat(&self, asked: Instant) {
        if let Some(watch) = &self.watch {
            watch.hear(asked);
        }
    }

    /// The version of what is known: grows when anything may have changed.
    pub fn version(&self) -> u64 {
        self.ring().version
    }

    /// The store says that something has changed: what is known is read again before it is used.
    /// Returns the workspaces at work now, whose keys may be in somebody's hands.
    pub fn advance(&self, version: u64) -> Vec<WorkspaceId> {
        let mut ring = self.ring();
        if version <= ring.version {
            return Vec::new();
        }
        ring.version = version;
        if ring.workspaces.len() > MOST_WORKSPACES {
            ring.workspaces.retain(|_, (_, keys)| keys.is_in_hand());
        }
        ring.workspaces.iter().filter(|(_, (_, keys))| keys.is_in_hand()).map(|(name, _)| name.clone()).collect()
    }

    /// The workspace has changed, and nobody can say how: its keys in hand are used no more. What was
    /// read since stays.
    pub fn revoke(&self, workspace: &WorkspaceId) {
        let mut ring = self.ring();
        let version = ring.version;
        let unread = ring.workspaces.get(workspace).is_some_and(|(read, _)| *read != version);
        // Forgotten, so that it is opened anew and not taken for known.
        if unread && let Some((_, keys)) = ring.workspaces.remove(workspace) {
            keys.own.values().flatten().for_each(|key| key.revoked.store(true, Ordering::Release));
        }
    }

    /// The workspace as it stands, read if it may have changed. Keys that are gone are revoked at once,
    /// also in the hands of leads at work.
    ///
    /// # Errors
    /// When the store cannot be asked: then nobody knows whose key to use.
    pub async fn of(&self, store: &dyn Store, workspace: &WorkspaceId) -> Result<Arc<WorkspaceKeys>, LedgerError> {
        let version = {
            let ring = self.ring();
            match ring.workspaces.get(workspace) {
                Some((version, known)) if *version == ring.version => return Ok(Arc::clone(known)),
                Some(_) | None => ring.version,
            }
        };
        let settings = store.workspace(workspace).await?.unwrap_or_else(WorkspaceSettings::new);
        let stored = store.keys(workspace).await?;
        let mut ring = self.ring();
        let before = match ring.workspaces.get(workspace) {
            // Somebody has read later, and was quicker.
            Some((newer, known)) if *newer > version => return Ok(Arc::clone(known)),
            known => known.map(|(_, known)| Arc::clone(known)),
        };
        let own = self.open(stored, before.as_deref());
        let keys = Arc::new(WorkspaceKeys { settings, own });
        ring.workspaces.insert(workspace.clone(), (version, Arc::clone(&keys)));
        Ok(keys)
    }

    /// Opens what is new, keeps what is known, revokes what is gone.
    fn open(
        &self,
        stored: Vec<StoredKey>,
        before: Option<&WorkspaceKeys>,
    ) -> HashMap<ProviderName, Option<Arc<OwnKey>>> {
        let mut own: HashMap<ProviderName, Option<Arc<OwnKey>>> = HashMap::new();
        for key in stored {
            let known = before.and_then(|before| before.own(&key.provider)?).filter(|known| known.key_id == key.key_id);
            let opened = known.cloned().or_else(|| self.open_one(&key));
            own.insert(key.provider, opened);
        }
        let known = before.iter().flat_map(|before| &before.own).filter_map(|(name, key)| Some((name, key.as_ref()?)));
        for (provider, known) in known {
            let kept = own.get(provider).and_then(Option::as_ref).is_some_and(|kept| kept.key_id == known.key_id);
            if !kept {
                known.revoked.store(true, Ordering::Release);
            }
        }
        own
    }

    fn open_one(&self, key: &StoredKey) -> Option<Arc<OwnKey>> {
        let why = match self.master.as_ref().map(|master| master.open(key)) {
            Some(Ok(material)) => {
                let (key_id, revoked) = (key.key_id.clone(), AtomicBool::new(false));
                return Some(Arc::new(OwnKey { key_id, material, revoked, watch: self.watch.clone() }));
            }
            Some(Err(error)) => error.to_string(),
            None => "secrets.master_key is not set".to_owned(),
        };
        tracing::error!(workspace.id = %key.workspace, provider = %key.provider, "an own key cannot be opened: {why}");
        None
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Nature;
    use crate::store::SqliteStore;
    use tempfile::TempDir;
    use tokio::time::advance;

    /// Thirty-two bytes alike.
    const MASTER_KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    fn master() -> MasterKey {
        MasterKey::parse(&SecretString::from(MASTER_KEY)).unwrap()
    }

    fn acme() -> WorkspaceId {
        WorkspaceId::new("acme")
    }

    fn leadmagic() -> ProviderName {
        ProviderName::new("leadmagic")
    }

    fn store() -> (Arc<dyn Store>, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("weir.db"), Nature::Paid).unwrap();
        (Arc::new(store), folder)
    }

    /// Puts this key in the place of the former one; the version that the store has then.
    async fn put(store: &dyn Store, key_id: &str) -> u64 {
        store.set_workspace(&acme(), WorkspaceSettings::new()).await.unwrap();
        let secret = SecretString::from(key_id);
        let sealed = master().seal(&acme(), &leadmagic(), key_id, &secret).unwrap();
        let last4 = StoredKey::last4_of(&secret);
        let (workspace, provider) = (acme(), leadmagic());
        let key = StoredKey { workspace, provider, key_id: key_id.to_owned(), sealed, last4, stored_ms: 0 };
        store.put_key(key).await.unwrap();
        store.keys_version().await.unwrap()
    }

    async fn key_of(ring: &Keyring, store: &dyn Store) -> Arc<OwnKey> {
        let keys = ring.of(store, &acme()).await.unwrap();
        Arc::clone(keys.own(&leadmagic()).unwrap().unwrap())
    }

    #[tokio::test]
    async fn a_key_in_hand_is_revoked_also_when_nobody_has_its_workspace_in_hand() {
        let (store, _folder) = store();
        let ring = Keyring::new(Some(master()));
        assert!(ring.advance(put(&*store, "first-key").await).is_empty());
        let first = key_of(&ring, &*store).await;
        assert_eq!(ring.advance(put(&*store, "second-key").await), [acme()]);
        drop(key_of(&ring, &*store).await);
        assert!(first.is_revoked());
        assert!(ring.advance(put(&*store, "third-key").await).is_empty(), "nobody has the second");
    }

    #[tokio::test]
    async fn keys_that_cannot_be_read_again_are_revoked_and_opened_anew() {
        let (store, _folder) = store();
        let ring = Keyring::new(Some(master()));
        ring.advance(put(&*store, "first-key").await);
        let first = key_of(&ring, &*store).await;
        ring.revoke(&acme());
        assert!(!first.is_revoked(), "it was read since the last change");
        store.set_workspace(&acme(), WorkspaceSettings::new()).await.unwrap();
        ring.advance(store.keys_version().await.unwrap());
        ring.revoke(&acme());
        assert!(first.is_revoked());
        assert!(!key_of(&ring, &*store).await.is_revoked());
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_is_silent_before_its_first_word_and_four_seconds_after_its_last() {
        let watch = Watch::default();
        assert!(watch.is_silent());
        watch.hear(Instant::now());
        advance(HEARD_WITHIN).await;
        assert!(!watch.is_silent());
        advance(Duration::from_millis(1)).await;
        assert!(watch.is_silent());
        watch.hear(Instant::now());
        assert!(!watch.is_silent());
    }
}
