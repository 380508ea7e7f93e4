//! One HTTP call: built, sent once, read whole under a size cap.

use crate::http::build::build;
use crate::providers::Reply;
use crate::providers::Request;
use reqwest::header::HeaderMap;
use secrecy::SecretString;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Answers of the providers are a few kilobytes; a hundred Icypeas items are the largest.
const MAX_BODY: usize = 2 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Above any `max_in_flight`, so that a connection that has served is kept.
const MAX_IDLE_PER_HOST: usize = 1024;

/// Sends the calls to all providers.
pub struct Client {
    transport: Arc<dyn Transport>,
}

/// What carries a call to its provider: the network, or a test's own world.
pub trait Transport: Send + Sync {
    /// Sends once and reads the whole answer; what a failure says of billing must be true.
    fn send<'a>(&'a self, target: &'a Target, request: &'a Request) -> Sending<'a>;
}

/// A call under way; dropped, it is cut off.
pub type Sending<'a> = Pin<Box<dyn Future<Output = Result<Received, Failure>> + Send + 'a>>;

/// The network: connections, kept per host.
struct Network(reqwest::Client);

/// Where a call goes, with whose key, and how long it may take.
#[derive(Debug, Clone)]
pub struct Target {
    /// Scheme, host and path prefix, without a trailing slash.
    pub base_url: Arc<str>,
    /// The provider's API key.
    pub key: SecretString,
    /// From the first byte of the connection to the last of the body.
    pub timeout: Duration,
}

/// A complete answer, whatever its status.
pub struct Received {
    /// The HTTP status; redirects are answers like any other.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, decompressed; bytes that are not UTF-8 are replaced.
    pub body: String,
}

/// Why there is no complete answer. Named for what may have been billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection (name, TCP, TLS, or their time limit): nothing can have been billed.
    NotSent,
    /// It may have been sent, and so may have been billed.
    Lost(Lost),
    /// `base_url` and key do not make an HTTP request: nothing was sent, and a repeat fails alike.
    BadTarget,
}

/// How an answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// It did not end within the target's timeout.
    Timeout,
    /// The connection broke, or the answer is not HTTP.
    Cut,
    /// Its body is larger than 2 MiB: the provider has answered, and it is not read to its end.
    TooLarge,
}

/// The HTTP client cannot be set up: no TLS roots, as a rule.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot start")]
pub struct StartError(#[from] reqwest::Error);

impl Client {
    /// Over the network; opens no connection yet.
    ///
    /// # Errors
    /// When TLS cannot be set up on this machine.
    pub fn new() -> Result<Self, StartError> {
        // No read timeout: some providers search in silence for a minute, and each call has its total.
        let http = reqwest::Client::builder()
            .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            .gzip(true)
            .tcp_nodelay(true)
            .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
            .connect_timeout(CONNECT_TIMEOUT)
            // A redirect to another host would carry an `x-api-key` along.
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .build()?;
        Ok(Self::over(Arc::new(Network(http))))
    }

    /// Over another transport.
    pub fn over(transport: Arc<dyn Transport>) -> Self {
        Self { transport }
    }

    /// Sends once and reads the whole answer.
    ///
    /// # Errors
    /// Says what may have been billed; a status of 400 or 500 is an answer, not an error.
    pub async fn send(&self, target: &Target, request: &Request) -> Result<Received, Failure> {
        self.transport.send(target, request).await
    }
}

impl Transport for Network {
    fn send<'a>(&'a self, target: &'a Target, request: &'a Request) -> Sending<'a> {
        Box::pin(self.exchange(target, request))
    }
}

impl Network {
    async fn exchange(&self, target: &Target, request: &Request) -> Result<Received, Failure> {
        let call = build(target, request)?;
        let mut response = self.0.execute(call).await.map_err(|error| classify(&error))?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| classify(&error))? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(Failure::Lost(Lost::TooLarge));
            }
            body.extend_from_slice(&chunk);
        }
        let headers = std::mem::take(response.headers_mut());
        let body =
            String::from_utf8(body).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        Ok(Received::new(response.status().as_u16(), headers, body))
    }
}

/// `is_connect` covers name, TCP, TLS and the connect timeout (reqwest 0.13 `error.rs`). A total
/// timeout that strikes while connecting looks like any other, so it counts as lost. A pooled
/// connection that was closed before the request was written is replaced by hyper itself.
fn classify(error: &reqwest::Error) -> Failure {
    if error.is_connect() {
        Failure::NotSent
    } else if error.is_timeout() {
        Failure::Lost(Lost::Timeout)
    } else if error.is_builder() {
        Failure::BadTarget
    } else {
        Failure::Lost(Lost::Cut)
    }
}

impl Received {
    /// An answer as it came.
    pub fn new(status: u16, headers: HeaderMap, body: String) -> Self {
        Self { status, headers, body }
    }

    /// What an adapter is given to read.
    pub fn reply(&self) -> Reply<'_> {
        Reply { status: self.status, headers: &self.headers, body: &self.body }
    }
}

impl fmt::Debug for Received {
    /// The status only: bodies hold people's addresses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Received({})", self.status)
    }
}

impl Failure {
    /// A few fixed words, safe to log and to store.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::NotSent => "no connection",
            Self::Lost(Lost::Timeout) => "no complete answer in time",
            Self::Lost(Lost::Cut) => "connection cut before the answer was complete",
            Self::Lost(Lost::TooLarge) => "answer larger than 2 MiB",
            Self::BadTarget => "base_url or key unusable in an HTTP request",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "each test runs a server of its own")]
mod tests {
    use super::*;
    use crate::providers::Auth;
    use serde_json::json;
    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::net::TcpStream;
    use tokio::task::JoinHandle;

    const CANARY: &str = "canary-7f3a";

    /// What the server does when it has written its answer.
    enum Then {
        Close,
        Hang,
    }

    /// A server for one request: the request as it came, and the open connection if it hangs.
    type Served = JoinHandle<(String, Option<TcpStream>)>;

    async fn serve(answer: impl Into<Vec<u8>>, then: Then) -> (Target, Served) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = target(&format!("http://{}", listener.local_addr().unwrap()));
        let answer = answer.into();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = read_request(&mut stream).await;
            // A client that has read enough closes first.
            let _ = stream.write_all(&answer).await;
            match then {
                Then::Close => (request, None),
                Then::Hang => (request, Some(stream)),
            }
        });
        (target, served)
    }

    async fn read_request(stream: &mut TcpStream) -> String {
        let mut bytes = Vec::new();
        loop {
            assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the request ended early");
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |n| n.parse().unwrap()) {
                return text;
            }
        }
    }

    fn target(base_url: &str) -> Target {
        Target { base_url: base_url.into(), key: CANARY.into(), timeout: Duration::from_secs(10) }
    }

    fn get() -> Request {
        Request::get("/v1/check", Auth::Query("api"), vec![("email", "ada+x@acme.test".to_owned())])
    }

    async fn send(target: &Target, request: &Request) -> Result<Received, Failure> {
        Client::new().unwrap().send(target, request).await
    }

    #[tokio::test]
    async fn a_get_carries_encoded_parameters_and_the_key() {
        let (target, served) = serve("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", Then::Close).await;
        let received = send(&target, &get()).await.unwrap();
        let (request, _) = served.await.unwrap();
        assert!(
            request.starts_with("GET /v1/check?email=ada%2Bx%40acme.test&api=canary-7f3a HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(request.contains("accept: application/json\r\n"), "{request}");
        assert!(request.contains(concat!("user-agent: weir/", env!("CARGO_PKG_VERSION"), "\r\n")), "{request}");
        assert_eq!((received.reply().status, received.reply().body), (200, "{}"));
    }

    #[tokio::test]
    async fn a_post_carries_its_body_and_the_key_in_a_header() {
        let (target, served) = serve("HTTP/1.1 429 \r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n", Then::Close).await;
        let request = Request::post("/v1/find", Auth::Header("Authorization", "Bearer "), json!({"a": 1}));
        let received = send(&target, &request).await.unwrap();
        let (request, _) = served.await.unwrap();
        assert!(request.starts_with("POST /v1/find HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("authorization: Bearer canary-7f3a\r\n"), "{request}");
        assert!(request.contains("content-type: application/json\r\n"), "{request}");
        assert!(request.ends_with("\r\n\r\n{\"a\":1}"), "{request}");
        assert_eq!((received.status, received.reply().header("retry-after")), (429, Some("7")));
    }

    #[tokio::test]
    async fn an_answer_is_lost_by_silence_by_a_cut_and_by_its_size() {
        let huge = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{}", MAX_BODY + 1, "x".repeat(MAX_BODY + 1));
        for (answer, then, lost) in [
            ("".to_owned(), Then::Hang, Lost::Timeout),
            ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{".to_owned(), Then::Hang, Lost::Timeout),
            ("".to_owned(), Then::Close, Lost::Cut),
            ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{".to_owned(), Then::Close, Lost::Cut),
            ("220 smtp.acme.test\r\n\r\n".to_owned(), Then::Close, Lost::Cut),
            (huge, Then::Close, Lost::TooLarge),
        ] {
            let (mut target, _served) = serve(answer, then).await;
            if lost == Lost::Timeout {
                target.timeout = Duration::from_millis(100);
            }
            assert_eq!(send(&target, &get()).await.unwrap_err(), Failure::Lost(lost));
        }
    }

    #[tokio::test]
    async fn a_refused_connection_means_nothing_was_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = target(&format!("http://{}", listener.local_addr().unwrap()));
        drop(listener);
        assert_eq!(send(&target, &get()).await.unwrap_err(), Failure::NotSent);
    }

    #[tokio::test]
    async fn a_target_that_makes_no_request_says_so() {
        for base_url in ["", "acme.test", "ftp://acme.test"] {
            assert_eq!(send(&target(base_url), &get()).await.unwrap_err(), Failure::BadTarget, "{base_url}");
        }
        let mut target = target("http://127.0.0.1:9");
        target.key = "two\nlines".into();
        let request = Request::post("", Auth::Header("x-api-key", ""), json!({}));
        assert_eq!(send(&target, &request).await.unwrap_err(), Failure::BadTarget);
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_is_not_followed() {
        let (target, served) =
            serve("HTTP/1.1 302 Found\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n", Then::Hang).await;
        assert_eq!(send(&target, &get()).await.unwrap().status, 302);
        drop(served);
    }

    /// Answers with the path it was asked for.
    struct Echo;

    impl Transport for Echo {
        fn send<'a>(&'a self, _: &'a Target, request: &'a Request) -> Sending<'a> {
            Box::pin(async move { Ok(Received::new(200, HeaderMap::new(), request.path.to_owned())) })
        }
    }

    #[tokio::test]
    async fn another_transport_is_asked_instead_of_the_network() {
        let received = Client::over(Arc::new(Echo)).send(&target("nowhere"), &get()).await.unwrap();
        assert_eq!((received.status, received.body.as_str()), (200, "/v1/check"));
    }

    #[tokio::test]
    async fn neither_the_key_nor_the_url_shows_in_any_text() {
        let (target, _served) = serve("not http\r\n\r\n", Then::Close).await;
        let failure = send(&target, &get()).await.unwrap_err();
        for text in [format!("{failure}"), format!("{failure:?}")] {
            assert!(!text.contains(CANARY) && !text.contains("127.0.0.1"), "{text}");
        }
        assert!(!format!("{target:?}").contains(CANARY));
    }
}
