//! Whose key: what a workspace has settled, its own keys, sealed at rest, and the choice per attempt.
//!
//! Knows the table of DESIGN §3.1 ([`choose`]) and how a key is sealed ([`MasterKey`]).
//! Invariant: one typed look-up by (workspace, provider); a sealed key opens for that pair alone. A
//! key is never shown: of a stored one only the last four characters are known.

mod choice;
mod seal;
mod settings;

pub use choice::Choice;
pub use choice::choose;
pub use seal::KeyMaterial;
pub use seal::MasterKey;
pub use seal::SealError;
pub use settings::OwnKeyFallback;
pub use settings::WorkspaceChange;
pub use settings::WorkspacePlan;
pub use settings::WorkspaceSettings;

use crate::domain::ProviderName;
use crate::domain::WorkspaceId;
use crate::ledger::Later;
use crate::ledger::TermsRefused;

/// A customer's own key as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// Whose.
    pub workspace: WorkspaceId,
    /// At which provider.
    pub provider: ProviderName,
    /// Names this key and no other; part of what its seal covers.
    pub key_id: String,
    /// Nonce and sealed text, as [`MasterKey::seal`] made them.
    pub sealed: Vec<u8>,
    /// For people to tell keys apart.
    pub last4: String,
    /// When it was stored, wall-clock milliseconds.
    pub stored_ms: i64,
}

/// What the store keeps of workspaces and their keys. Each call is one transaction; every change of a
/// workspace or key makes [`Workspaces::keys_version`] grow.
pub trait Workspaces: Send + Sync {
    /// A workspace's settings; `None` when it was never mentioned.
    fn workspace(&self, workspace: &WorkspaceId) -> Later<'_, Option<WorkspaceSettings>>;

    /// Replaces a workspace's settings; a workspace first mentioned is created. Terms of recharge that are set
    /// anew, the same ones too, forget earlier declines.
    fn set_workspace(&self, workspace: &WorkspaceId, settings: WorkspaceSettings) -> Later<'_, ()>;

    /// Changes what a workspace has settled by then: of changes that come at once none is lost. Answers what it has
    /// settled now; a workspace first mentioned is created. A change that is refused changes and creates nothing.
    fn change_workspace(
        &self,
        workspace: &WorkspaceId,
        change: WorkspaceChange,
    ) -> Later<'_, Result<WorkspaceSettings, TermsRefused>>;

    /// Stores a key in place of the earlier one.
    fn put_key(&self, key: StoredKey) -> Later<'_, ()>;

    /// Forgets a key; `false` when there was none.
    fn remove_key(&self, workspace: &WorkspaceId, provider: &ProviderName) -> Later<'_, bool>;

    /// A workspace's keys, by provider.
    fn keys(&self, workspace: &WorkspaceId) -> Later<'_, Vec<StoredKey>>;

    /// Counts the changes of workspaces and keys in this store.
    fn keys_version(&self) -> Later<'_, u64>;
}
