//! The ledger's trait in memory.

use crate::domain::WorkspaceId;
use crate::jobs::JobState;
use crate::ledger::Audit;
use crate::ledger::Balance;
use crate::ledger::Booking;
use crate::ledger::Boundary;
use crate::ledger::Burn;
use crate::ledger::Entry;
use crate::ledger::EntryKind;
use crate::ledger::JobKey;
use crate::ledger::Later;
use crate::ledger::Ledger;
use crate::ledger::LedgerError;
use crate::ledger::Pending;
use crate::store::memory::MemoryStore;
use crate::store::memory::claims;
use crate::store::memory::recharges;
use crate::store::memory::tables::AttemptRow;
use crate::store::memory::tables::EntryRow;
use crate::store::memory::tables::Tables;
use crate::store::memory::tables::missing;

impl Ledger for MemoryStore {
    fn commit(&self, boundary: Boundary) -> Pending {
        self.arrive(boundary)
    }

    fn top_up(&self, booking: Booking) -> Later<'_, bool> {
        self.run(move |tables| book(tables, EntryKind::TopUp, &booking))
    }

    fn adjust(&self, booking: Booking) -> Later<'_, bool> {
        self.run(move |tables| book(tables, EntryKind::Adjust, &booking))
    }

    fn expire(&self, owned: Vec<JobKey>) -> Later<'_, u64> {
        self.run(move |tables| claims::expire(tables, &owned))
    }

    fn open_holds(&self) -> Later<'_, u64> {
        self.run(|tables| Ok(count(tables.attempts.values().filter_map(AttemptRow::open_amount))))
    }

    fn balance(&self, workspace: &WorkspaceId) -> Later<'_, Option<Balance>> {
        let workspace = workspace.clone();
        self.run(move |tables| {
            let account = tables.account_of(&workspace).and_then(|id| tables.accounts.get(&id));
            Ok(account.map(|account| account.money))
        })
    }

    fn burn(&self, workspace: &WorkspaceId) -> Later<'_, Option<Burn>> {
        let workspace = workspace.clone();
        self.run(move |tables| Ok(tables.account_of(&workspace).and_then(|account| recharges::burn(tables, account))))
    }

    fn entries(&self, workspace: &WorkspaceId, after: i64, limit: u32) -> Later<'_, Vec<Entry>> {
        let workspace = workspace.clone();
        self.run(move |tables| {
            let Some(account) = tables.account_of(&workspace) else { return Ok(Vec::new()) };
            let numbered = (1..).zip(&tables.entries).filter(|(seq, entry)| *seq > after && entry.account == account);
            let entries = numbered.take(usize::try_from(limit).unwrap());
            Ok(entries.map(|(seq, entry)| entry_of(tables, seq, entry)).collect())
        })
    }

    fn audit(&self, workspace: Option<&WorkspaceId>) -> Later<'_, Audit> {
        let workspace = workspace.cloned();
        self.run(move |tables| {
            let workspace = workspace.as_ref();
            let concerns = |owner: &WorkspaceId| workspace.is_none_or(|workspace| workspace == owner);
            let accounts: Vec<_> = tables.wallets().filter(|(_, owner, _)| concerns(owner)).map(|it| it.0).collect();
            let open = |row: &&AttemptRow| row.hold.as_ref().is_some_and(|hold| accounts.contains(&hold.account));
            Ok(Audit {
                accounts: count(accounts.iter()),
                entries: count(tables.entries.iter().filter(|entry| accounts.contains(&entry.account))),
                open_holds: count(tables.attempts.values().filter(open).filter_map(AttemptRow::open_amount)),
                problems: [tables.problems(workspace), recharges::problems(tables, workspace)].concat(),
            })
        })
    }
}

fn count<T>(things: impl Iterator<Item = T>) -> u64 {
    u64::try_from(things.count()).unwrap()
}

/// Books a change of balance once by its reference. `false`: it was booked before, alike.
pub(super) fn book(tables: &mut Tables, kind: EntryKind, booking: &Booking) -> Result<bool, LedgerError> {
    let account = tables.open_account(&booking.workspace);
    let same = |entry: &&EntryRow| entry.account == account && entry.reference.as_ref() == Some(&booking.reference);
    if let Some(booked) = tables.entries.iter().find(same) {
        return if booked.kind == kind && booked.amount == booking.amount {
            Ok(false)
        } else {
            Err(LedgerError::Conflict { what: format!("the reference {}", booking.reference) })
        };
    }
    let at_ms = tables.now_ms();
    let row = tables.accounts.get_mut(&account).ok_or_else(|| missing("a wallet"))?;
    let too_much = LedgerError::Insufficient { available: row.money.available() };
    let balance = row.money.balance.checked_add(booking.amount).ok_or_else(|| too_much.clone())?;
    if balance < row.money.held || balance.is_negative() {
        return Err(too_much);
    }
    row.money.balance = balance;
    tables.entries.push(EntryRow {
        account,
        kind,
        amount: booking.amount,
        balance,
        at_ms,
        attempt: None,
        reference: Some(booking.reference.clone()),
        note: booking.note.clone(),
    });
    if kind == EntryKind::TopUp {
        row.empty_told = false;
        for job in tables.jobs.values_mut().filter(|job| job.stored.account == account && job.auto_resume) {
            job.resume_asked |= matches!(job.stored.state, JobState::Completed | JobState::Running | JobState::Queued);
        }
        recharges::answer(tables, account, booking);
    }
    Ok(true)
}

fn entry_of(tables: &Tables, seq: i64, entry: &EntryRow) -> Entry {
    let paid = entry.attempt.and_then(|id| tables.attempt(id)).and_then(|row| {
        let job = tables.jobs.get(&row.job)?.stored.id.clone();
        let lead = tables.leads.get(&(row.job, row.lead))?.id.clone();
        Some((job, lead, row.attempt.step.clone()))
    });
    Entry {
        seq,
        at_ms: entry.at_ms,
        kind: entry.kind.as_str().to_owned(),
        amount: entry.amount,
        balance: entry.balance,
        reference: entry.reference.clone(),
        note: entry.note.clone(),
        paid,
    }
}
