//! Where a lead waits: for leave to call, for money, for an answer that comes later.

use crate::clock;
use crate::domain::Outcome;
use crate::ledger::Answer;
use crate::ledger::LedgerError;
use crate::ledger::Pending;
use crate::waterfall::Moment;
use crate::worker::answers::Upshot;
use crate::worker::call::Entry;
use crate::worker::call::GIVEN_UP;
use crate::worker::call::NoEntry;
use crate::worker::lead::Flow;
use crate::worker::lead::LeadAtWork;
use crate::worker::lead::Making;
use crate::worker::reader::Awaited;
use std::time::Duration;

/// Between two looks whether a page that another lead asked for has come: a page takes a second or more.
const BEFORE_ASKING_AGAIN: Duration = Duration::from_millis(200);

impl LeadAtWork<'_> {
    /// Leave to call, if it is to be had without waiting.
    pub(super) async fn enter_at_once(&self, making: &mut Making) -> Option<Entry> {
        if making.route.adapter.deferred().is_some() {
            making.place = self.engine.readers.of(&making.route).place_now();
            making.place.as_ref()?;
        }
        let call = self.calling(making);
        tokio::select! {
            biased;
            entry = call.enter(Duration::ZERO) => entry.ok(),
            () = std::future::ready(()) => None,
        }
    }

    /// Leave to call, waited for; an outage is sat out with `patience`.
    pub(super) async fn enter(&self, making: &mut Making, patience: Duration) -> Result<Entry, NoEntry> {
        let Moment(now) = clock::moment();
        let left = self.deadline_of(making.route.step.operation).0.saturating_sub(now);
        if making.route.adapter.deferred().is_some() && making.place.is_none() {
            let reader = self.engine.readers.of(&making.route);
            // A provider that answers later takes only so many waiting attempts of a key.
            making.place = tokio::select! {
                biased;
                () = self.engine.tasks.stopping() => return Err(NoEntry::Stopping),
                () = self.lease.lost() => return Err(NoEntry::Fenced),
                place = self.active.park(reader.place()) => place,
                () = tokio::time::sleep(left) => return Err(NoEntry::Late),
            };
        }
        self.calling(making).enter(patience.min(left)).await
    }

    /// Waits, without permit and slot, until money is free; then for leave to call.
    pub(super) async fn wait_for_money(&mut self, making: Making, mut pending: Pending) -> Result<Flow, LedgerError> {
        let waits = self.engine.money.join(self.work.job.account);
        let Moment(now) = clock::moment();
        let left = self.deadline_of(making.route.step.operation).0.saturating_sub(now);
        let came = tokio::select! {
            biased;
            committed = self.active.wait(&mut pending) => Some(committed),
            () = tokio::time::sleep(left) => None,
            () = self.engine.tasks.stopping() => None,
            () = self.lease.lost() => None,
        };
        let came = came.or_else(|| pending.give_up());
        drop(waits);
        match came.transpose()?.map(|committed| committed.answer) {
            Some(Answer::Granted) => self.enter_and_call(making).await,
            Some(other) => self.without_call(making, other).await,
            None if self.lease.is_lost() => self.leave_to_owner().await,
            None if self.engine.tasks.is_stopping() => self.leave_off().await,
            None => Ok(self.note(making, Upshot::not_asked(Outcome::Unaffordable))),
        }
    }

    /// Somebody else's answer to the same question will serve this lead too: waits a moment for it, parked.
    pub(super) async fn let_others_ask(&self) {
        tokio::select! {
            biased;
            () = self.engine.tasks.stopping() => {}
            () = self.lease.lost() => {}
            () = self.work.cancelled.cancelled() => {}
            () = self.active.park(tokio::time::sleep(BEFORE_ASKING_AGAIN)) => {}
        }
    }

    /// Waits for a late answer, parked. The handle of one that has not come is kept: it is read again
    /// before anything is submitted anew.
    pub(super) async fn await_answer(
        &mut self,
        making: Making,
        handle: String,
        after: Duration,
    ) -> Result<Flow, LedgerError> {
        let reader = self.engine.readers.of(&making.route);
        let awaited = tokio::select! {
            biased;
            () = self.engine.tasks.stopping() => return self.leave_off().await,
            () = self.lease.lost() => return self.leave_to_owner().await,
            awaited = self.active.park(reader.answer(self.engine, &making.route, &making.query, &handle, after)) => awaited,
        };
        let upshot = match awaited {
            Awaited::Answer(answer) => Upshot::of(answer),
            Awaited::Late => Upshot { handle: Some(handle), ..Upshot::called(Outcome::Timeout) },
            Awaited::Revoked => Upshot { handle: Some(handle), ..Upshot::called(GIVEN_UP) },
        };
        Ok(self.note(making, upshot))
    }
}
