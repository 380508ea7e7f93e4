//! Holds that wait for money: first come, first served, per wallet.

use crate::ledger::AccountId;
use crate::ledger::Answer;
use crate::ledger::Boundary;
use crate::ledger::Charged;
use crate::ledger::Committed;
use crate::ledger::JobKey;
use crate::ledger::LedgerError;
use crate::ledger::Responder;
use crate::ledger::pending;
use crate::ledger::rules::Obstacle;
use crate::store::batch::Batch;
use crate::store::batch::Begun;
use crate::store::rows::Rows;
use std::collections::HashSet;
use std::collections::VecDeque;

/// Who waits, in order of arrival. A waiter holds no money.
#[derive(Default)]
pub(super) struct Waiting {
    queue: VecDeque<(Boundary, Responder)>,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Does anybody wait for this wallet? Then a newcomer waits behind.
    pub(super) fn has(&self, account: AccountId) -> bool {
        self.queue.iter().any(|(boundary, _)| boundary.account == account)
    }

    /// Tells the one who asked that it waits, and queues its hold. What had ended is committed.
    pub(super) fn add(&mut self, mut boundary: Boundary, charged: Vec<Charged>, responder: Responder) {
        boundary.ended.clear();
        let (later, second) = pending();
        responder.answer(Ok(Committed { charged, answer: Answer::Wait(second) }));
        self.queue.push_back((boundary, later));
    }

    /// Forgets those who have gone away; does anybody still wait?
    pub(super) fn prune(&mut self) -> bool {
        self.queue.retain(|(_, responder)| !responder.is_abandoned());
        !self.queue.is_empty()
    }

    /// What those who wait ask for, in order.
    pub(super) fn boundaries(&self) -> impl Iterator<Item = &Boundary> {
        self.queue.iter().map(|(boundary, _)| boundary)
    }

    /// Decides in order of the queue what can be granted now, and refuses what never can be; `None` goes
    /// on waiting. Whoever must go on waiting for a wallet keeps everybody behind on that wallet waiting;
    /// for a job's cap, or because somebody has locked it, on that job. Of those who want the same page, the first one asks. An error comes with its
    /// place.
    pub(super) fn decide<R: Rows>(&self, batch: &mut Batch<R>) -> Result<Vec<Option<Answer>>, (usize, LedgerError)> {
        let mut poor_wallets: HashSet<AccountId> = HashSet::new();
        let mut capped_jobs: HashSet<JobKey> = HashSet::new();
        let mut decided = Vec::with_capacity(self.queue.len());
        for (place, (boundary, _)) in self.queue.iter().enumerate() {
            if !batch.rows.is_at_hand(boundary.lead) {
                capped_jobs.insert(boundary.lead.job);
                decided.push(None);
                continue;
            }
            let behind = if poor_wallets.contains(&boundary.account) {
                Some(Obstacle::Wallet)
            } else {
                capped_jobs.contains(&boundary.lead.job).then_some(Obstacle::JobCap)
            };
            decided.push(match batch.begin(boundary, behind).map_err(|error| (place, error))? {
                Begun::Answered(answer) => Some(answer),
                Begun::Waits(Obstacle::Wallet) => {
                    poor_wallets.insert(boundary.account);
                    None
                }
                Begun::Waits(Obstacle::JobCap) => {
                    capped_jobs.insert(boundary.lead.job);
                    None
                }
            });
        }
        Ok(decided)
    }

    /// Tells what was decided, and committed.
    pub(super) fn answer(&mut self, decided: Vec<Option<Answer>>) {
        let queue = std::mem::take(&mut self.queue);
        for ((boundary, responder), answer) in queue.into_iter().zip(decided) {
            match answer {
                Some(answer) => responder.answer(Ok(Committed { charged: Vec::new(), answer })),
                None => self.queue.push_back((boundary, responder)),
            }
        }
    }

    /// Takes everybody out, to be decided one by one when nobody knows whose fault it is that all together
    /// cannot be.
    pub(super) fn take_apart(&mut self) -> Vec<Self> {
        std::mem::take(&mut self.queue).into_iter().map(|one| Self { queue: VecDeque::from([one]) }).collect()
    }

    /// Must anybody here wait for a wallet behind one of `those`?
    pub(super) fn is_behind(&self, those: &Self) -> bool {
        self.queue.iter().any(|(boundary, _)| those.has(boundary.account))
    }

    /// Queues those who still wait, behind everybody.
    pub(super) fn append(&mut self, mut others: Self) {
        self.queue.append(&mut others.queue);
    }

    /// The guilty one hears of its error; when the store itself fails, everybody goes on waiting.
    pub(super) fn fail(&mut self, place: usize, error: LedgerError) {
        if error.is_transient() {
            tracing::warn!("{error}; holds go on waiting");
        } else if let Some((_, responder)) = self.queue.remove(place) {
            responder.answer(Err(error));
        }
    }
}
