//! Can this worker take work now?

use crate::metrics;
use crate::metrics::Readiness;
use crate::queue::rabbitmq::Broker;
use crate::queue::rabbitmq::Connectivity;
use crate::worker::Tasks;

/// Asked by `/readyz`.
pub(super) struct Ready {
    broker: Broker,
    tasks: Tasks,
}

impl Ready {
    pub(super) const fn new(broker: Broker, tasks: Tasks) -> Self {
        Self { broker, tasks }
    }
}

impl Readiness for Ready {
    fn ready(&self) -> Result<(), String> {
        let health = self.broker.health();
        metrics::amqp_blocked(health.publishing == Connectivity::Blocked);
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
