//! Slices that are closed side by side, leases that are renewed beside others at work, and what a job leaves behind
//! when its last slice is closed.

use crate::conformance::Call;
use crate::conformance::Lab;
use crate::conformance::call;
use crate::conformance::lab::HOUR;
use crate::conformance::lab::Job;
use crate::conformance::lab::LEASE;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use weir::domain::Reason;
use weir::domain::Status;
use weir::jobs::Closing;
use weir::jobs::JobState;
use weir::jobs::Renewal;
use weir::store::Store;

/// Ends the one lead of a slice that is held.
async fn end(lab: &Lab, job: &Job, lead: u32, reason: Reason) {
    assert_eq!(lab.tell(job.finish(lead, Status::Skipped, reason)).await, "done");
}

async fn close(lab: &Lab, job: &Job) {
    assert_eq!(lab.store.close_slice(job.held()).await.unwrap(), Closing::Closed);
}

pub(super) async fn of_slices_that_close_at_once_the_last_completes_their_job(lab: Lab) {
    const SLICES: u32 = 12;
    for round in 0..8 {
        let job = lab.sliced(&format!("list-{round}"), SLICES).await;
        let mut running = JoinSet::new();
        for slice in 0..SLICES {
            let (lab, job) = (lab.clone(), job.at(slice));
            running.spawn(async move {
                let (job, _) = lab.own(&job, LEASE).await;
                end(&lab, &job, slice + 1, Reason::InvalidInput).await;
                close(&lab, &job).await;
            });
        }
        running.join_all().await;
        assert_eq!(lab.state(&job).await, JobState::Completed);
        assert_eq!(lab.happenings().await, [format!("job_completed acme: list-{round}/1")]);
    }
}

/// Two stores of one database. The first slice is closed by way of `slow`, which comes to a stand after it has seen
/// that the second is pending and before it closes anything. Meanwhile the second ends and is closed.
pub(crate) async fn overtake_a_close(
    slow: Arc<dyn Store>,
    store: Arc<dyn Store>,
    until_it_stands: impl AsyncFnOnce(),
    let_it_go: impl FnOnce(),
) {
    let lab = Lab::new(store);
    let job = lab.sliced("list", 2).await;
    let (first, _) = lab.own(&job.at(0), LEASE).await;
    let (second, _) = lab.own(&job.at(1), LEASE).await;
    end(&lab, &first, 1, Reason::InvalidInput).await;
    let overtake = async {
        until_it_stands().await;
        end(&lab, &second, 2, Reason::InvalidInput).await;
        close(&lab, &second).await;
        assert_eq!(lab.state(&job).await, JobState::Running);
        let_it_go();
    };
    let (overtaken, ()) = tokio::join!(slow.close_slice(first.held()), overtake);
    assert_eq!(overtaken.unwrap(), Closing::Closed);
    assert_eq!(lab.state(&job).await, JobState::Completed);
    assert_eq!(lab.happenings().await, ["job_completed acme: list/1"]);
    lab.assert_sound().await;
}

/// Somebody else locks the second of two slices, and lets it go again.
pub(crate) async fn renew_what_is_locked<L>(
    store: Arc<dyn Store>,
    lock_second: impl AsyncFnOnce() -> L,
    let_go: impl AsyncFnOnce(L),
) {
    let lab = Lab::new(store);
    let job = lab.sliced("list", 2).await;
    let (first, _) = lab.own(&job.at(0), LEASE).await;
    let (second, _) = lab.own(&job.at(1), LEASE).await;
    let renewed = async || lab.store.renew_slices(vec![first.held(), second.held()], HOUR).await.unwrap();
    let lock = lock_second().await;
    assert_eq!(renewed().await, [(first.held(), Renewal::Renewed), (second.held(), Renewal::Left)]);
    let_go(lock).await;
    assert_eq!(renewed().await, [(first.held(), Renewal::Renewed), (second.held(), Renewal::Renewed)]);
}

/// In a job that has ended no open slice leads to it.
pub(super) async fn a_hold_that_is_left_behind_expires_however_its_job_has_ended(lab: Lab) {
    lab.top_up("10").await;
    for (reason, state) in [(Reason::InvalidInput, JobState::Completed), (Reason::Cancelled, JobState::Cancelled)] {
        let job = lab.job(state.as_str(), 1).await;
        assert_eq!(lab.tell(job.begin(Call { expires_in: Duration::ZERO, ..call(1, 1) })).await, "granted");
        if state == JobState::Cancelled {
            assert!(lab.store.cancel_job(job.stored.key).await.unwrap());
        }
        end(&lab, &job, 1, reason).await;
        close(&lab, &job).await;
        assert_eq!(lab.state(&job).await, state);
        assert_eq!(lab.wallet().await, "10, 3 held");

        assert_eq!(lab.store.open_holds().await.unwrap(), 1);
        assert_eq!(lab.store.expire(Vec::new()).await.unwrap(), 1);
        assert_eq!(lab.store.open_holds().await.unwrap(), 0);
        assert_eq!(lab.wallet().await, "10, 0 held");
    }
}

/// It is counted once, also when the job has ended before, with a hold left behind.
pub(super) async fn a_hold_of_a_job_that_goes_on_is_counted_once(lab: Lab) {
    lab.top_up("10").await;
    let job = lab.job("list", 1).await;
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "granted");
    end(&lab, &job, 1, Reason::WalletEmpty).await;
    close(&lab, &job).await;
    assert_eq!(lab.store.open_holds().await.unwrap(), 1);

    assert_eq!(lab.store.resume_job(job.stored.key).await.unwrap(), 1);
    let (job, _) = lab.own(&job, LEASE).await;
    assert_eq!(lab.store.open_holds().await.unwrap(), 1);
    assert!(lab.store.cancel_job(job.stored.key).await.unwrap());
    assert_eq!(lab.store.open_holds().await.unwrap(), 1);
}

pub(super) async fn slices_of_a_cancelled_job_are_announced_again_until_it_has_ended(lab: Lab) {
    let job = lab.sliced("list", 2).await;
    assert!(lab.store.cancel_job(job.stored.key).await.unwrap());
    assert_eq!(lab.stranded(10, 2).await, [0, 1]);
    for slice in 0..2 {
        let (job, _) = lab.own(&job.at(slice), LEASE).await;
        end(&lab, &job, slice + 1, Reason::Cancelled).await;
        close(&lab, &job).await;
    }
    assert!(lab.store.stranded_slices(Duration::ZERO, 10).await.unwrap().is_empty());

    // The next job's are found all the same.
    lab.sliced("other", 1).await;
    assert_eq!(lab.stranded(10, 1).await, [0]);
}
