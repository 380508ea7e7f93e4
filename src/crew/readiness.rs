//! Can this worker take work now?

use crate::metrics;
use crate::metrics::Readiness;
use crate::queue::rabbitmq::Broker;
use crate::queue::rabbitmq::Connectivity;
use crate::worker::Tasks;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Between two looks at the broker.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Asked by `/readyz`.
pub(super) struct Ready {
    broker: Broker,
    tasks: Tasks,
}

impl Ready {
    pub(super) const fn new(broker: Broker, tasks: Tasks) -> Self {
        Self { broker, tasks }
    }

    /// Shows whether the broker blocks, until a stop.
    pub(super) async fn watch(self: Arc<Self>) {
        while !self.tasks.is_stopping() {
            metrics::amqp_blocked(self.broker.health().publishing == Connectivity::Blocked);
            tokio::select! {
                () = self.tasks.stopping() => {}
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }
}

impl Readiness for Ready {
    fn ready(&self) -> Result<(), String> {
        let health = self.broker.health();
        if self.tasks.is_stopping() {
            return Err("draining".to_owned());
        }
        match (health.publishing, health.consuming) {
            (Connectivity::Connected, Connectivity::Connected) => Ok(()),
            (Connectivity::Blocked, _) => Err("the broker is short of memory or disk, and blocks".to_owned()),
            (Connectivity::Reconnecting, _) | (_, Connectivity::Reconnecting | Connectivity::Blocked) => {
                Err("the broker is away".to_owned())
            }
        }
    }
}
