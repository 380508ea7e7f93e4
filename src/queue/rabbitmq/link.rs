//! Connecting, hanging up, and the pauses between tries.

use crate::queue::rabbitmq::address::Address;
use crate::queue::rabbitmq::error::BrokerError;
use lapin::Channel;
use lapin::Connection;
use lapin::ConnectionProperties;
use lapin::options::ConfirmSelectOptions;
use std::hash::BuildHasher;
use std::hash::RandomState;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio::time::sleep;
use tokio::time::timeout;

/// How often channels and connections are looked at: not every loss shows itself.
pub(super) const WATCH: Duration = Duration::from_secs(1);
/// A peer that does not answer the goodbye is left alone after this.
const GOODBYE_WITHIN: Duration = Duration::from_secs(2);

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// What held for so long was well: the next pause is a short one again.
const WELL_AFTER: Duration = Duration::from_secs(30);

/// How a connection to the broker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connectivity {
    /// It works.
    Connected,
    /// It was lost and is being made anew.
    Reconnecting,
    /// The broker is short of memory or disk and takes nothing in.
    Blocked,
}

/// Connects once, under `name`.
pub(super) async fn connect(address: &Address, name: &str) -> Result<Connection, BrokerError> {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let error = match timeout(address.connect_within(), Connection::connect_uri(address.uri(), properties)).await {
        Ok(Ok(connection)) => return Ok(connection),
        Ok(Err(error)) => BrokerError::of(&error),
        Err(_) => BrokerError::Unreachable("no answer in time".to_owned()),
    };
    if let BrokerError::Unreachable(why) = error {
        return Err(BrokerError::Unreachable(format!("{}: {why}", address.shown())));
    }
    Err(error)
}

/// A channel whose publishes are confirmed.
pub(super) async fn open_confirming(connection: &Connection) -> Result<Channel, BrokerError> {
    let channel = connection.create_channel().await.map_err(|error| BrokerError::of(&error))?;
    channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(|error| BrokerError::of(&error))?;
    Ok(channel)
}

/// Says goodbye to the broker; what comes of it changes nothing any more.
pub(super) async fn hang_up(connection: &Connection) {
    if let Ok(Err(error)) = timeout(GOODBYE_WITHIN, connection.close(200, "OK".into())).await {
        tracing::debug!("hanging up: {error}");
    }
}

/// The same for a channel.
pub(super) async fn close_channel(channel: &Channel) {
    if let Ok(Err(error)) = timeout(GOODBYE_WITHIN, channel.close(200, "OK".into())).await {
        tracing::debug!("closing a channel: {error}");
    }
}

/// One connection for many channels, made when it is asked for and gone.
pub(super) struct Link {
    address: Address,
    name: String,
    kept: Mutex<Option<Arc<Connection>>>,
}

impl Link {
    pub(super) fn new(address: Address, name: String) -> Self {
        Self { address, name, kept: Mutex::default() }
    }

    /// The connection. Who comes while it is made waits for it.
    pub(super) async fn connection(&self) -> Result<Arc<Connection>, BrokerError> {
        let mut kept = self.kept.lock().await;
        if let Some(connection) = kept.as_ref().filter(|connection| connection.status().connected()) {
            return Ok(Arc::clone(connection));
        }
        let connection = Arc::new(connect(&self.address, &self.name).await?);
        *kept = Some(Arc::clone(&connection));
        Ok(connection)
    }

    pub(super) async fn close(&self) {
        let kept = self.kept.lock().await.take();
        if let Some(connection) = kept {
            hang_up(&connection).await;
        }
    }
}

/// Pauses between tries: 200 ms, doubled up to 10 s, with a random part left out so that workers do
/// not come back all at once.
pub(super) struct Pauses {
    next: Duration,
    ended: Option<Instant>,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { next: FIRST_PAUSE, ended: None }
    }
}

impl Pauses {
    pub(super) async fn pause(&mut self) {
        if self.ended.is_some_and(|ended| ended.elapsed() > WELL_AFTER) {
            self.next = FIRST_PAUSE;
        }
        let pause = shorten(self.next, RandomState::new().hash_one(()));
        self.next = self.next.saturating_mul(2).min(LONGEST_PAUSE);
        sleep(pause).await;
        self.ended = Some(Instant::now());
    }
}

/// Between half of `pause` and all of it.
fn shorten(pause: Duration, random: u64) -> Duration {
    let half = pause / 2;
    let span = u64::try_from(half.as_millis()).unwrap_or(u64::MAX).max(1);
    half + Duration::from_millis(random % span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_up_to_ten_seconds_and_shrink_once_all_was_well() {
        let mut pauses = Pauses::default();
        let mut lengths = Vec::new();
        for _ in 0..8 {
            let start = Instant::now();
            pauses.pause().await;
            lengths.push(start.elapsed());
        }
        for (length, longest_ms) in lengths.iter().zip([200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]) {
            let longest = Duration::from_millis(longest_ms);
            assert!(*length >= longest / 2 && *length <= longest, "{length:?} of {longest:?}");
        }
        sleep(WELL_AFTER * 2).await;
        let start = Instant::now();
        pauses.pause().await;
        assert!(start.elapsed() <= FIRST_PAUSE);
    }

    #[test]
    fn a_pause_is_shortened_by_half_at_most() {
        let whole = Duration::from_millis(200);
        assert_eq!(shorten(whole, 0), Duration::from_millis(100));
        assert_eq!(shorten(whole, 99), Duration::from_millis(199));
        assert_eq!(shorten(whole, 100), Duration::from_millis(100));
    }
}
