//! One call as the network takes it: address, headers, body, and the key in its place.

use crate::http::client::Failure;
use crate::http::client::Target;
use crate::providers::Auth;
use crate::providers::Method;
use crate::providers::Request;
use reqwest::Url;
use reqwest::header;
use reqwest::header::HeaderMap;
use reqwest::header::HeaderName;
use reqwest::header::HeaderValue;
use secrecy::ExposeSecret;

pub(super) fn build(target: &Target, request: &Request) -> Result<reqwest::Request, Failure> {
    let method = match request.method {
        Method::Get => reqwest::Method::GET,
        Method::Post => reqwest::Method::POST,
    };
    let mut url = Url::parse(&format!("{}{}", target.base_url, request.path)).map_err(|_| Failure::BadTarget)?;
    if !request.query.is_empty() {
        url.query_pairs_mut().extend_pairs(&request.query);
    }
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    match request.auth {
        Auth::Query(name) => {
            url.query_pairs_mut().append_pair(name, target.key.expose_secret());
        }
        Auth::Header(name, prefix) => {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Failure::BadTarget)?;
            let text = format!("{prefix}{}", target.key.expose_secret());
            let mut value = HeaderValue::try_from(text).map_err(|_| Failure::BadTarget)?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    for (name, value) in &request.headers {
        let value = HeaderValue::from_str(value).map_err(|_| Failure::BadTarget)?;
        headers.insert(HeaderName::from_static(name), value);
    }
    let mut call = reqwest::Request::new(method, url);
    if let Some(body) = &request.body {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *call.body_mut() = Some(body.to_string().into());
    }
    *call.headers_mut() = headers;
    *call.timeout_mut() = Some(target.timeout);
    Ok(call)
}
