//! Fetching a list: large, in pieces, from a place that the operator has named.

use crate::http::client::StartError;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two pieces. There is no limit for the whole: a list may be gigabytes.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Fetches over HTTPS.
pub struct Download(reqwest::Client);

/// A body on its way.
pub struct Downloading(reqwest::Response);

/// Why there is no body, or no more of it. No variant holds the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DownloadError {
    /// Another address is needed: it is not HTTPS, or none at all.
    #[error("is not an address that can be fetched")]
    BadAddress,
    /// The server will not give it; a redirect is not followed.
    #[error("cannot be had: its server answers {0}")]
    Refused(u16),
    /// The server cannot give it now.
    #[error("cannot be had now: its server answers {0}")]
    TryLater(u16),
    /// No connection, or it was lost, or silent for too long.
    #[error("cannot be had now: its server does not answer")]
    Cut,
}

impl Download {
    /// Opens no connection yet.
    ///
    /// # Errors
    /// When TLS cannot be set up on this machine.
    pub fn new() -> Result<Self, StartError> {
        Ok(Self(builder().https_only(true).build()?))
    }

    /// Begins to fetch; the pieces come by [`Downloading::next`].
    ///
    /// # Errors
    /// When there is no whole answer, or it is not the list.
    pub async fn fetch(&self, address: &str) -> Result<Downloading, DownloadError> {
        let response = self.0.get(address).send().await.map_err(|error| classify(&error))?;
        judge(response.status().as_u16())?;
        Ok(Downloading(response))
    }
}

impl Downloading {
    /// The next piece, decompressed; `None` after the last.
    ///
    /// # Errors
    /// When it breaks off.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, DownloadError> {
        let piece = self.0.chunk().await.map_err(|error| classify(&error))?;
        Ok(piece.map(Vec::from))
    }
}

impl DownloadError {
    /// Can the same address give it later?
    pub const fn is_transient(self) -> bool {
        match self {
            Self::BadAddress | Self::Refused(_) => false,
            Self::TryLater(_) | Self::Cut => true,
        }
    }
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        // The operator has allowed one place, not wherever it points.
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
}

fn classify(error: &reqwest::Error) -> DownloadError {
    if error.is_builder() { DownloadError::BadAddress } else { DownloadError::Cut }
}

const fn judge(status: u16) -> Result<(), DownloadError> {
    match status {
        200..=299 => Ok(()),
        // Too slow, too early, too many; and whatever is wrong on the other side.
        408 | 425 | 429 | 500.. => Err(DownloadError::TryLater(status)),
        _ => Err(DownloadError::Refused(status)),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "each test runs a server of its own")]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    /// A server that answers once, and closes.
    async fn serve(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/list.csv", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        address
    }

    async fn fetch(answer: &'static str) -> Result<String, DownloadError> {
        let mut fetched = Download(builder().build().unwrap()).fetch(&serve(answer).await).await?;
        let mut text = String::new();
        while let Some(piece) = fetched.next().await? {
            text += str::from_utf8(&piece).unwrap();
        }
        Ok(text)
    }

    #[tokio::test]
    async fn a_list_comes_whole_or_not_at_all() {
        let whole = fetch("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nemail\na@").await;
        assert_eq!(whole.as_deref(), Ok("email\na@"));
        let half = fetch("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nemail\na@").await;
        assert_eq!(half, Err(DownloadError::Cut));
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_not_followed() {
        let elsewhere = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(fetch(elsewhere).await, Err(DownloadError::Refused(302)));
    }

    #[tokio::test]
    async fn nothing_is_fetched_without_tls() {
        let download = Download::new().unwrap();
        for address in ["http://127.0.0.1:1/list.csv", "ftp://acme.test/list.csv", "list.csv"] {
            let refused = download.fetch(address).await.err();
            assert_eq!(refused, Some(DownloadError::BadAddress), "{address}");
        }
    }

    #[test]
    fn a_status_says_whether_it_is_worth_another_try() {
        for (status, transient) in
            [(301, false), (400, false), (403, false), (404, false), (408, true), (429, true), (500, true), (503, true)]
        {
            assert_eq!(judge(status).unwrap_err().is_transient(), transient, "{status}");
        }
        assert_eq!(judge(200), Ok(()));
    }
}
