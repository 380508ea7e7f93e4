//! The pump's tasks, and what each is at: one that breaks is put in order by that.

use crate::queue::Received;
use crate::worker::engine::Engine;
use crate::worker::parts::Part;
use crate::worker::slice::SliceInHand;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::task::Id;
use tokio::task::JoinError;
use tokio::task::JoinSet;

/// The tasks that have not ended; they are cut off when this is dropped.
#[derive(Default)]
pub(super) struct Running {
    tasks: JoinSet<Part>,
    doing: HashMap<Id, Doing>,
}

/// What a task is at.
pub(super) enum Doing {
    Claiming(Received),
    /// Works a lead of the slice, or tells its result again.
    Working(Arc<SliceInHand>),
    HandingOn(Arc<SliceInHand>),
    Concluding(Arc<SliceInHand>),
}

/// A task that has ended.
pub(super) enum Ended {
    Well(Part),
    /// By a mistake in this program.
    Broken(Option<Doing>, JoinError),
}

impl Running {
    pub(super) fn spawn(&mut self, doing: Doing, task: impl Future<Output = Part> + Send + 'static) {
        let id = self.tasks.spawn(task).id();
        self.doing.insert(id, doing);
    }

    /// The next that ends; `None` when there is none. Loses nothing when it is dropped.
    pub(super) async fn next(&mut self) -> Option<Ended> {
        Some(match self.tasks.join_next_with_id().await? {
            Ok((id, part)) => {
                self.doing.remove(&id);
                Ended::Well(part)
            }
            Err(broken) => Ended::Broken(self.doing.remove(&broken.id()), broken),
        })
    }

    /// A part of the slice has ended, or will not be started: after the last one it is concluded.
    pub(super) fn finish_part(&mut self, engine: &Arc<Engine>, slice: &Arc<SliceInHand>) {
        if slice.is_last() {
            self.conclude(engine, slice);
        }
    }

    pub(super) fn conclude(&mut self, engine: &Arc<Engine>, slice: &Arc<SliceInHand>) {
        let doing = Doing::Concluding(Arc::clone(slice));
        let (engine, slice) = (Arc::clone(engine), Arc::clone(slice));
        self.spawn(doing, async move {
            let settlement = slice.conclude(&engine).await;
            Part::Concluded(slice, settlement)
        });
    }
}
