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
            // The guilty one hears of it; when the store itself fails, everybody goes on waiting.
            Err((_, error)) if error.is_transient() => tracing::warn!("{error}; holds go on waiting"),
            Err((place, error)) => {
                if let Some((_, responder)) = self.queue.remove(place) {
                    responder.answer(Err(error));
                }
            }
        }
    }

    /// Answers in order of the queue; `None` goes on waiting. An error comes with its place.
    fn decide(&self, connection: &mut Connection) -> Result<Vec<Option<Answer>>, (usize, LedgerError)> {
        let store_failed = |error: rusqlite::Error| (0, store_error(&error));
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(store_failed)?;
        let mut batch = Batch::new(&transaction);
        let mut poor_wallets: HashSet<AccountId> = HashSet::new();
        let mut capped_jobs: HashSet<JobKey> = HashSet::new();
        let mut decided = Vec::with_capacity(self.queue.len());
        for (place, (boundary, _)) in self.queue.iter().enumerate() {
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
        if decided.iter().any(Option::is_some) {
            batch.flush().map_err(|error| (0, error))?;
            transaction.commit().map_err(store_failed)?;
        }
        Ok(decided)
    }
}
