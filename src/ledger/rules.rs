//! The rules of money, pure: when a hold is granted, refused or made to wait, and what a settlement
//! takes. Every store decides by these inside its transaction; nothing else decides.
#![deny(clippy::float_arithmetic, clippy::as_conversions, clippy::arithmetic_side_effects)]

use crate::domain::Cap;
use crate::domain::Outcome;
use crate::domain::Usd;
use crate::ledger::Balance;

/// What a job may spend, has spent, and has bound in open holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobMoney {
    /// `max_spend`; `None` is no cap.
    pub cap: Option<Usd>,
    /// Charged so far, over all runs.
    pub spent: Usd,
    /// Bound in open holds of the job.
    pub held: Usd,
}

/// What a lead may spend, has spent, and has bound in open holds: the one in question, or, for an
/// answer that comes after its hold expired, the one of a later attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeadMoney {
    /// `max_spend_per_lead`; `None` is no cap.
    pub cap: Option<Usd>,
    /// Charged so far in this job, over all runs.
    pub spent: Usd,
    /// Bound in open holds of the lead.
    pub held: Usd,
}

/// What is decided about a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Bind the money.
    Grant,
    /// Only open holds of others stand in the way.
    Wait(Obstacle),
    /// Never, as things are: `Unaffordable` or `Capped`.
    Refuse(Outcome),
}

/// Whose open holds stand in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// Others' on the same wallet.
    Wallet,
    /// Others' of the same job, under the job's cap.
    JobCap,
}

/// Decides a hold of `price`. A refusal that no settlement of others can lift comes before any
/// waiting; of several, the order of CONTRACTS §2: wallet, lead, job. A price of zero binds nothing
/// and is always granted.
pub fn decide_hold(price: Usd, wallet: Balance, job: JobMoney, lead: LeadMoney) -> Decision {
    if !price.is_positive() {
        return Decision::Grant;
    }
    if price > wallet.balance {
        return Decision::Refuse(Outcome::Unaffordable);
    }
    if lead.cap.is_some_and(|cap| price > cap.left_after(lead.spent.saturating_add(lead.held))) {
        return Decision::Refuse(Outcome::Capped(Cap::Lead));
    }
    let job_left = job.cap.map(|cap| cap.left_after(job.spent));
    if job_left.is_some_and(|left| price > left) {
        return Decision::Refuse(Outcome::Capped(Cap::Job));
    }
    if price > wallet.available() {
        return Decision::Wait(Obstacle::Wallet);
    }
    if job_left.is_some_and(|left| price > left.left_after(job.held)) {
        return Decision::Wait(Obstacle::JobCap);
    }
    Decision::Grant
}

/// What is owed for an attempt that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owed {
    /// So much, by the provider's own rule: the customer pays that, as far as hold, wallet and caps allow.
    Amount(Usd),
    /// What was held for it, no more and no less: the provider took something, and nobody says how much.
    Held,
    /// Nothing by the customer, and what was held is the most that the house loses: an earlier owner may have called,
    /// and nobody knows what came of it; or what was written is billed, and is no e-mail.
    ByHouse,
}

impl Owed {
    /// Voids the hold.
    pub const NOTHING: Self = Self::Amount(Usd::ZERO);

    /// Can it come to more than nothing?
    pub const fn is_anything(self) -> bool {
        match self {
            Self::Amount(amount) => amount.is_positive(),
            Self::Held | Self::ByHouse => true,
        }
    }

    /// What the customer owes. `held` is what the attempt's hold was granted with, which its row keeps for good:
    /// neither a price of today nor an expiry changes it. Of one that has expired nothing is bound any more, and
    /// what was held for it is owed as any late amount is, see [`settle`].
    pub const fn by_customer(self, held: Usd) -> Usd {
        match self {
            Self::Amount(amount) => amount,
            Self::Held => held,
            Self::ByHouse => Usd::ZERO,
        }
    }

    /// What the house may have to pay, at most; `held` is as above.
    pub const fn by_house(self, held: Usd) -> Usd {
        match self {
            Self::Amount(_) | Self::Held => Usd::ZERO,
            Self::ByHouse => held,
        }
    }
}

/// What a settlement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    /// Taken from the balance.
    pub charged: Usd,
    /// Given back from what was held: the whole hold, if it was still open.
    pub released: Usd,
    /// What the provider takes, or may have taken, and the customer does not pay: the house's loss.
    pub lost: Usd,
}

/// Settles what is owed against an open hold of `held` that covers it: neither wallet nor caps have a say. `None`
/// when more is owed.
pub fn settle_held(owed: Owed, held: Usd) -> Option<Settlement> {
    let within = settle_within(owed.by_customer(held), held)?;
    Some(Settlement { lost: owed.by_house(held), ..within })
}

/// Settles what is owed within its hold: neither wallet nor caps have a say. `None` when more is owed.
pub fn settle_within(owed: Usd, held: Usd) -> Option<Settlement> {
    let charged = owed.max(Usd::ZERO);
    (charged <= held).then_some(Settlement { charged, released: held, lost: Usd::ZERO })
}

/// Settles `owed` against a hold that still binds `held` (zero when it expired). Up to the hold it is
/// simply charged. What is owed beyond it is charged as far as wallet, lead cap and job cap still
/// allow; the rest is the house's loss.
///
/// `wallet`, `job` and `lead` are as they stand with this hold still open.
pub fn settle(owed: Usd, held: Usd, wallet: Balance, job: JobMoney, lead: LeadMoney) -> Settlement {
    if let Some(within) = settle_within(owed, held) {
        return within;
    }
    let covered = owed.min(held);
    let beyond = owed.left_after(covered);
    let room = |cap: Option<Usd>, used: Usd| cap.map_or(Usd::MAX, |cap| cap.left_after(used));
    let job_used = job.spent.saturating_add(job.held);
    let extra = beyond
        .min(wallet.available())
        .min(room(job.cap, job_used))
        .min(room(lead.cap, lead.spent.saturating_add(lead.held)));
    Settlement { charged: covered.saturating_add(extra), released: held, lost: beyond.left_after(extra) }
}
