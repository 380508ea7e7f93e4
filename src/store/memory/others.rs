//! The outbox, the workspaces and the roster in memory.

use crate::domain::ConfigVersion;
use crate::domain::ProviderName;
use crate::domain::WorkerId;
use crate::domain::WorkspaceId;
use crate::keys::StoredKey;
use crate::keys::WorkspaceChange;
use crate::keys::WorkspaceSettings;
use crate::keys::Workspaces;
use crate::ledger::Later;
use crate::ledger::Outbox;
use crate::ledger::StoredHappening;
use crate::ledger::TermsRefused;
use crate::roster::Pulse;
use crate::roster::Roster;
use crate::roster::StoredConfig;
use crate::roster::WorkerRow;
use crate::store::memory::MemoryStore;
use crate::store::memory::tables::Tables;
use crate::store::memory::tables::after_ms;
use std::time::Duration;

impl Outbox for MemoryStore {
    fn take_happenings(&self, limit: u32, lease: Duration) -> Later<'_, Vec<StoredHappening>> {
        self.run(move |tables| {
            let now_ms = tables.now_ms();
            let free = tables.happenings.iter_mut().filter(|told| told.taken_until < now_ms);
            let taken = free.take(usize::try_from(limit).unwrap()).map(|told| {
                told.taken_until = after_ms(now_ms, lease);
                told.stored.clone()
            });
            Ok(taken.collect())
        })
    }

    fn forget_happenings(&self, told: Vec<i64>) -> Later<'_, ()> {
        self.run(move |tables| {
            tables.happenings.retain(|happening| !told.contains(&happening.stored.seq));
            Ok(())
        })
    }

    fn happenings(&self) -> Later<'_, u64> {
        self.run(|tables| Ok(u64::try_from(tables.happenings.len()).unwrap()))
    }

    fn key_works(&self, workspace: Option<&WorkspaceId>, provider: Option<&ProviderName>) -> Later<'_, ()> {
        let (workspace, provider) = (workspace.cloned(), provider.cloned());
        self.run(move |tables| {
            key_works(tables, workspace.as_ref(), provider.as_ref());
            Ok(())
        })
    }
}

/// Forgets that keys of this owner fail, at one provider or at all.
fn key_works(tables: &mut Tables, workspace: Option<&WorkspaceId>, provider: Option<&ProviderName>) {
    let owner = workspace.map_or("", WorkspaceId::as_str);
    let start = provider.map_or_else(|| format!("{owner}/"), |provider| format!("{owner}/{provider}/"));
    tables.failing_keys.retain(|key| !key.starts_with(&start));
}

impl Workspaces for MemoryStore {
    fn workspace(&self, workspace: &WorkspaceId) -> Later<'_, Option<WorkspaceSettings>> {
        let workspace = workspace.clone();
        self.run(move |tables| Ok(tables.workspaces.get(&workspace).cloned()))
    }

    fn set_workspace(&self, workspace: &WorkspaceId, settings: WorkspaceSettings) -> Later<'_, ()> {
        let workspace = workspace.clone();
        self.run(move |tables| {
            tables.declines.remove(&workspace);
            tables.workspaces.insert(workspace, settings);
            tables.keys_version += 1;
            Ok(())
        })
    }

    fn change_workspace(
        &self,
        workspace: &WorkspaceId,
        change: WorkspaceChange,
    ) -> Later<'_, Result<WorkspaceSettings, TermsRefused>> {
        let workspace = workspace.clone();
        self.run(move |tables| {
            let changed = change.apply(tables.workspaces.get(&workspace).cloned().unwrap_or_default());
            if let Ok(settings) = &changed {
                if change.recharge.is_some() {
                    tables.declines.remove(&workspace);
                }
                tables.workspaces.insert(workspace, settings.clone());
                tables.keys_version += 1;
            }
            Ok(changed)
        })
    }

    fn put_key(&self, key: StoredKey) -> Later<'_, ()> {
        self.run(move |tables| {
            key_works(tables, Some(&key.workspace), Some(&key.provider));
            tables.own_keys.insert((key.workspace.clone(), key.provider.clone()), key);
            tables.keys_version += 1;
            Ok(())
        })
    }

    fn remove_key(&self, workspace: &WorkspaceId, provider: &ProviderName) -> Later<'_, bool> {
        let place = (workspace.clone(), provider.clone());
        self.run(move |tables| {
            let was_there = tables.own_keys.remove(&place).is_some();
            if was_there {
                key_works(tables, Some(&place.0), Some(&place.1));
                tables.keys_version += 1;
            }
            Ok(was_there)
        })
    }

    fn keys(&self, workspace: &WorkspaceId) -> Later<'_, Vec<StoredKey>> {
        let workspace = workspace.clone();
        self.run(move |tables| Ok(tables.own_keys.values().filter(|key| key.workspace == workspace).cloned().collect()))
    }

    fn keys_version(&self) -> Later<'_, u64> {
        self.run(|tables| Ok(tables.keys_version))
    }
}

impl Roster for MemoryStore {
    fn heartbeat(&self, worker: &WorkerId, version: &ConfigVersion) -> Later<'_, Pulse> {
        let (worker, config_version) = (worker.clone(), version.clone());
        self.run(move |tables| {
            let seen_ms = tables.now_ms();
            tables.workers.insert(worker.clone(), WorkerRow { worker, config_version, seen_ms });
            let config_seq = u64::try_from(tables.configs.len()).unwrap();
            Ok(Pulse { keys_version: tables.keys_version, config_seq })
        })
    }

    fn farewell(&self, worker: &WorkerId) -> Later<'_, ()> {
        let worker = worker.clone();
        self.run(move |tables| {
            tables.workers.remove(&worker);
            Ok(())
        })
    }

    fn workers(&self, alive: Duration) -> Later<'_, Vec<WorkerRow>> {
        self.run(move |tables| {
            let now_ms = tables.now_ms();
            Ok(tables.workers.values().filter(|row| after_ms(row.seen_ms, alive) >= now_ms).cloned().collect())
        })
    }

    fn store_config(&self, request: &str, text: Option<String>) -> Later<'_, u64> {
        let request = request.to_owned();
        self.run(move |tables| {
            let known = tables.configs.iter().position(|(known, _)| *known == request);
            let place = known.unwrap_or_else(|| {
                tables.configs.push((request, text));
                tables.configs.len() - 1
            });
            Ok(u64::try_from(place).unwrap() + 1)
        })
    }

    fn stored_config(&self) -> Later<'_, StoredConfig> {
        self.run(|tables| {
            let text = tables.configs.last().and_then(|(_, text)| text.clone());
            Ok(StoredConfig { seq: u64::try_from(tables.configs.len()).unwrap(), text })
        })
    }
}
