//! A worker's body: alive, frozen, cut off or dead. Whatever the worker does to the outside passes here.

use crate::domain::WorkerId;
use crate::ledger::Boundary;
use crate::store::memory::Fate;
use crate::store::memory::Reaching;
use crate::store::memory::Seam;
use crate::worker::simulation::faults::Trouble;
use crate::worker::simulation::stage::Stage;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::time::Duration;
use tokio::time::Instant;
use tokio::time::sleep_until;

/// Where a worker's work leaves a mark; it can die at each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    /// Before a commit: before a hold, or before a settlement.
    BeforeCommit,
    /// After a commit that it never hears of.
    Committed,
    /// With leave to call, before the call.
    BeforeSend,
    /// After the request has left.
    Sent,
    /// With the answer in hand, not yet committed.
    Answered,
    /// After a result has been told.
    Told,
    /// Before a delivery is acknowledged.
    BeforeAck,
}

impl Point {
    pub(super) const ALL: [Self; 7] = [
        Self::BeforeCommit,
        Self::Committed,
        Self::BeforeSend,
        Self::Sent,
        Self::Answered,
        Self::Told,
        Self::BeforeAck,
    ];
}

pub(super) struct Body {
    pub(super) name: WorkerId,
    pub(super) stage: Arc<Stage>,
    vitals: Mutex<Vitals>,
}

#[derive(Default)]
struct Vitals {
    is_dead: bool,
    frozen_until: Option<Instant>,
    cut_until: Option<Instant>,
    doom: Option<(Point, u32)>,
}

impl Body {
    pub(super) fn new(name: WorkerId, stage: Arc<Stage>) -> Self {
        Self { name, stage, vitals: Mutex::default() }
    }

    pub(super) fn kill(&self) {
        self.vitals().is_dead = true;
        self.stage.note_death(&self.name);
    }

    /// It dies when it passes `point` for the `nth` time from now.
    pub(super) fn doom(&self, point: Point, nth: u32) {
        self.vitals().doom = Some((point, nth.max(1)));
    }

    pub(super) fn freeze(&self, time: Duration) {
        self.vitals().frozen_until = Some(Instant::now() + time);
        self.stage.note_frost(&self.name);
    }

    /// Cuts it off from the queue.
    pub(super) fn cut(&self, time: Duration) {
        self.vitals().cut_until = Some(Instant::now() + time);
    }

    pub(super) fn is_dead(&self) -> bool {
        self.vitals().is_dead
    }

    /// Until when nothing gets out of it, if it is frozen.
    pub(super) fn frozen_until(&self) -> Option<Instant> {
        self.vitals().frozen_until.filter(|until| *until > Instant::now())
    }

    /// Until when it does not hear of the queue, nor the queue of it.
    pub(super) fn deaf_until(&self) -> Option<Instant> {
        let cut_until = self.vitals().cut_until.filter(|until| *until > Instant::now());
        cut_until.max(self.frozen_until())
    }

    /// Does the worker live past this point?
    pub(super) fn lives_past(&self, point: Point) -> bool {
        let mut vitals = self.vitals();
        if let Some((fatal, left)) = &mut vitals.doom
            && *fatal == point
        {
            *left = left.saturating_sub(1);
            if *left == 0 {
                vitals.is_dead = true;
                self.stage.note_death(&self.name);
            }
        }
        !vitals.is_dead
    }

    /// Waits as long as it is frozen; for ever, when it is dead.
    pub(super) async fn thaw(&self) {
        while let Some(until) = self.frozen_until() {
            sleep_until(until).await;
        }
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
    }

    fn vitals(&self) -> MutexGuard<'_, Vitals> {
        self.vitals.lock().unwrap()
    }

    /// How long a commit takes, and how it goes.
    fn draw_fate(&self) -> Fate {
        let frozen = self.frozen_until().map_or(Duration::ZERO, |until| until - Instant::now());
        let mut dice = self.stage.dice();
        let delay = frozen + dice.ms(0, 3);
        match self.stage.trouble() {
            Some(Trouble::Fails) if dice.percent(30) => Fate::Fails(delay),
            Some(Trouble::Unsure) if dice.percent(60) => Fate::CommitsTwice(delay),
            Some(Trouble::Slow) if dice.percent(50) => Fate::Commits(delay + dice.ms(200, 5_000)),
            Some(Trouble::Fails | Trouble::Unsure | Trouble::Slow) | None => Fate::Commits(delay),
        }
    }
}

impl Seam for Body {
    fn reach(&self) -> Reaching<'_> {
        Box::pin(self.thaw())
    }

    fn before(&self, boundary: &Boundary) -> Fate {
        if !self.lives_past(Point::BeforeCommit) {
            return Fate::NeverAsked;
        }
        let fate = self.draw_fate();
        self.stage.note_boundary(&self.name, boundary, fate);
        fate
    }

    fn after(&self) -> bool {
        self.lives_past(Point::Committed)
    }
}

/// The seam of whoever has no faults: the one who sets up the world, and the sweep.
pub(super) struct Whole;

impl Seam for Whole {
    fn reach(&self) -> Reaching<'_> {
        Box::pin(std::future::ready(()))
    }

    fn before(&self, _: &Boundary) -> Fate {
        Fate::Commits(Duration::ZERO)
    }

    fn after(&self) -> bool {
        true
    }
}

/// Where a dead worker's work ends.
pub(super) async fn nowhere<T>() -> T {
    std::future::pending().await
}
