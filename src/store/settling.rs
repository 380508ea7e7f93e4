//! The other half of a boundary: attempts that came to an end, what they cost, and what follows from
//! that for wallets, keys and campaigns.

use crate::domain::AnswerSource;
use crate::domain::AttemptEnd;
use crate::domain::AttemptNo;
use crate::domain::KeySource;
use crate::domain::Operation;
use crate::domain::Outcome;
use crate::domain::ProviderName;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::ledger::AccountId;
use crate::ledger::Boundary;
use crate::ledger::Charged;
use crate::ledger::Ended;
use crate::ledger::Happening;
use crate::ledger::LeadKey;
use crate::ledger::LedgerError;
use crate::ledger::rules::Settlement;
use crate::ledger::rules::settle;
use crate::ledger::rules::settle_held;
use crate::store::batch::Batch;
use crate::store::batch::add;
use crate::store::batch::is_page_failure;
use crate::store::batch::subtract;
use crate::store::rows::Hold;
use crate::store::rows::HoldState;
use crate::store::rows::Known;
use crate::store::rows::Rows;

/// Nothing paid, nothing lost.
const NOTHING: Charged = Charged { paid: Usd::ZERO, lost: Usd::ZERO };

impl<R: Rows> Batch<R> {
    /// Ends an attempt: settles or voids its hold, or records that nobody was asked. Done again, it
    /// gives the first result.
    pub(super) fn end(&mut self, boundary: &Boundary, ended: &Ended) -> Result<Charged, LedgerError> {
        let Some(end) = ended.attempt.end() else {
            return Err(LedgerError::Conflict { what: format!("attempt {}, which has not ended,", ended.attempt.n) });
        };
        if ended.attempt.key_source == KeySource::Own && ended.owed.is_anything() {
            return Err(LedgerError::Corrupt(format!(
                "attempt {} owes money for the customer's own key",
                ended.attempt.n
            )));
        }
        let id = R::IDS.id_of(boundary.lead, ended.attempt.n)?;
        self.note_key(boundary, ended, end)?;
        if ended.attempt.step.operation == Operation::Scrape && !is_page_failure(end.outcome) {
            // A failure stays noted for a while. However else it ended: the next one who wants the page takes its
            // answer, or asks anew.
            self.rows.forget_asking(ended.fingerprint, id)?;
        }
        // The usual case, without a look at the attempt: an open hold that covers what is owed.
        let within = ended.held.and_then(|held| Some((held, settle_held(ended.owed, held)?)));
        if let Some((held, settlement)) = within
            && self.rows.end_attempt(id, end, &settlement, Some((boundary.account, held)))?
        {
            self.book(boundary, boundary.account, id, &settlement)?;
            return Ok(Charged { paid: settlement.charged, lost: settlement.lost });
        }
        match self.rows.known(boundary.lead, ended.attempt.n)? {
            Some(known) => match known.hold.clone() {
                Some(hold) => self.settle_late(boundary, ended, end, hold, &known),
                None => Ok(NOTHING),
            },
            None if ended.owed.is_anything() => {
                Err(LedgerError::Corrupt(format!("attempt {} owes money without a hold", ended.attempt.n)))
            }
            None => {
                self.rows.insert_unmade(boundary.lead, ended, end)?;
                Ok(NOTHING)
            }
        }
    }

    /// Settles what the usual case does not cover: a hold of another price, one that expired, more owed
    /// than held, or an answer that an overtaken owner has left.
    fn settle_late(
        &mut self,
        boundary: &Boundary,
        ended: &Ended,
        end: &AttemptEnd,
        hold: Hold,
        known: &Known,
    ) -> Result<Charged, LedgerError> {
        let still_held = match hold.state {
            HoldState::Settled | HoldState::Voided => return Ok(Charged { paid: hold.charged, lost: Usd::ZERO }),
            HoldState::Open => hold.amount,
            HoldState::Expired => Usd::ZERO,
        };
        let wallet = self.account(hold.account)?.row.money;
        let job_money = self.job(boundary.lead.job)?.row.money;
        let already_charged =
            hold.state == HoldState::Expired && self.rows.is_charged(boundary.lead, ended.fingerprint)?;
        let owed = ended.owed.by_customer(hold.amount);
        let mut settlement = if already_charged {
            // A later attempt has been paid for the same step: this answer is the house's loss.
            Settlement { charged: Usd::ZERO, released: Usd::ZERO, lost: owed }
        } else {
            settle(owed, still_held, wallet, job_money, self.lead_money(boundary)?)
        };
        let besides = match &known.learned {
            Some((answer, _)) if known.is_same_answer(answer, end) => Usd::ZERO,
            // Both owners called, and the customer pays one of the two; or none, and this is what is known of it.
            Some((_, owed)) => *owed,
            None => ended.owed.by_house(hold.amount),
        };
        settlement.lost = add(settlement.lost, besides)?;
        let id = R::IDS.id_of(boundary.lead, ended.attempt.n)?;
        self.book(boundary, hold.account, id, &settlement)?;
        self.rows.end_attempt(id, end, &settlement, None)?;
        Ok(Charged { paid: settlement.charged, lost: settlement.lost })
    }

    /// What an overtaken owner brings, heard once: the first answer is kept for its successor while that has
    /// none. Anything else it has spent is the house's loss, unless it brings the answer that is there.
    pub(super) fn learn(&mut self, lead: LeadKey, ended: &Ended) -> Result<(), LedgerError> {
        let Some(end) = ended.attempt.end().filter(|end| end.source == AnswerSource::Called) else { return Ok(()) };
        let Some(known) = self.rows.known(lead, ended.attempt.n)? else { return Ok(()) };
        if known.has_heard(lead.epoch) {
            return Ok(());
        }
        let id = R::IDS.id_of(lead, ended.attempt.n)?;
        // In dollars from here on: what is held for it does not change any more.
        let held = known.hold.as_ref().map_or(Usd::ZERO, |hold| hold.amount);
        let (owed, lost) = (ended.owed.by_customer(held), ended.owed.by_house(held));
        let first = known.end.as_ref().or(known.learned.as_ref().map(|(answer, _)| answer));
        match first {
            None if end.outcome.is_answer() => {
                self.rows.keep_learned(id, end, owed, lead.epoch)?;
                if lost.is_positive() { self.rows.add_lost(id, lost, lead.epoch) } else { Ok(()) }
            }
            Some(first) if known.is_same_answer(first, end) => Ok(()),
            None | Some(_) => {
                let spent = add(owed, lost)?;
                if spent.is_positive() { self.rows.add_lost(id, spent, lead.epoch) } else { Ok(()) }
            }
        }
    }

    /// A key that does not work is told of once, until it works again.
    fn note_key(&mut self, boundary: &Boundary, ended: &Ended, end: &AttemptEnd) -> Result<(), LedgerError> {
        let out_of_credits = end.outcome == Outcome::ProviderOutOfCredits;
        if end.source != AnswerSource::Called || !(out_of_credits || end.outcome == Outcome::KeyRejected) {
            return Ok(());
        }
        let provider = ended.attempt.step.provider.clone();
        let key_source = ended.attempt.key_source;
        let workspace = match key_source {
            KeySource::Own => Some(self.account(boundary.account)?.row.workspace.clone()),
            KeySource::House => None,
        };
        let owner = workspace.as_ref().map_or("", WorkspaceId::as_str);
        let out_of_credits = out_of_credits && key_source == KeySource::House;
        let what = if out_of_credits {
            Happening::ProviderOutOfCredits { provider: provider.clone() }
        } else {
            Happening::KeyRejected { workspace: workspace.clone(), provider: provider.clone(), key_source }
        };
        if self.rows.key_fails(&failing_key(workspace.as_ref(), &provider, what.kind()))? {
            let key = format!("{owner}/{provider}/{}", R::IDS.id_of(boundary.lead, ended.attempt.n)?);
            self.rows.happened(&key, &what)?;
        }
        Ok(())
    }

    /// Moves the money of a settlement, in the wallet and under the job's cap.
    fn book(
        &mut self,
        boundary: &Boundary,
        account_id: AccountId,
        attempt: i64,
        settlement: &Settlement,
    ) -> Result<(), LedgerError> {
        let Settlement { charged, released, lost: _ } = *settlement;
        if !charged.is_positive() && !released.is_positive() {
            return Ok(());
        }
        let account = self.account(account_id)?;
        let before = account.row.money.balance;
        account.row.money.held = subtract(account.row.money.held, released)?;
        account.row.money.balance = subtract(before, charged)?;
        account.changed = true;
        let balance = account.row.money.balance;
        let job = self.job(boundary.lead.job)?;
        job.row.money.held = subtract(job.row.money.held, released)?;
        job.row.money.spent = add(job.row.money.spent, charged)?;
        job.changed = true;
        if charged.is_positive() {
            self.rows.insert_settle(account_id, attempt, charged, balance)?;
            self.note_low(account_id, before, boundary.low_balance, attempt)?;
        }
        Ok(())
    }

    /// Tells once that the balance is low; again only after it was not.
    fn note_low(&mut self, id: AccountId, before: Usd, threshold: Usd, attempt: i64) -> Result<(), LedgerError> {
        let account = self.account(id)?;
        let row = &mut account.row;
        if before >= threshold {
            row.low_told = false;
        }
        if row.money.balance >= threshold || row.low_told {
            return Ok(());
        }
        row.low_told = true;
        let (workspace, balance) = (row.workspace.clone(), row.money.balance);
        self.rows.happened(&format!("{workspace}/{attempt}"), &Happening::WalletLow { workspace, balance, threshold })
    }

    /// Tells once since the last top-up that the balance could not pay a step, and stops the campaigns.
    pub(super) fn ran_dry(&mut self, boundary: &Boundary, n: AttemptNo) -> Result<(), LedgerError> {
        let account = self.account(boundary.account)?;
        if account.row.empty_told {
            return Ok(());
        }
        account.row.empty_told = true;
        account.changed = true;
        let (workspace, balance) = (account.row.workspace.clone(), account.row.money.balance);
        let key = format!("{workspace}/{}", R::IDS.id_of(boundary.lead, n)?);
        let threshold = boundary.low_balance;
        self.rows.deactivate_campaigns(&workspace, &key)?;
        self.rows.happened(&key, &Happening::WalletEmpty { workspace, balance, threshold })
    }
}

/// Under which a failing key is noted; those of one owner and provider begin alike.
pub(super) fn failing_key(workspace: Option<&WorkspaceId>, provider: &ProviderName, kind: &str) -> String {
    format!("{}/{provider}/{kind}", workspace.map_or("", WorkspaceId::as_str))
}
