//! The kinds of value a key can have: how each is read, how it is written back, what it must be.

use crate::domain::KeyPlace;
use crate::domain::OutputCap;
use crate::domain::Usd;
use crate::waterfall::Risky;
use rust_decimal::Decimal;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use toml_edit::Item;
use url::Host;
use url::Url;

/// A kind of value. Reading says only yes or no: a mistake names the form, never what was written.
pub(super) trait Written: Sized {
    /// Ends the sentence "must be ...".
    const FORM: &'static str;
    /// Names where a secret lies; shown as `***`.
    const SECRET: bool = false;

    /// From the text between the quotes, or of an environment variable.
    fn from_text(text: &str) -> Option<Self>;

    /// From the file, where most kinds are text in quotes.
    fn from_item(item: &Item) -> Option<Self> {
        item.as_str().and_then(Self::from_text)
    }

    /// As JSON, which for these kinds is also TOML. Equal values are written equally; never a secret.
    fn to_json(&self) -> Value;
}

impl Written for String {
    const FORM: &'static str = "text in quotes";

    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn to_json(&self) -> Value {
        Value::from(self.as_str())
    }
}

impl Written for bool {
    const FORM: &'static str = "true or false, without quotes";

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn from_item(item: &Item) -> Option<Self> {
        item.as_bool()
    }

    fn to_json(&self) -> Value {
        Value::from(*self)
    }
}

impl Written for u32 {
    const FORM: &'static str = "a whole number, without quotes";

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn from_item(item: &Item) -> Option<Self> {
        Self::try_from(item.as_integer()?).ok()
    }

    fn to_json(&self) -> Value {
        Value::from(*self)
    }
}

impl Written for Vec<String> {
    const FORM: &'static str = "a list of texts, [\"a\", \"b\"] (in the environment: a,b)";

    fn from_text(text: &str) -> Option<Self> {
        Some(text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect())
    }

    fn from_item(item: &Item) -> Option<Self> {
        item.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect()
    }

    fn to_json(&self) -> Value {
        Value::from(self.as_slice())
    }
}

/// The units of a duration in milliseconds, longest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Written for Duration {
    const FORM: &'static str = "a duration in quotes: \"250ms\", \"30s\", \"10m\", \"24h\" or \"30d\"";

    fn from_text(text: &str) -> Option<Self> {
        let (count, unit) = text.split_at_checked(text.find(|c: char| !c.is_ascii_digit())?)?;
        let (_, millis) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        count.parse::<u64>().ok()?.checked_mul(millis).map(Self::from_millis)
    }

    /// In the longest unit that leaves no rest.
    fn to_json(&self) -> Value {
        let millis = u64::try_from(self.as_millis()).unwrap_or(u64::MAX);
        let whole = UNITS.into_iter().find(|(_, unit)| millis > 0 && millis.is_multiple_of(*unit));
        let (name, unit) = whole.unwrap_or(("s", 1_000));
        Value::from(format!("{}{name}", millis / unit))
    }
}

impl Written for Usd {
    const FORM: &'static str = "dollars in quotes, like \"12.50\": not negative, at most nine digits after the point";

    fn from_text(text: &str) -> Option<Self> {
        text.parse::<Self>().ok().filter(|usd| !usd.is_negative())
    }

    fn to_json(&self) -> Value {
        self.to_decimal().to_json()
    }
}

impl Written for Decimal {
    const FORM: &'static str = "a price in quotes, like \"0.0125\": not negative, at most nine digits after the point";

    fn from_text(text: &str) -> Option<Self> {
        Usd::from_text(text).map(Usd::to_decimal)
    }

    fn to_json(&self) -> Value {
        Value::from(self.normalize().to_string())
    }
}

impl Written for Risky {
    const FORM: &'static str = "\"keep_looking\" or \"accept\"";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "keep_looking" => Some(Self::KeepLooking),
            "accept" => Some(Self::Accept),
            _ => None,
        }
    }

    fn to_json(&self) -> Value {
        Value::from(match self {
            Self::KeepLooking => "keep_looking",
            Self::Accept => "accept",
        })
    }
}

impl Written for KeyPlace {
    const FORM: &'static str = "\"authorization\", \"x-api-key\" or \"api-key\"";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "authorization" => Some(Self::Bearer),
            "x-api-key" => Some(Self::XApiKey),
            "api-key" => Some(Self::ApiKey),
            _ => None,
        }
    }

    fn to_json(&self) -> Value {
        match self {
            // Never in force: the kinds name their usual header.
            Self::Usual => Value::Null,
            Self::Bearer => Value::from("authorization"),
            Self::XApiKey => Value::from("x-api-key"),
            Self::ApiKey => Value::from("api-key"),
        }
    }
}

impl Written for OutputCap {
    const FORM: &'static str = "\"max_completion_tokens\" or \"max_tokens\"";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "max_completion_tokens" => Some(Self::MaxCompletionTokens),
            "max_tokens" => Some(Self::MaxTokens),
            _ => None,
        }
    }

    fn to_json(&self) -> Value {
        Value::from(match self {
            Self::MaxCompletionTokens => "max_completion_tokens",
            Self::MaxTokens => "max_tokens",
        })
    }
}

/// The version of an API that is named by its day.
#[derive(Clone)]
pub(super) struct ApiVersion(pub(super) String);

impl Written for ApiVersion {
    const FORM: &'static str = "a day in quotes, like \"2023-06-01\"";

    fn from_text(text: &str) -> Option<Self> {
        let has_form = text.split('-').map(str::len).eq([4, 2, 2]);
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        (has_form && is_plain).then(|| Self(text.to_owned()))
    }

    fn to_json(&self) -> Value {
        Value::from(self.0.as_str())
    }
}

impl Written for Option<SocketAddr> {
    const FORM: &'static str = "an address and port in quotes, like \"127.0.0.1:9464\", or \"\" for off";

    fn from_text(text: &str) -> Option<Self> {
        if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) }
    }

    fn to_json(&self) -> Value {
        Value::from(self.map(|listen| listen.to_string()).unwrap_or_default())
    }
}

/// Where a provider is reached; keys are sent there, so it is encrypted or on this machine.
#[derive(Clone)]
pub(super) struct BaseUrl(pub(super) String);

impl Written for BaseUrl {
    const FORM: &'static str =
        "an https address (http to loopback only) in quotes, without user, password, query or fragment";

    fn from_text(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let reachable = match url.scheme() {
            "https" => true,
            "http" => is_loopback(&url.host()?),
            _ => false,
        };
        let user = !url.username().is_empty() || url.password().is_some();
        let extra = url.query().is_some() || url.fragment().is_some();
        (reachable && !user && !extra).then(|| Self(url.as_str().trim_end_matches('/').to_owned()))
    }

    fn to_json(&self) -> Value {
        Value::from(self.0.as_str())
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
    }
}
