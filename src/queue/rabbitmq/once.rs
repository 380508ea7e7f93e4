//! One message from a command, over a connection of its own.

use crate::queue::NotPublished;
use crate::queue::Outgoing;
use crate::queue::rabbitmq::address::Address;
use crate::queue::rabbitmq::error::NOT_FOUND;
use crate::queue::rabbitmq::error::PublishError;
use crate::queue::rabbitmq::error::refusal;
use crate::queue::rabbitmq::lane::Answer;
use crate::queue::rabbitmq::lane::send;
use crate::queue::rabbitmq::link::connect;
use crate::queue::rabbitmq::link::hang_up;
use crate::queue::rabbitmq::link::open_confirming;
use crate::queue::rabbitmq::message::Parcel;
use lapin::Channel;
use lapin::Confirmation;
use secrecy::SecretString;
use std::time::Duration;
use tokio::time::timeout;

/// For one confirmation.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(10);

/// Publishes one message, confirmed and routed. Declares nothing: where no worker has declared the
/// exchange, nobody is bound.
///
/// # Errors
/// When the broker cannot be used, or has not taken the message.
pub async fn publish_once(url: &SecretString, message: Outgoing) -> Result<(), PublishError> {
    let address = Address::parse(url)?;
    let parcel = Parcel::pack(message).ok_or(NotPublished::Unroutable)?;
    let connection = connect(&address, "weir/submit").await?;
    let published = match open_confirming(&connection).await {
        Ok(channel) => publish_alone(&channel, parcel).await.map_err(PublishError::from),
        Err(error) => Err(error.into()),
    };
    hang_up(&connection).await;
    published
}

/// Publishes while nothing else is on its way over `channel`, so that what comes back is this message.
pub(super) async fn publish_alone(channel: &Channel, parcel: Parcel) -> Answer {
    match timeout(CONFIRMED_WITHIN, send(channel, parcel)).await {
        Ok(Ok(Confirmation::Ack(None))) => Ok(()),
        Ok(Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)))) => Err(NotPublished::Unroutable),
        Ok(Ok(Confirmation::Nack(None) | Confirmation::NotRequested)) => {
            Err(NotPublished::Unconfirmed("it refused the message".to_owned()))
        }
        Ok(Err(error)) if matches!(refusal(&error), Some((NOT_FOUND, _))) => Err(NotPublished::Unroutable),
        Ok(Err(error)) => Err(NotPublished::Unconfirmed(error.to_string())),
        Err(_) => Err(NotPublished::Unconfirmed("it did not confirm in time".to_owned())),
    }
}
