//! Why the broker could not be used, in weir's words.

use crate::queue::NotPublished;
use lapin::ErrorKind;

/// AMQP's reply codes, as far as they are told apart.
pub(super) const ACCESS_REFUSED: u16 = 403;
pub(super) const NOT_FOUND: u16 = 404;
pub(super) const PRECONDITION_FAILED: u16 = 406;
const NOT_ALLOWED: u16 = 530;

/// Why the broker cannot be used. No variant holds a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// The address cannot be understood: bad configuration.
    #[error("broker.url: {0}")]
    BadAddress(String),
    /// A queue or exchange is there with other arguments than weir's: bad configuration.
    #[error("the broker has {queue}, but {detail}")]
    Topology {
        /// Its name.
        queue: String,
        /// Which argument, what it is and what it must be.
        detail: String,
    },
    /// The broker refuses the login, the virtual host, or what was asked for: bad configuration.
    #[error("the broker refuses: {0}")]
    Refused(String),
    /// Nobody answers, or the connection was lost: try again.
    #[error("the broker cannot be reached: {0}")]
    Unreachable(String),
}

/// Why a command's message was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The broker could not be used.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// It was used, and did not take the message.
    #[error(transparent)]
    NotPublished(#[from] NotPublished),
    /// A dead letter that cannot be sent again.
    #[error("it does not say which queue it came from")]
    NoOrigin,
}

impl BrokerError {
    /// Can the same succeed later, with the configuration as it is?
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::BadAddress(_) | Self::Topology { .. } | Self::Refused(_) => false,
        }
    }

    /// What the caller does about an error of lapin's.
    pub(super) fn of(error: &lapin::Error) -> Self {
        match refusal(error) {
            Some((ACCESS_REFUSED | NOT_ALLOWED, text)) => Self::Refused(text.to_owned()),
            Some(_) | None => Self::Unreachable(error.to_string()),
        }
    }
}

/// The broker's reply code and text, when it was the broker that closed channel or connection.
pub(super) fn refusal(error: &lapin::Error) -> Option<(u16, &str)> {
    if let ErrorKind::ProtocolError(told) = error.kind() {
        Some((told.get_id(), told.get_message().as_str()))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::protocol::AMQPError;
    use lapin::protocol::AMQPHardError;
    use lapin::protocol::AMQPSoftError;

    #[test]
    fn only_what_a_person_must_put_right_is_not_tried_again() {
        let refused =
            |kind, text: &str| lapin::Error::from(ErrorKind::ProtocolError(AMQPError::new(kind, text.into())));
        let vhost = refused(AMQPHardError::NOTALLOWED.into(), "NOT_ALLOWED - vhost x not found");
        let login = refused(AMQPSoftError::ACCESSREFUSED.into(), "ACCESS_REFUSED - Login was refused");
        let forced = refused(AMQPHardError::CONNECTIONFORCED.into(), "CONNECTION_FORCED - broker forced it");
        assert_eq!(BrokerError::of(&vhost), BrokerError::Refused("NOT_ALLOWED - vhost x not found".to_owned()));
        assert!(!BrokerError::of(&login).is_transient());
        assert!(BrokerError::of(&forced).is_transient());
        assert!(BrokerError::of(&ErrorKind::MissingHeartbeatError.into()).is_transient());
    }
}
