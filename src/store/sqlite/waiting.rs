//! Holds that wait for money: first come, first served, per wallet.

use crate::domain::Usd;
use crate::ledger::AccountId;
use crate::ledger::Answer;
use crate::ledger::Boundary;
use crate::ledger::Committed;
use crate::ledger::JobKey;
use crate::ledger::LedgerError;
use crate::ledger::Responder;
use crate::ledger::pending;
use crate::ledger::rules::Obstacle;
use crate::store::sqlite::batch::Batch;
use crate::store::sqlite::batch::Begun;
use crate::store::sqlite::store_error;
use rusqlite::Connection;
use rusqlite::TransactionBehavior;
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
    pub(super) fn add(&mut self, mut boundary: Boundary, charged: Vec<Usd>, responder: Responder) {
        boundary.ended.clear();
        let (later, second) = pending();
        responder.answer(Ok(Committed { charged, answer: Answer::Wait(second) }));
        self.queue.push_back((boundary, later));
    }

    /// Grants, in order, what can be granted now; refuses what never can be. Whoever must go on
    /// waiting for a wallet keeps everybody behind on that wallet waiting; for a job's cap, on that job.
    pub(super) fn serve(&mut self, connection: &mut Connection) {
        self.queue.retain(|(_, responder)| !responder.is_abandoned());
        if self.queue.is_empty() {
            return;
        }
        match self.decide(connection) {
            Ok(decided) => {
                let queue = std::mem::take(&mut self.queue);
                for ((boundary, responder), answer) in queue.into_iter().zip(decided) {
                    match answer {
                        Some(answer) => responder.answer(Ok(Committed { charged: Vec::new(), answer })),
                        None => self.queue.push_back((boundary, responder)),
                    }
                }
            }
            Err(error) => {
                if let Some((_, responder)) = self.queue.pop_front() {
                    responder.answer(Err(error));
                }
            }
        }
    }

    fn decide(&self, connection: &mut Connection) -> Result<Vec<Option<Answer>>, LedgerError> {
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| store_error(&error))?;
        let mut batch = Batch::new(&transaction);
        let mut poor_wallets: HashSet<AccountId> = HashSet::new();
        let mut capped_jobs: HashSet<JobKey> = HashSet::new();
        let mut decided = Vec::with_capacity(self.queue.len());
        for (boundary, _) in &self.queue {
            let behind = poor_wallets.contains(&boundary.account) || capped_jobs.contains(&boundary.lead.job);
            decided.push(match batch.begin(boundary, behind)? {
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
        if decided.iter().all(Option::is_none) {
            return Ok(decided);
        }
        batch.flush()?;
        transaction.commit().map_err(|error| store_error(&error))?;
        Ok(decided)
    }
}
