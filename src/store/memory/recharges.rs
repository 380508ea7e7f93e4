//! Requests for money in memory, and how fast a wallet is spent.

use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::ledger::AccountId;
use crate::ledger::Asking;
use crate::ledger::Booking;
use crate::ledger::Burn;
use crate::ledger::DAYS_A_MONTH;
use crate::ledger::Declined;
use crate::ledger::EntryKind;
use crate::ledger::Happening;
use crate::ledger::Later;
use crate::ledger::MOST_DECLINES;
use crate::ledger::RechargeHistory;
use crate::ledger::RechargeState;
use crate::ledger::RechargeTerms;
use crate::ledger::Recharges;
use crate::ledger::StoredRecharge;
use crate::ledger::decide_recharge;
use crate::ledger::recharge_reference;
use crate::store::memory::MemoryStore;
use crate::store::memory::tables::EntryRow;
use crate::store::memory::tables::Tables;
use crate::store::memory::tables::number;
use crate::store::memory::view::sum;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MONTH: Duration = DAY.saturating_mul(DAYS_A_MONTH);

/// A request, and when it was last asked and answered.
pub(super) struct RechargeRow {
    account: AccountId,
    stored: StoredRecharge,
    told_ms: i64,
    answered_ms: Option<i64>,
}

impl Recharges for MemoryStore {
    fn ask_recharges(&self) -> Later<'_, u64> {
        self.run(|tables| {
            let settled = tables.workspaces.iter();
            let asking: Vec<(WorkspaceId, RechargeTerms)> =
                settled.filter_map(|(workspace, settings)| Some((workspace.clone(), settings.recharge?))).collect();
            let asked = asking.into_iter().map(|(workspace, terms)| u64::from(ask(tables, workspace, terms)));
            Ok(asked.sum())
        })
    }

    fn decline_recharge(&self, workspace: &WorkspaceId, reference: &str) -> Later<'_, Declined> {
        let (workspace, reference) = (workspace.clone(), reference.to_owned());
        self.run(move |tables| Ok(decline(tables, workspace, &reference)))
    }

    fn recharges(&self, workspace: &WorkspaceId, limit: u32) -> Later<'_, Vec<StoredRecharge>> {
        let workspace = workspace.clone();
        self.run(move |tables| {
            let newest = tables.recharges.iter().rev().filter(|row| row.stored.workspace == workspace);
            Ok(newest.take(usize::try_from(limit).unwrap()).map(|row| row.stored.clone()).collect())
        })
    }

    fn recharge_declines(&self, workspace: &WorkspaceId) -> Later<'_, u32> {
        let workspace = workspace.clone();
        self.run(move |tables| Ok(declines(tables, &workspace)))
    }
}

fn ago(now_ms: i64, then_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(now_ms - then_ms).unwrap_or_default())
}

fn history(tables: &Tables, account: AccountId, workspace: &WorkspaceId) -> RechargeHistory {
    let now_ms = tables.now_ms();
    let of_wallet = || tables.recharges.iter().filter(move |row| row.account == account);
    // What is in flight counts against the limits, and what was paid, from then on.
    let within = |time: Duration| {
        let counts = |row: &&RechargeRow| match row.stored.state {
            RechargeState::Asked => true,
            RechargeState::Paid => row.answered_ms.is_some_and(|then_ms| ago(now_ms, then_ms) < time),
            RechargeState::Declined => false,
        };
        sum(of_wallet().filter(counts).map(|row| row.stored.amount))
    };
    let in_flight = of_wallet().find(|row| row.stored.state == RechargeState::Asked);
    RechargeHistory {
        in_flight: in_flight.map(|row| ago(now_ms, row.told_ms)),
        answered: of_wallet().filter_map(|row| row.answered_ms).max().map(|then_ms| ago(now_ms, then_ms)),
        in_a_day: within(DAY),
        in_a_month: within(MONTH),
        declines: declines(tables, workspace),
    }
}

/// In a row.
fn declines(tables: &Tables, workspace: &WorkspaceId) -> u32 {
    tables.declines.get(workspace).copied().unwrap_or_default()
}

fn ask(tables: &mut Tables, workspace: WorkspaceId, terms: RechargeTerms) -> bool {
    let account = tables.open_account(&workspace);
    let balance = tables.accounts.get(&account).map_or(Usd::ZERO, |row| row.money.balance);
    let now_ms = tables.now_ms();
    match decide_recharge(terms, history(tables, account, &workspace), balance) {
        Asking::Nothing => return false,
        Asking::Ask => {
            let n = tables.recharges.iter().filter(|row| row.account == account).count() + 1;
            let reference = recharge_reference(&workspace, number(n), now_ms);
            let (amount, state) = (terms.amount, RechargeState::Asked);
            let stored = StoredRecharge { workspace: workspace.clone(), reference, amount, state, asked_ms: now_ms };
            tables.recharges.push(RechargeRow { account, stored, told_ms: now_ms, answered_ms: None });
        }
        Asking::AskAgain => {}
    }
    let mut of_wallet = tables.recharges.iter_mut().filter(|row| row.account == account);
    let asked = of_wallet.find(|row| row.stored.state == RechargeState::Asked).unwrap();
    asked.told_ms = now_ms;
    let (amount, reference) = (asked.stored.amount, asked.stored.reference.clone());
    let key = format!("{workspace}/{reference}");
    tables.happened(&key, &Happening::RechargeRequested { workspace, amount, reference });
    true
}

/// A top-up answers the request of its reference, one that was declined before too: money is money.
pub(super) fn answer(tables: &mut Tables, account: AccountId, booking: &Booking) {
    let now_ms = tables.now_ms();
    let is_asked = |row: &&mut RechargeRow| row.account == account && row.stored.reference == booking.reference;
    if let Some(row) = tables.recharges.iter_mut().find(is_asked) {
        (row.stored.state, row.answered_ms) = (RechargeState::Paid, Some(now_ms));
        tables.declines.remove(&booking.workspace);
    }
}

fn decline(tables: &mut Tables, workspace: WorkspaceId, reference: &str) -> Declined {
    let now_ms = tables.now_ms();
    let is_asked = |row: &&mut RechargeRow| {
        let StoredRecharge { workspace: owner, reference: asked, state, .. } = &row.stored;
        *owner == workspace && asked == reference && *state == RechargeState::Asked
    };
    let Some(row) = tables.recharges.iter_mut().find(is_asked) else { return Declined::NotInFlight };
    (row.stored.state, row.answered_ms) = (RechargeState::Declined, Some(now_ms));
    let amount = row.stored.amount;
    let declines = tables.declines.entry(workspace.clone()).or_default();
    *declines += 1;
    if *declines < MOST_DECLINES {
        return Declined::Counted;
    }
    let (key, reference) = (format!("{workspace}/{reference}"), reference.to_owned());
    tables.happened(&key, &Happening::RechargeFailed { workspace, amount, reference });
    Declined::TurnedOff
}

/// What a wallet has settled within [`Burn::WINDOW`].
pub(super) fn burn(tables: &Tables, account: AccountId) -> Option<Burn> {
    let now_ms = tables.now_ms();
    let is_recent = |row: &&EntryRow| row.kind == EntryKind::Settle && ago(now_ms, row.at_ms) < Burn::WINDOW;
    let settled = || tables.entries.iter().filter(move |row| row.account == account).filter(is_recent);
    let over_ms = now_ms - settled().next()?.at_ms;
    Some(Burn::of(sum(settled().map(|row| row.amount.negated())), over_ms, false))
}

/// Every request that is not what its wallet says, in words; of one workspace or all.
pub(super) fn problems(tables: &Tables, workspace: Option<&WorkspaceId>) -> Vec<String> {
    let mut problems = Vec::new();
    for (account, owner, _) in tables.wallets().filter(|(_, owner, _)| workspace.is_none_or(|only| only == *owner)) {
        let of_wallet = || tables.recharges.iter().filter(move |row| row.account == account);
        if of_wallet().filter(|row| row.stored.state == RechargeState::Asked).count() > 1 {
            problems.push(format!("more than one request for money in flight, of wallet {owner}"));
        }
        for StoredRecharge { reference, state, .. } in of_wallet().map(|row| &row.stored) {
            let is_booked = tables.entries.iter().any(|entry| {
                entry.account == account
                    && entry.kind == EntryKind::TopUp
                    && entry.reference.as_ref() == Some(reference)
            });
            if is_booked != (*state == RechargeState::Paid) {
                problems.push(format!(
                    "a request for money that is paid without its top-up, or the reverse, of wallet {owner}"
                ));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::WorkspaceChange;
    use crate::keys::WorkspacePlan;
    use crate::keys::WorkspaceSettings;
    use crate::keys::Workspaces;
    use crate::ledger::Boundary;
    use crate::ledger::Ledger;
    use crate::ledger::LedgerError;
    use crate::ledger::Outbox;
    use crate::ledger::RechargeChange;
    use crate::store::memory::Fate;
    use crate::store::memory::Reaching;
    use crate::store::memory::Seam;
    use crate::store::memory::Watch;
    use std::sync::Arc;
    use tokio::time::advance;

    /// Nothing lies between, and nobody looks.
    struct Nothing;

    impl Seam for Nothing {
        fn reach(&self) -> Reaching<'_> {
            Box::pin(async {})
        }

        fn before(&self, _: &Boundary) -> Fate {
            Fate::Commits(Duration::ZERO)
        }

        fn after(&self) -> bool {
            true
        }
    }

    impl Watch for Nothing {
        fn changed(&self, _: &Tables) {}

        fn refused(&self, error: &LedgerError) {
            panic!("{error}");
        }
    }

    fn usd(text: &str) -> Usd {
        text.parse().unwrap()
    }

    /// A wallet that always asks, for 25 USD.
    async fn store(terms: RechargeTerms) -> MemoryStore {
        let store = MemoryStore::new(Arc::new(Nothing), Arc::new(Nothing), None);
        let settings = WorkspaceSettings { recharge: Some(terms), ..WorkspaceSettings::new() };
        store.set_workspace(&WorkspaceId::new("acme"), settings).await.unwrap();
        store
    }

    async fn pay(store: &MemoryStore) {
        let workspace = WorkspaceId::new("acme");
        let reference = store.recharges(&workspace, 1).await.unwrap()[0].reference.clone();
        let booking = Booking { workspace, amount: usd("25"), reference, note: None };
        assert!(store.top_up(booking).await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_asked_again_as_the_same_event() {
        let store = store(RechargeTerms::usual(usd("1000"), usd("25"))).await;
        assert_eq!(store.ask_recharges().await.unwrap(), 1);
        let first = store.take_happenings(10, Duration::ZERO).await.unwrap();
        store.forget_happenings(vec![first[0].seq]).await.unwrap();
        advance(Duration::from_secs(899)).await;
        assert_eq!(store.ask_recharges().await.unwrap(), 0);
        advance(Duration::from_secs(1)).await;
        assert_eq!(store.ask_recharges().await.unwrap(), 1);
        assert_eq!(store.ask_recharges().await.unwrap(), 0);
        let again = store.take_happenings(10, Duration::ZERO).await.unwrap();
        assert_eq!((again.len(), &again[0].key, &again[0].what), (1, &first[0].key, &first[0].what));
        assert_eq!(store.recharges(&WorkspaceId::new("acme"), 10).await.unwrap().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_cool_off_a_day_and_a_month_pass() {
        let (below, amount) = (usd("1000"), usd("25"));
        let usual = RechargeTerms::usual(below, amount);
        let limits = RechargeTerms { per_day: Some(amount), per_month: Some(usd("50")), ..usual };
        let store = store(limits).await;
        for (wait, asked) in [
            (Duration::ZERO, 1),
            (limits.cool_off(), 0),
            (DAY, 1),
            (DAY, 0),
            (MONTH.saturating_sub(DAY), 1),
            (limits.cool_off(), 0),
        ] {
            advance(wait).await;
            assert_eq!(store.ask_recharges().await.unwrap(), asked, "after {wait:?}");
            if asked > 0 {
                pay(&store).await;
            }
        }
        assert!(store.audit(None).await.unwrap().problems.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_answered_late_counts_from_its_answer_on() {
        let terms = RechargeTerms::usual(usd("1000"), usd("25"));
        let store = store(RechargeTerms { per_day: Some(usd("25")), ..terms }).await;
        assert_eq!(store.ask_recharges().await.unwrap(), 1);
        advance(DAY.saturating_sub(Duration::from_secs(30))).await;
        assert_eq!(store.ask_recharges().await.unwrap(), 1);
        pay(&store).await;
        for (wait, asked) in [(Duration::from_secs(60), 0), (DAY, 1)] {
            advance(wait).await;
            assert_eq!(store.ask_recharges().await.unwrap(), asked, "after {wait:?}");
        }
        assert_eq!(store.recharges(&WorkspaceId::new("acme"), 10).await.unwrap().len(), 2);
    }
    #[tokio::test(start_paused = true)]
    async fn declines_are_forgotten_by_a_change_of_the_terms_alone() {
        let terms = RechargeTerms::usual(usd("1000"), usd("25"));
        let (store, workspace) = (store(terms).await, WorkspaceId::new("acme"));
        for _ in 0..MOST_DECLINES {
            advance(terms.cool_off()).await;
            assert_eq!(store.ask_recharges().await.unwrap(), 1);
            let reference = store.recharges(&workspace, 1).await.unwrap()[0].reference.clone();
            store.decline_recharge(&workspace, &reference).await.unwrap();
        }
        advance(terms.cool_off()).await;
        let plan = WorkspaceChange { plan: Some(WorkspacePlan::Unlimited), ..WorkspaceChange::default() };
        let (below, amount) = (Some(usd("999")), None);
        let below = RechargeChange::Set { below, amount, cool_off: None, per_day: None, per_month: None };
        let below = WorkspaceChange { recharge: Some(below), ..WorkspaceChange::default() };
        for (change, declines, asked) in [(plan, MOST_DECLINES, 0), (below, 0, 1)] {
            let settings = store.change_workspace(&workspace, change).await.unwrap().unwrap();
            assert_eq!(settings.plan, WorkspacePlan::Unlimited);
            assert_eq!(store.recharge_declines(&workspace).await.unwrap(), declines);
            assert_eq!(store.ask_recharges().await.unwrap(), asked);
        }
    }
}
