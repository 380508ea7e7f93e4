//! A vendor's answer, with what it billed.

use crate::domain::Tokens;
use crate::sandbox::hash::Hash;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::Response;
use rust_decimal::Decimal;
use std::borrow::Cow;
use std::fmt;

/// What a call was for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    Find,
    Verify,
    Scrape,
    Write,
    /// Reading an answer that came later.
    Read,
    /// A balance, a statistic or a list of models.
    Account,
    /// No such path.
    Nothing,
}

/// Vendor credits, in thousandths: the finest price is 0.1 of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Credits(u64);

/// A vendor's answer, with what it billed.
pub(super) struct Answer {
    pub(super) purpose: Purpose,
    /// Provider, purpose and inputs, in one number.
    pub(super) question: u64,
    pub(super) status: u16,
    pub(super) credits: Credits,
    /// Tokens billed; none but by a model.
    pub(super) tokens: Tokens,
    /// The model that they are billed for; empty without one.
    pub(super) model: String,
    /// Does it answer the question (and not refuse it)?
    pub(super) is_answer: bool,
    media: &'static str,
    headers: HeaderMap,
    body: Cow<'static, str>,
}

impl Answer {
    /// JSON with status 200 that bills nothing.
    pub(super) fn json(purpose: Purpose, body: impl Into<Cow<'static, str>>) -> Self {
        Self {
            purpose,
            question: 0,
            status: 200,
            credits: Credits::NONE,
            tokens: Tokens::default(),
            model: String::new(),
            is_answer: false,
            media: "application/json",
            headers: HeaderMap::new(),
            body: body.into(),
        }
    }

    /// The HTML page of whatever stands in front of a vendor.
    pub(super) fn page(purpose: Purpose, status: u16) -> Self {
        let body = format!("<!DOCTYPE html><html><body><h1>{status}</h1></body></html>");
        Self::json(purpose, body).with_status(status).with_media("text/html; charset=UTF-8")
    }

    /// With another status.
    #[must_use]
    pub(super) fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// With another content type.
    #[must_use]
    pub(super) fn with_media(self, media: &'static str) -> Self {
        Self { media, ..self }
    }

    /// To this question.
    #[must_use]
    pub(super) fn to(self, question: Hash) -> Self {
        Self { question: question.value(), ..self }
    }

    /// It answers the question, at this price.
    #[must_use]
    pub(super) fn billed(self, credits: Credits) -> Self {
        Self { credits, is_answer: true, ..self }
    }

    /// It answers the question, for these tokens of a model.
    #[must_use]
    pub(super) fn metered(self, model: &str, tokens: Tokens) -> Self {
        Self { model: model.to_owned(), tokens, is_answer: true, ..self }
    }

    /// With a header, its name in lower case.
    #[must_use]
    pub(super) fn with_header(mut self, name: &'static str, value: impl Into<HeaderValue>) -> Self {
        self.headers.insert(HeaderName::from_static(name), value.into());
        self
    }

    /// With headers whose values never change.
    #[must_use]
    pub(super) fn with_headers(self, headers: &[(&'static str, &'static str)]) -> Self {
        headers.iter().fold(self, |answer, &(name, value)| answer.with_header(name, HeaderValue::from_static(value)))
    }

    /// As it goes over the wire.
    pub(super) fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        *response.headers_mut() = self.headers;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media));
        response
    }

    /// Cut off: it promises more bytes than it has, so that the server drops the connection on it.
    pub(super) fn into_cut_response(self) -> Response {
        let promised = HeaderValue::from(self.body.len() + 1);
        let mut response = self.into_response().map(|body| Body::from_stream(body.into_data_stream()));
        response.headers_mut().insert(header::CONTENT_LENGTH, promised);
        response
    }
}

impl Purpose {
    pub(super) const ALL: [Self; 7] =
        [Self::Find, Self::Verify, Self::Scrape, Self::Write, Self::Read, Self::Account, Self::Nothing];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Find => "find_email",
            Self::Verify => "verify_email",
            Self::Scrape => "scrape",
            Self::Write => "write_copy",
            Self::Read => "read",
            Self::Account => "account",
            Self::Nothing => "unknown_path",
        }
    }

    /// Does the vendor have to go and look, or to think?
    pub(super) const fn takes_time(self) -> bool {
        matches!(self, Self::Find | Self::Verify | Self::Scrape | Self::Write)
    }
}

impl Credits {
    pub(super) const NONE: Self = Self(0);
    pub(super) const TENTH: Self = Self(100);
    pub(super) const QUARTER: Self = Self(250);
    pub(super) const ONE: Self = Self(1_000);
    pub(super) const FIVE: Self = Self(5_000);

    /// This many whole ones.
    pub(super) const fn whole(n: u64) -> Self {
        Self(n * 1_000)
    }

    pub(super) const fn thousandths(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Credits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&decimal(self.0), f)
    }
}

/// Thousandths of a credit as a decimal without needless zeros.
pub(super) fn decimal(thousandths: u64) -> Decimal {
    Decimal::from_i128_with_scale(i128::from(thousandths), 3).normalize()
}

/// A text as a JSON string, with its quotes.
pub(super) fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}
