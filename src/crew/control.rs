//! Orders for jobs and campaigns, and money: stop, resume, activate, top up.

use crate::crew::fate::Trouble;
use crate::crew::fate::conclude;
use crate::crew::sweep::announce_job;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::jobs::Activation;
use crate::jobs::StoredJob;
use crate::ledger::Booking;
use crate::ledger::Declined;
use crate::ledger::LedgerError;
use crate::messages;
use crate::messages::CampaignActivate;
use crate::messages::Incoming;
use crate::messages::JobAction;
use crate::messages::JobControl;
use crate::messages::Message;
use crate::messages::TopUp;
use crate::messages::event_id;
use crate::queue::DeadReason;
use crate::queue::Queue;
use crate::queue::rabbitmq::Consumer;
use crate::queue::rabbitmq::Delivery;
use crate::worker::Engine;
use std::sync::Arc;
use tokio::sync::Notify;

const QUEUE: &str = "weir.jobcontrol";

/// Takes orders from `weir.jobcontrol`, one at a time.
pub(super) struct Control {
    engine: Arc<Engine>,
    queue: Arc<dyn Queue>,
    paid: Arc<Notify>,
}

impl Control {
    /// Announces slices in `queue`; `paid` has somebody look at once for jobs that a top-up resumes.
    pub(super) fn new(engine: Arc<Engine>, queue: Arc<dyn Queue>, paid: Arc<Notify>) -> Self {
        Self { engine, queue, paid }
    }

    /// Until a stop.
    pub(super) async fn run(self, mut consumer: Consumer) {
        let stop = self.engine.tasks.token();
        while let Some(Some(delivery)) = stop.run_until_cancelled(consumer.next()).await {
            let taken = match open(&delivery) {
                Ok(message) => self.take(message, &mark_of(delivery.message_id.as_deref(), &delivery.body)).await,
                Err(trouble) => Err(trouble),
            };
            conclude(delivery, taken).await;
        }
    }

    /// `mark` tells the message from its sender's others.
    async fn take(&self, message: Incoming, mark: &str) -> Result<(), Trouble> {
        match message {
            Incoming::JobControl(control) => self.steer(control).await,
            Incoming::TopUp(top_up) => self.top_up(top_up).await,
            Incoming::CampaignActivate(activate) => self.activate(activate, mark).await,
            Incoming::Enrich(_)
            | Incoming::Copy(_)
            | Incoming::ConfigReload(_)
            | Incoming::Presence(_)
            | Incoming::KeysChanged(_)
            | Incoming::WorkerStopped(_) => Err(Trouble::misplaced(QUEUE)),
        }
    }

    /// An order may overtake its job, which waits to be taken in behind others.
    async fn steer(&self, control: JobControl) -> Result<(), Trouble> {
        let JobControl { job_id, action, max_spend } = control;
        let job = self.engine.store.find_job(&job_id).await?.ok_or(Trouble::UnknownJob)?;
        match action {
            JobAction::Cancel => self.cancel(&job).await,
            JobAction::Resume => self.resume(&job, max_spend).await,
        }
    }

    /// Its slices are still worked: every lead needs its ending.
    async fn cancel(&self, job: &StoredJob) -> Result<(), Trouble> {
        let cancelled = self.engine.store.cancel_job(job.key).await?;
        self.engine.works.cancel(job.key);
        if cancelled {
            tracing::info!(job.id = %job.id, "the job is cancelled");
        } else {
            tracing::info!(job.id = %job.id, "the job had come to its end before it was to be cancelled");
        }
        self.announce(job).await
    }

    async fn resume(&self, job: &StoredJob, max_spend: Option<Usd>) -> Result<(), Trouble> {
        if let Some(cap) = max_spend
            && !self.engine.store.raise_cap(job.key, cap).await?
        {
            return Err(Trouble::invalid(match job.max_spend {
                Some(_) => "max_spend may only rise: the job's own is higher",
                None => "max_spend may only rise: the job has none, and so no limit to raise",
            }));
        }
        let leads = self.engine.store.resume_job(job.key).await?;
        self.engine.works.forget(job.key);
        tracing::info!(job.id = %job.id, leads, "the job is resumed");
        self.announce(job).await
    }

    async fn announce(&self, job: &StoredJob) -> Result<(), Trouble> {
        let slices = self.engine.settings.slices_per_job;
        Ok(announce_job(&*self.engine.store, &*self.queue, job.key, slices).await?)
    }

    /// Answered by an event that the store keeps with what was decided. Asked once more by the same message,
    /// it is the same event.
    async fn activate(&self, activate: CampaignActivate, mark: &str) -> Result<(), Trouble> {
        let CampaignActivate { workspace_id: workspace, campaign_id: campaign } = activate;
        let answer = event_id(&[CampaignActivate::KIND, workspace.as_str(), campaign.as_str(), mark]);
        match self.engine.store.activate_campaign(&workspace, &campaign, Some(&answer)).await? {
            Activation::Active => tracing::info!(workspace.id = %workspace, "a campaign is active"),
            Activation::Refused { balance } => {
                tracing::info!(workspace.id = %workspace, "a campaign is refused: {balance} USD cannot pay for it");
            }
        }
        Ok(())
    }

    async fn top_up(&self, top_up: TopUp) -> Result<(), Trouble> {
        let TopUp { workspace_id: workspace, amount, reference, declined } = top_up;
        if declined {
            return self.decline(&workspace, &reference).await;
        }
        let booking = Booking { workspace: workspace.clone(), amount, reference, note: None };
        let booked = self.engine.store.top_up(booking).await.map_err(|error| match error {
            LedgerError::Conflict { .. } => {
                let problem = "ref was used before in this wallet, for another amount or kind of booking";
                Trouble::Refused(DeadReason::Conflict, problem.to_owned())
            }
            LedgerError::Insufficient { .. } | LedgerError::Unavailable(_) | LedgerError::Corrupt(_) => error.into(),
        })?;
        tracing::info!(workspace.id = %workspace, booked, "a top-up came in");
        self.paid.notify_one();
        Ok(())
    }

    /// Money that was asked for does not come.
    async fn decline(&self, workspace: &WorkspaceId, reference: &str) -> Result<(), Trouble> {
        match self.engine.store.decline_recharge(workspace, reference).await? {
            Declined::NotInFlight => {
                tracing::info!(workspace.id = %workspace, "a top-up was declined that was not asked for");
            }
            Declined::Counted => {
                tracing::info!(workspace.id = %workspace, "a recharge was declined")
            }
            Declined::TurnedOff => {
                tracing::warn!(workspace.id = %workspace, "a recharge was declined: none is asked for any more");
            }
        }
        Ok(())
    }
}

/// The sender's id of a message. One without is told by what it says: two that say the same are the same.
fn mark_of(message_id: Option<&str>, body: &[u8]) -> String {
    match message_id {
        Some(id) if !id.is_empty() => id.to_owned(),
        Some(_) | None => String::from_utf8_lossy(body).into_owned(),
    }
}

fn open(delivery: &Delivery) -> Result<Incoming, Trouble> {
    Ok(messages::read(delivery.kind.as_deref(), &delivery.routing_key, &delivery.body)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crew::fate::fate;
    use crate::crew::intake::tests::engine;
    use crate::domain::CampaignId;
    use crate::domain::Fingerprint;
    use crate::domain::JobId;
    use crate::domain::LeadId;
    use crate::domain::Run;
    use crate::domain::WaterfallName;
    use crate::jobs::JobState;
    use crate::jobs::NewJob;
    use crate::jobs::NewLead;
    use crate::jobs::Work;
    use crate::keys::WorkspaceSettings;
    use crate::ledger::Happening;
    use crate::ledger::LeadNo;
    use crate::ledger::RechargeState;
    use crate::ledger::RechargeTerms;
    use crate::queue::Fate;
    use crate::queue::MemoryQueue;
    use crate::queue::RetryAfter;
    use expect_test::expect;
    use serde_json::Value;
    use serde_json::json;
    use std::time::Duration;
    use tempfile::TempDir;

    async fn control(max_spend: Option<Usd>) -> (Control, TempDir) {
        let (engine, folder) = engine();
        let control = Control::new(engine, Arc::new(MemoryQueue::default()), Arc::default());
        take_in(&control, "job_1", max_spend).await;
        (control, folder)
    }

    /// A job of one lead.
    async fn take_in(control: &Control, id: &str, max_spend: Option<Usd>) {
        let new = NewJob {
            id: JobId::new(id),
            workspace: WorkspaceId::new("acme"),
            work: Work::Enrich(WaterfallName::new("work_email")),
            content: Fingerprint::of("job", []),
            slice_size: 2,
            campaign: None,
            max_spend,
            auto_resume: false,
            reply: None,
        };
        let store = &control.engine.store;
        let job = store.create_job(new).await.unwrap();
        let load = store.begin_load(job.key).await.unwrap().unwrap();
        let lead = NewLead { n: LeadNo(1), id: LeadId::new("1"), lead: None };
        store.load_leads(load, vec![lead]).await.unwrap();
        store.seal_job(load).await.unwrap();
    }

    async fn take(control: &Control, message: Value) -> Fate {
        take_marked(control, message, "m1").await
    }

    async fn take_marked(control: &Control, message: Value, mark: &str) -> Fate {
        let message = messages::read(None, "control", message.to_string().as_bytes()).unwrap();
        fate(control.take(message, mark).await, 0)
    }

    /// What is to be told, and under which key; from now on it is told.
    async fn happened(control: &Control) -> Vec<(String, Happening)> {
        let store = &control.engine.store;
        let taken = store.take_happenings(100, Duration::from_secs(60)).await.unwrap();
        store.forget_happenings(taken.iter().map(|stored| stored.seq).collect()).await.unwrap();
        taken.into_iter().map(|stored| (stored.key, stored.what)).collect()
    }

    async fn job(control: &Control) -> StoredJob {
        control.engine.store.find_job(&JobId::new("job_1")).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn a_cancelled_job_stays_cancelled_when_it_is_cancelled_again() {
        let (control, _folder) = control(None).await;
        for _ in 0..2 {
            let cancel = json!({"job_id": "job_1", "action": "cancel", "max_spend": null});
            assert_eq!(take(&control, cancel).await, Fate::Ack);
            assert_eq!(job(&control).await.state, JobState::Cancelled);
        }
    }

    #[tokio::test]
    async fn an_order_that_overtakes_its_job_comes_again_until_the_job_is_there() {
        let (control, _folder) = control(None).await;
        let order = |action: &str| json!({"job_id": "job_2", "action": action});
        for action in ["cancel", "resume"] {
            assert_eq!(take(&control, order(action)).await, Fate::Retry(RetryAfter::OneSecond), "{action}");
        }
        take_in(&control, "job_2", None).await;
        assert_eq!(take(&control, order("cancel")).await, Fate::Ack);
        let job = control.engine.store.find_job(&JobId::new("job_2")).await.unwrap().unwrap();
        assert_eq!(job.state, JobState::Cancelled);
    }

    #[tokio::test]
    async fn a_cap_rises_and_never_falls() {
        let (control, _folder) = control(Some(Usd::from_nanos(5_000_000_000))).await;
        let resume = |cap: &str| json!({"job_id": "job_1", "action": "resume", "max_spend": cap});
        assert_eq!(take(&control, resume("7.50")).await, Fate::Ack);
        let refused = take(&control, resume("7.49")).await;
        let told = "max_spend may only rise: the job's own is higher".to_owned();
        assert_eq!(refused, Fate::Dead(DeadReason::Invalid, told));
        let job = job(&control).await;
        assert_eq!((job.max_spend, job.run), (Some(Usd::from_nanos(7_500_000_000)), Run::FIRST));
    }

    #[tokio::test]
    async fn a_top_up_is_booked_once_and_wakes_who_resumes_jobs() {
        let (control, _folder) = control(None).await;
        let top_up = |amount: &str| json!({"workspace_id": "acme", "amount": amount, "ref": "in_1"});
        for _ in 0..2 {
            assert_eq!(take(&control, top_up("25.00")).await, Fate::Ack);
            control.paid.notified().await;
        }
        let declined = json!({"workspace_id": "acme", "amount": "5.00", "ref": "in_2", "declined": true});
        assert_eq!(take(&control, declined).await, Fate::Ack);
        assert!(matches!(take(&control, top_up("25.01")).await, Fate::Dead(DeadReason::Conflict, _)));
        let wallet = control.engine.store.balance(&WorkspaceId::new("acme")).await.unwrap().unwrap();
        assert_eq!(wallet.balance, Usd::from_nanos(25_000_000_000));
    }

    #[tokio::test]
    async fn a_campaign_is_activated_once_its_wallet_can_pay_and_each_order_has_its_own_answer() {
        let (control, _folder) = control(None).await;
        let activate = || json!({"workspace_id": "acme", "campaign_id": "cmp_1"});
        assert_eq!(take_marked(&control, activate(), "m1").await, Fate::Ack);
        let refused = happened(&control).await;
        let (workspace, campaign) = (WorkspaceId::new("acme"), "cmp_1".to_owned());
        let expected = Happening::CampaignRefused { workspace: workspace.clone(), campaign: campaign.clone() };
        assert_eq!(refused.iter().map(|(_, what)| what).collect::<Vec<_>>(), [&expected]);

        let top_up = json!({"workspace_id": "acme", "amount": "5.00", "ref": "in_1"});
        assert_eq!(take(&control, top_up).await, Fate::Ack);
        let mut keys = Vec::new();
        for mark in ["m2", "m2", "m3"] {
            assert_eq!(take_marked(&control, activate(), mark).await, Fate::Ack);
            let told = happened(&control).await;
            let expected = Happening::CampaignActivated { workspace: workspace.clone(), campaign: campaign.clone() };
            // The same order once more may be answered once more, as the same event.
            assert!(told.iter().all(|(_, what)| *what == expected), "{told:?}");
            keys.extend(told.into_iter().map(|(key, _)| key));
        }
        keys.dedup();
        assert_eq!(keys.len(), 2, "{keys:?}");
        let campaigns = control.engine.store.campaigns(&workspace).await.unwrap();
        let campaigns: Vec<_> = campaigns.iter().map(|stored| (stored.id.clone(), stored.active)).collect();
        assert_eq!(campaigns, [(CampaignId::new("cmp_1"), true)]);
    }

    #[test]
    fn a_message_without_an_id_is_known_by_what_it_says() {
        for (id, mark) in [(Some("m1"), "m1"), (Some(""), "{}"), (None, "{}")] {
            assert_eq!(mark_of(id, b"{}"), mark);
        }
    }

    #[tokio::test]
    async fn a_declined_recharge_is_answered_and_not_booked() {
        let (control, _folder) = control(None).await;
        let (store, workspace) = (&control.engine.store, WorkspaceId::new("acme"));
        let usd = |text: &str| text.parse::<Usd>().unwrap();
        let recharge = Some(RechargeTerms::usual(usd("10"), usd("25")));
        let settings = WorkspaceSettings { recharge, ..WorkspaceSettings::new() };
        store.set_workspace(&workspace, settings).await.unwrap();
        assert_eq!(store.ask_recharges().await.unwrap(), 1);
        let asked = store.recharges(&workspace, 1).await.unwrap().remove(0);
        for _ in 0..2 {
            let declined = json!({"workspace_id": "acme", "ref": asked.reference.as_str(), "declined": true});
            assert_eq!(take(&control, declined).await, Fate::Ack);
        }
        let answered = store.recharges(&workspace, 1).await.unwrap().remove(0);
        assert_eq!((answered.reference, answered.state), (asked.reference, RechargeState::Declined));
        assert_eq!(store.balance(&workspace).await.unwrap().unwrap().balance, Usd::ZERO);
    }

    #[tokio::test]
    async fn what_cannot_be_done_says_why() {
        let (control, _folder) = control(None).await;
        let mut told = String::new();
        for message in [
            json!({"job_id": "job_1", "action": "resume", "max_spend": "1"}),
            json!({"request_id": "r1", "from": "files"}),
        ] {
            let kind = message.get("request_id").map(|_| "weir.config_reload.v1");
            let message = messages::read(kind, "control", message.to_string().as_bytes()).unwrap();
            told += &format!("{:?}\n", fate(control.take(message, "m1").await, 0));
        }
        expect![[r#"
            Dead(Invalid, "max_spend may only rise: the job has none, and so no limit to raise")
            Dead(UnknownType, "a message of this type does not belong on weir.jobcontrol")
        "#]]
        .assert_eq(&told);
    }
}
