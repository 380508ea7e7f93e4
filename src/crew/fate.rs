//! What becomes of a message, by what stood in its way: done, tried again later, or laid aside for good.

use crate::crew::sources::SourceError;
use crate::domain::JobId;
use crate::ledger::LedgerError;
use crate::lists::ListError;
use crate::messages::Refusal;
use crate::metrics;
use crate::queue::DeadReason;
use crate::queue::Fate;
use crate::queue::RetryAfter;
use crate::queue::rabbitmq::Delivery;
use crate::queue::rabbitmq::Settled;
use crate::worker::IntakeError;

/// A message that the store itself refuses, not for being away, is given up after so many tries: two minutes.
pub(super) const STORE_TRIES: u32 = 10;
/// A list that cannot be fetched is given up after so many tries: an hour.
const PASSING_TRIES: u32 = 60;
/// An order for a job that nobody knows is given up after so many tries: an hour, too.
const UNKNOWN_TRIES: u32 = 360;

/// Why a message is not done with.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// It can never be done.
    #[error("{1}")]
    Refused(DeadReason, String),
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] LedgerError),
    /// Somebody else is at it.
    #[error("somebody else is loading the job")]
    Busy,
    /// Something else is away for now.
    #[error("{0}")]
    Passing(String),
    /// It is about a job that nobody knows: the job may have been sent before it, and be taken in later.
    #[error("job_id names no job")]
    UnknownJob,
}

/// What came of a message, as its delivery ends.
pub(super) fn fate(taken: Result<(), Trouble>, tries: u32) -> Fate {
    let trouble = match taken {
        Ok(()) => return Fate::Ack,
        Err(trouble) => trouble,
    };
    let again = Fate::Retry(RetryAfter::tries(tries));
    match trouble {
        Trouble::Refused(reason, detail) => Fate::Dead(reason, detail),
        Trouble::Store(error) if error.is_transient() || tries < STORE_TRIES => again,
        Trouble::Passing(_) if tries < PASSING_TRIES => again,
        // Soon: the job may be at work by then, and this may be its end.
        Trouble::UnknownJob if tries < UNKNOWN_TRIES => Fate::Retry(RetryAfter::tries(tries.min(3))),
        Trouble::Store(_) => Fate::Dead(DeadReason::GaveUp, format!("the store has refused it {tries} times")),
        Trouble::Passing(problem) => Fate::Dead(DeadReason::GaveUp, format!("{problem}; tried {tries} times")),
        unknown @ Trouble::UnknownJob => Fate::Dead(DeadReason::Invalid, format!("{unknown}; tried {tries} times")),
        // Two that load it in turn would chase each other; this one goes slower with each try.
        Trouble::Busy => Fate::Retry(RetryAfter::tries(tries.max(3))),
    }
}

/// Ends a delivery by what came of it.
pub(super) async fn conclude(delivery: Delivery, taken: Result<(), Trouble>) {
    let Delivery { source, tries, .. } = &delivery;
    match &taken {
        Ok(()) | Err(Trouble::Refused(..)) => {}
        Err(trouble) if *tries == 0 => tracing::warn!(queue = source, "{trouble}; the message comes again"),
        Err(trouble) => tracing::debug!(queue = source, tries, "{trouble}; the message comes again"),
    }
    let fate = fate(taken, *tries);
    settle(delivery, fate).await;
}

/// Ends a delivery; what goes to `weir.dead` is counted and said.
pub(super) async fn settle(delivery: Delivery, fate: Fate) {
    match &fate {
        Fate::Ack | Fate::Retry(_) => {}
        Fate::Dead(reason, detail) => {
            metrics::dead_letter(*reason);
            let (queue, reason) = (&delivery.source, reason.as_str());
            tracing::warn!(queue, reason, "a message goes to weir.dead: {detail}");
        }
    }
    match delivery.settle(fate).await {
        Settled::Done | Settled::LostClaim => {}
    }
}

impl Trouble {
    /// A message whose type belongs elsewhere.
    pub(super) fn misplaced(queue: &str) -> Self {
        Self::Refused(DeadReason::UnknownType, format!("a message of this type does not belong on {queue}"))
    }

    /// Something in it cannot be meant.
    pub(super) fn invalid(detail: &str) -> Self {
        Self::Refused(DeadReason::Invalid, detail.to_owned())
    }

    /// The job's id names another job.
    pub(super) fn other_content(id: &JobId) -> Self {
        Self::Refused(DeadReason::Conflict, format!("job_id {id} was used before for other content"))
    }

    /// The job's id names somebody else's job. Whose it is, is nobody's business.
    pub(super) fn other_workspace(id: &JobId) -> Self {
        Self::Refused(DeadReason::Conflict, format!("job_id {id} was used before by another workspace"))
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.reason, refusal.detail)
    }
}

impl From<SourceError> for Trouble {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Refused(problem) => Self::Refused(DeadReason::SourceRefused, format!("leads_from {problem}")),
            SourceError::Passing(problem) => Self::Passing(format!("leads_from {problem}")),
        }
    }
}

impl From<ListError> for Trouble {
    fn from(error: ListError) -> Self {
        let problem = format!("leads_from: {error}");
        if error.is_bad_input() { Self::Refused(DeadReason::Invalid, problem) } else { Self::Passing(problem) }
    }
}

impl From<IntakeError> for Trouble {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::List(error) => error.into(),
            IntakeError::Store(error) => error.into(),
            IntakeError::OtherContent(id) => Self::other_content(&id),
            IntakeError::OtherWorkspace(id) => Self::other_workspace(&id),
            IntakeError::RepeatedId(_) => Self::invalid("leads: a lead_id is used twice"),
            IntakeError::TooMany { most } => Self::invalid(&format!("leads: a job has {most} at most")),
            IntakeError::Superseded => Self::Busy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_trouble_that_may_pass_is_tried_again_and_one_that_stays_is_given_up() {
        let away = || Err(Trouble::Store(LedgerError::Unavailable("gone".to_owned())));
        let broken = || Err(Trouble::Store(LedgerError::Corrupt("broken".to_owned())));
        let cut = || Err(Trouble::Passing("leads_from was cut".to_owned()));
        let mut told = String::new();
        for (name, trouble, tries) in [
            ("away", away(), 0),
            ("away", away(), 9_999),
            ("broken", broken(), 9),
            ("broken", broken(), 10),
            ("cut", cut(), 59),
            ("cut", cut(), 60),
            ("unknown", Err(Trouble::UnknownJob), 0),
            ("unknown", Err(Trouble::UnknownJob), 359),
            ("unknown", Err(Trouble::UnknownJob), 360),
            ("busy", Err(Trouble::Busy), 0),
            ("busy", Err(Trouble::Busy), 9),
            ("done", Ok(()), 5),
        ] {
            told += &format!("{name} after {tries}: {:?}\n", fate(trouble, tries));
        }
        expect![[r#"
            away after 0: Retry(OneSecond)
            away after 9999: Retry(OneMinute)
            broken after 9: Retry(OneMinute)
            broken after 10: Dead(GaveUp, "the store has refused it 10 times")
            cut after 59: Retry(OneMinute)
            cut after 60: Dead(GaveUp, "leads_from was cut; tried 60 times")
            unknown after 0: Retry(OneSecond)
            unknown after 359: Retry(TenSeconds)
            unknown after 360: Dead(Invalid, "job_id names no job; tried 360 times")
            busy after 0: Retry(TenSeconds)
            busy after 9: Retry(OneMinute)
            done after 5: Ack
        "#]]
        .assert_eq(&told);
    }
}
