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

/// Beyond this many workspaces the ring is emptied: they are read again when they are needed.
const MOST_WORKSPACES: usize = 65_536;

/// A customer's own key, opened.
pub struct OwnKey {
    key_id: String,
    material: KeyMaterial,
    revoked: AtomicBool,
}

impl OwnKey {
    /// The key itself.
    pub fn secret(&self) -> &SecretString {
        self.material.secret()
    }

    /// Has it been removed or replaced? Asked right before each call.
    pub fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
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
}

/// The workspaces that were needed lately.
pub struct Keyring {
    master: Option<MasterKey>,
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
        Self { master, ring: Mutex::default() }
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
        let at_work = |keys: &Arc<WorkspaceKeys>| Arc::strong_count(keys) > 1;
        if ring.workspaces.len() > MOST_WORKSPACES {
            ring.workspaces.retain(|_, (_, keys)| at_work(keys));
        }
        ring.workspaces.iter().filter(|(_, (_, keys))| at_work(keys)).map(|(name, _)| name.clone()).collect()
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
        let before = ring.workspaces.get(workspace).map(|(_, known)| Arc::clone(known));
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
                let revoked = AtomicBool::new(false);
                return Some(Arc::new(OwnKey { key_id: key.key_id.clone(), material, revoked }));
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
