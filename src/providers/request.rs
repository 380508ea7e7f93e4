//! A call as data: what an adapter asks the HTTP room to send, and what it is given to read.

use serde_json::Value;

/// How a call is made. Only what the APIs use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`, parameters in the query.
    Get,
    /// `POST`, a JSON body.
    Post,
}

/// Where the key goes. The adapter never sees the key itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// In this header, behind this prefix (`"Bearer "`, or nothing).
    Header(&'static str, &'static str),
    /// In this query parameter; scrubbed from every error.
    Query(&'static str),
}

/// One HTTP call, without its host and its key.
#[derive(Clone, PartialEq)]
pub struct Request {
    /// GET or POST.
    pub method: Method,
    /// Appended to the provider's `base_url` as it is; starts with `/`, or is empty.
    pub path: &'static str,
    /// Query parameters, not yet encoded.
    pub query: Vec<(&'static str, String)>,
    /// The JSON body, if any.
    pub body: Option<Value>,
    /// Further headers; none of them is secret.
    pub headers: Vec<(&'static str, String)>,
    /// Where the key goes.
    pub auth: Auth,
}

impl Request {
    /// A POST with a JSON body.
    pub const fn post(path: &'static str, auth: Auth, body: Value) -> Self {
        Self { method: Method::Post, path, query: Vec::new(), body: Some(body), headers: Vec::new(), auth }
    }

    /// A GET with query parameters.
    pub const fn get(path: &'static str, auth: Auth, query: Vec<(&'static str, String)>) -> Self {
        Self { method: Method::Get, path, query, body: None, headers: Vec::new(), auth }
    }
}

impl std::fmt::Debug for Request {
    /// Method and path only: bodies and parameters hold people's names and addresses.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Request({:?} {})", self.method, self.path)
    }
}

/// A complete HTTP answer: read whole, under a size cap.
#[derive(Clone, Copy)]
pub struct Reply<'a> {
    /// The HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: &'a http::HeaderMap,
    /// Its body as text (bytes that are not UTF-8 replaced).
    pub body: &'a str,
}

impl Reply<'_> {
    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl std::fmt::Debug for Reply<'_> {
    /// The status only: bodies hold people's addresses.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reply({})", self.status)
    }
}
