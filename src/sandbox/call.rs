//! A call as a vendor sees it.

use axum::extract::Query;
use axum::http::Method;
use axum::http::request::Parts;
use serde::Deserialize;
use serde::Deserializer;
use std::fmt;
use std::ops::Deref;

/// One call, read whole.
pub(super) struct Call<'a> {
    parts: &'a Parts,
    body: &'a [u8],
    /// What follows the vendor's base path, without slashes before it.
    pub(super) path: &'a str,
    /// The query string; of a POST usually empty.
    pub(super) parameters: Parameters,
    /// The key; empty when there is none.
    pub(super) key: String,
    /// What the vendor is to refuse it with.
    pub(super) trouble: Option<Trouble>,
}

/// Every query parameter of the two vendors that use any; empty when absent.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Parameters {
    pub(super) api_key: String,
    pub(super) api: String,
    pub(super) email: String,
    pub(super) ip_address: String,
    pub(super) start_date: String,
    pub(super) end_date: String,
}

/// Why a call is not answered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trouble {
    /// It carries no key.
    MissingKey,
    /// Its key is not known.
    BadKey,
    /// Its account is empty.
    NoCredits,
    /// Its account is suspended.
    Paused,
    /// Too many calls; with the seconds to wait, if a test has set them.
    Throttled(Option<u64>),
    /// The vendor's own internal error.
    Failed,
    /// What stands in front of the vendor answers in HTML, with this status.
    Outage(u16),
}

/// A text of a JSON body; null and absent are empty, as most of the vendors take them.
#[derive(Default)]
pub(super) struct Text(String);

impl<'a> Call<'a> {
    pub(super) fn new(parts: &'a Parts, path: &'a str, body: &'a [u8]) -> Self {
        let parameters = match parts.uri.query() {
            Some(_) => Query::try_from_uri(&parts.uri).map(|Query(parameters)| parameters).unwrap_or_default(),
            None => Parameters::default(),
        };
        Self { parts, body, path: path.trim_start_matches('/'), parameters, key: String::new(), trouble: None }
    }

    /// GET or POST, and the path: what a vendor routes by.
    pub(super) fn route(&self) -> (&'a str, &'a str) {
        (self.parts.method.as_str(), self.path)
    }

    pub(super) fn is_post(&self) -> bool {
        self.parts.method == Method::POST
    }

    /// A header as text; empty when absent.
    pub(super) fn header(&self, name: &str) -> &'a str {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The key after `Bearer`; empty when there is none.
    pub(super) fn bearer(&self) -> &'a str {
        self.header("authorization").strip_prefix("Bearer ").unwrap_or_default().trim()
    }

    /// The JSON body, if it has this form.
    pub(super) fn json<T: Deserialize<'a>>(&self) -> Option<T> {
        serde_json::from_slice(self.body).ok()
    }
}

impl Trouble {
    /// What a key's text asks for; the words are in the room's doc.
    pub(super) fn of_key(key: &str) -> Option<Self> {
        let scenes = [
            ("bad-key", Self::BadKey),
            ("no-credits", Self::NoCredits),
            ("paused", Self::Paused),
            ("throttled", Self::Throttled(None)),
        ];
        if key.is_empty() {
            return Some(Self::MissingKey);
        }
        scenes.into_iter().find(|(word, _)| key.contains(word)).map(|(_, trouble)| trouble)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(|text| Self(text.unwrap_or_default()))
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}
