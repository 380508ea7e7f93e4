//! Where the broker is: read once, its password never shown.

use crate::queue::rabbitmq::error::BrokerError;
use lapin::uri::AMQPUri;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use std::time::Duration;
use url::Host;
use url::Url;

/// Seconds between heartbeats unless the address says otherwise: a dead peer is seen after twice that.
const HEARTBEAT_S: u16 = 10;
/// For connecting unless the address says otherwise.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// AMQP's longest name, in bytes; lapin panics at more.
const LONGEST_VHOST: usize = 255;

/// The broker's address with its login, and so without `Debug`.
#[derive(Clone)]
pub(super) struct Address(AMQPUri);

impl Address {
    pub(super) fn parse(url: &SecretString) -> Result<Self, BrokerError> {
        let text = url.expose_secret();
        let parsed = Url::parse(text).map_err(|error| bad(&error.to_string()))?;
        if !matches!(parsed.scheme(), "amqp" | "amqps") || parsed.cannot_be_a_base() {
            return Err(bad("it must begin with amqp:// or amqps://"));
        }
        let after_host = [Some(parsed.path()), parsed.query(), parsed.fragment()];
        if after_host.into_iter().flatten().any(|part| part.contains('@')) {
            return Err(bad("in a login, write / as %2F, ? as %3F, # as %23 and @ as %40"));
        }
        let unreadable = "its login, virtual host or parameters cannot be read; \
                          heartbeat, connection_timeout, frame_max and channel_max are numbers";
        let mut uri: AMQPUri = text.parse().map_err(|_: String| bad(unreadable))?;
        if uri.vhost.len() > LONGEST_VHOST {
            return Err(bad("its virtual host is longer than 255 bytes"));
        }
        // lapin's parser takes an IPv6 address for no host at all, and would connect to localhost.
        if let Some(Host::Ipv6(host)) = parsed.host() {
            uri.authority.host = host.to_string();
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT_S);
        Ok(Self(uri))
    }

    /// For lapin, with the password.
    pub(super) fn uri(&self) -> AMQPUri {
        self.0.clone()
    }

    /// For people: host and port.
    pub(super) fn shown(&self) -> String {
        format!("{}:{}", self.0.authority.host, self.0.authority.port)
    }

    /// How long connecting may take; lapin itself does not look at this parameter.
    pub(super) fn connect_within(&self) -> Duration {
        self.0.query.connection_timeout.map_or(CONNECT_WITHIN, Duration::from_millis)
    }
}

fn bad(why: &str) -> BrokerError {
    BrokerError::BadAddress(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::Expect;
    use expect_test::expect;

    fn parse(url: &str) -> Result<Address, BrokerError> {
        Address::parse(&SecretString::from(url))
    }

    fn check(url: &str, read: Expect) {
        read.assert_eq(&match parse(url) {
            Ok(address) => {
                let uri = address.uri();
                let heartbeat = uri.query.heartbeat.unwrap();
                format!("{} {} heartbeat {heartbeat} in {:?}", address.shown(), uri.vhost, address.connect_within())
            }
            Err(error) => error.to_string(),
        });
    }

    #[test]
    fn what_an_address_leaves_out_has_defaults() {
        check("amqp://guest:guest@127.0.0.1:5672/%2f", expect!["127.0.0.1:5672 / heartbeat 10 in 5s"]);
        check("amqps://broker.test", expect!["broker.test:5671 / heartbeat 10 in 5s"]);
        check(
            "amqp://broker.test/leads?heartbeat=30&connection_timeout=1500",
            expect!["broker.test:5672 leads heartbeat 30 in 1.5s"],
        );
        check("amqp://[::1]:5673/%2f", expect!["::1:5673 / heartbeat 10 in 5s"]);
    }

    #[test]
    fn what_cannot_be_understood_is_told() {
        check("broker.test:5672", expect!["broker.url: it must begin with amqp:// or amqps://"]);
        check("http://broker.test", expect!["broker.url: it must begin with amqp:// or amqps://"]);
        check("", expect!["broker.url: relative URL without a base"]);
        check("amqp://broker.test:port", expect!["broker.url: invalid port number"]);
        check(
            "amqp://broker.test/?heartbeat=often",
            expect![
                "broker.url: its login, virtual host or parameters cannot be read; heartbeat, connection_timeout, frame_max and channel_max are numbers"
            ],
        );
    }

    #[test]
    fn the_password_is_in_no_error() {
        for url in [
            "amqp:weir:canary@broker.test",
            "amqp://weir:canary@broker.test:99999",
            "amqp://weir:canary%ff@broker.test",
            "amqp://weir:1/canary@broker.test",
            "amqp://weir:1?canary@broker.test",
            "amqp://weir:1#canary@broker.test",
            "canary://weir:canary@broker.test",
        ] {
            let error = parse(url).err().unwrap();
            assert!(!format!("{error} {error:?}").contains("canary"), "{url}: {error}");
        }
    }
}
