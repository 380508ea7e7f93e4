//! Where `leads_from` may point, and how a list comes from there to this machine.

#[cfg(feature = "s3")]
use crate::crew::s3;
use crate::http::Download;
use crate::http::DownloadError;
use crate::http::Downloading;
use crate::http::StartError;
use crate::lists::Input;
use std::ffi::OsStr;
use std::io;
use std::io::Cursor;
use std::io::ErrorKind;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use url::Url;

/// The most bytes of a list that is fetched.
const LARGEST_LIST: u64 = 4 * 1024 * 1024 * 1024;
/// Pieces of a fetched list that wait to be written down.
const PIECES_AHEAD: usize = 16;
/// Endings that say in which form a list is.
const ENDINGS: [&str; 4] = ["csv", "tsv", "ndjson", "jsonl"];

/// Why a list is not here. The texts go on from the word `leads_from`, and hold no address: there may be
/// a password in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SourceError {
    /// It may not be read, or is not there.
    #[error("{0}")]
    Refused(String),
    /// It may be there later.
    #[error("{0}")]
    Passing(String),
}

/// The roots under which lists may lie.
pub(super) struct Sources {
    roots: Vec<String>,
    download: Download,
}

/// A list in pieces.
pub(super) trait Pieces: Send {
    /// The next one; `None` after the last.
    fn next(&mut self) -> impl Future<Output = Result<Option<Vec<u8>>, SourceError>> + Send;
}

impl Sources {
    /// `roots` as `worker.sources` has them.
    ///
    /// # Errors
    /// When TLS cannot be set up on this machine.
    pub(super) fn new(roots: Vec<String>) -> Result<Self, StartError> {
        Ok(Self { roots, download: Download::new()? })
    }

    /// The list at this address, to be read as often as needed; what is fetched goes with the value.
    pub(super) async fn open(&self, address: &str) -> Result<Input, SourceError> {
        match address.split_once("://") {
            Some(("file", _)) => self.open_file(address).await,
            Some(("https", _)) => self.fetch_page(address).await,
            #[cfg(feature = "s3")]
            Some(("s3", _)) => s3::fetch(&self.roots, address).await,
            #[cfg(not(feature = "s3"))]
            Some(("s3", _)) => Err(refused("names s3, and this weir was built without it (cargo's --features s3)")),
            Some(_) | None => Err(refused("must begin with file://, https:// or s3://")),
        }
    }

    async fn open_file(&self, address: &str) -> Result<Input, SourceError> {
        let path = path_of(address).ok_or_else(outside)?;
        let roots: Vec<PathBuf> = self.roots.iter().filter_map(|root| path_of(root)).collect();
        let opening = spawn_blocking(move || open_below(&roots, &path)).await;
        opening.unwrap_or_else(|_| Err(SourceError::Passing("was not opened: this worker stops".to_owned())))
    }

    async fn fetch_page(&self, address: &str) -> Result<Input, SourceError> {
        let url = Url::parse(address).map_err(|_| outside())?;
        if !self.roots.iter().any(|root| is_page_below(root, &url)) {
            return Err(outside());
        }
        spool(url.path(), self.download.fetch(url.as_str()).await?).await
    }
}

impl Pieces for Downloading {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(Self::next(self).await?)
    }
}

impl From<DownloadError> for SourceError {
    fn from(error: DownloadError) -> Self {
        if error.is_transient() { Self::Passing(error.to_string()) } else { Self::Refused(error.to_string()) }
    }
}

/// Keeps a list that comes in pieces in a temporary file. Of its `path` only the ending matters.
pub(super) async fn spool(path: &str, pieces: impl Pieces) -> Result<Input, SourceError> {
    spool_up_to(LARGEST_LIST, path, pieces).await
}

async fn spool_up_to(limit: u64, path: &str, pieces: impl Pieces) -> Result<Input, SourceError> {
    let name = name_of(path);
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    let writing = spawn_blocking(move || Input::spool(&name, Fed { pieces: receiver, piece: Cursor::default() }));
    let fed = feed(limit, pieces, sender).await;
    let written = writing.await;
    fed?;
    match written {
        Ok(Ok(input)) => Ok(input),
        Ok(Err(error)) => Err(SourceError::Passing(format!("cannot be kept here: {error}"))),
        Err(_) => Err(SourceError::Passing("was not kept: this worker stops".to_owned())),
    }
}

async fn feed(limit: u64, mut pieces: impl Pieces, to: mpsc::Sender<Vec<u8>>) -> Result<(), SourceError> {
    let mut size = 0_u64;
    while let Some(piece) = pieces.next().await? {
        size = size.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if size > limit {
            return Err(refused("names a list that is larger than 4 GiB"));
        }
        // Whoever writes them down has failed, and says why.
        if to.send(piece).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Reads what is fed to it.
struct Fed {
    pieces: mpsc::Receiver<Vec<u8>>,
    piece: Cursor<Vec<u8>>,
}

impl Read for Fed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.piece.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = Cursor::new(piece),
                None => return Ok(0),
            }
        }
    }
}

/// Links are followed before anything is compared: what counts is where the file really lies.
fn open_below(roots: &[PathBuf], path: &Path) -> Result<Input, SourceError> {
    let path = path.canonicalize().map_err(|error| unreachable_path(error.kind()))?;
    let mut roots = roots.iter().filter_map(|root| root.canonicalize().ok());
    if !roots.any(|root| path.starts_with(root)) {
        return Err(outside());
    }
    Input::file(&path).map_err(|_| refused("must name a regular file"))
}

/// Whether there is such a file outside of the roots is not told.
fn unreachable_path(kind: ErrorKind) -> SourceError {
    let stays = [ErrorKind::NotFound, ErrorKind::PermissionDenied, ErrorKind::NotADirectory, ErrorKind::InvalidInput];
    if stays.contains(&kind) { outside() } else { SourceError::Passing(format!("cannot be reached: {kind}")) }
}

/// The path that a `file://` address names on this machine.
fn path_of(address: &str) -> Option<PathBuf> {
    let url = Url::parse(address).ok()?;
    if url.scheme() == "file" { url.to_file_path().ok() } else { None }
}

/// Does the page lie under an `https://` root: same server, and its path goes on where the root's ends?
fn is_page_below(root: &str, page: &Url) -> bool {
    let Ok(root) = Url::parse(root) else { return false };
    let server = |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default());
    let anonymous = page.username().is_empty() && page.password().is_none();
    // A server may take these for `/`, `\` and `.`, and climb out of the root.
    let path = page.path().to_lowercase();
    let plain = !["%2f", "%5c", "%2e"].iter().any(|disguised| path.contains(disguised));
    anonymous
        && plain
        && page.scheme() == "https"
        && server(&root) == server(page)
        && is_below(root.path(), page.path())
}

/// Does `path` go on where `root` ends, at a `/`?
pub(super) fn is_below(root: &str, path: &str) -> bool {
    let rest = path.strip_prefix(root.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What messages call a fetched list.
fn name_of(path: &str) -> String {
    let ending = Path::new(path).extension().and_then(OsStr::to_str).map(str::to_lowercase);
    match ending.filter(|ending| ENDINGS.contains(&ending.as_str())) {
        Some(ending) => format!("list.{ending}"),
        None => "list".to_owned(),
    }
}

pub(super) fn outside() -> SourceError {
    refused("names no list under a root that worker.sources allows")
}

pub(super) fn refused(problem: &str) -> SourceError {
    SourceError::Refused(problem.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists;
    use crate::lists::Mapping;
    use crate::lists::Need;
    use std::collections::VecDeque;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn sources(roots: &[String]) -> Sources {
        Sources::new(roots.to_vec()).unwrap()
    }

    #[test]
    fn a_page_lies_below_a_root_at_a_border_of_its_path() {
        let roots = ["https://lists.acme.test/weir", "https://acme.test:8443/", "https://user:pw@open.acme.test/a/"];
        for (page, below) in [
            ("https://lists.acme.test/weir/a.csv", true),
            ("https://LISTS.acme.test:443/weir/2026/a.csv?token=x#y", true),
            ("https://lists.acme.test/weir/../weir/a.csv", true),
            ("https://lists.acme.test/weir", true),
            ("https://lists.acme.test/weirdo/a.csv", false),
            ("https://lists.acme.test/weir/../a.csv", false),
            ("https://lists.acme.test/weir/%2e%2e/a.csv", false),
            ("https://lists.acme.test/weir/..%2fa.csv", false),
            ("https://lists.acme.test/weir/%2E%2E%5Ca.csv", false),
            ("https://lists.acme.test:444/weir/a.csv", false),
            ("http://lists.acme.test/weir/a.csv", false),
            ("https://me@lists.acme.test/weir/a.csv", false),
            ("https://lists.acme.test@evil.test/weir/a.csv", false),
            ("https://lists.acme.test.evil.test/weir/a.csv", false),
            ("https://acme.test:8443/anything", true),
            ("https://acme.test/anything", false),
            ("https://open.acme.test/a/b.csv", true),
            ("https://open.acme.test/b.csv", false),
        ] {
            let url = Url::parse(page).unwrap();
            assert_eq!(roots.iter().any(|root| is_page_below(root, &url)), below, "{page}");
        }
    }

    #[tokio::test]
    async fn a_file_lies_below_a_root_wherever_links_lead() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outer) = (folder.path().join("in"), folder.path().join("in-side"));
        for place in [&inside, &outer] {
            fs::create_dir(place).unwrap();
            fs::write(place.join("a b.csv"), "email\n").unwrap();
        }
        symlink(outer.join("a b.csv"), inside.join("out.csv")).unwrap();
        symlink(&inside, folder.path().join("link")).unwrap();
        let root = format!("file://{}", folder.path().join("link").display());
        let sources = sources(&["https://acme.test/".to_owned(), root]);

        let at = |path: &str| format!("file://{}/{path}", folder.path().display());
        for (address, opens) in [
            (at("in/a%20b.csv"), true),
            (at("link/a b.csv"), true),
            (at("in/../in/a%20b.csv"), true),
            (at("in-side/a%20b.csv"), false),
            (at("in/%2e%2e/in-side/a%20b.csv"), false),
            (at("in/..%2fin-side/a%20b.csv"), false),
            (at("in/out.csv"), false),
            (at("in/gone.csv"), false),
            (at("in"), false),
            (at("in/a%00.csv"), false),
            ("file:///etc/passwd".to_owned(), false),
            ("file://server/in/a.csv".to_owned(), false),
            ("http://acme.test/a.csv".to_owned(), false),
            ("s3://bucket/a.csv".to_owned(), false),
        ] {
            match sources.open(&address).await {
                Ok(_) => assert!(opens, "{address}"),
                Err(error) => assert!(!opens && matches!(error, SourceError::Refused(_)), "{address}: {error}"),
            }
        }
        let hidden = sources.open("file:///etc/passwd").await.unwrap_err();
        assert_eq!(hidden, sources.open(&at("in/gone.csv")).await.unwrap_err());
    }

    /// Pieces, then what comes instead of an end.
    struct Given(VecDeque<&'static str>, Option<SourceError>);

    impl Pieces for Given {
        async fn next(&mut self) -> Result<Option<Vec<u8>>, SourceError> {
            match (self.0.pop_front(), self.1.take()) {
                (Some(piece), trouble) => {
                    self.1 = trouble;
                    Ok(Some(piece.as_bytes().to_vec()))
                }
                (None, Some(trouble)) => Err(trouble),
                (None, None) => Ok(None),
            }
        }
    }

    #[tokio::test]
    async fn a_list_in_pieces_is_kept_as_it_is() {
        let given = Given(["email\nada@", "", "acme.test\n"].into(), None);
        let input = spool("/lists/Leads.CSV", given).await.unwrap();
        let scan = lists::scan(&input, None, &Mapping::default(), Need::Lookup).unwrap();
        assert_eq!((scan.counts.rows, scan.counts.address_only), (1, 1));
    }

    #[tokio::test]
    async fn a_list_that_breaks_off_or_is_too_large_is_none() {
        let cut = SourceError::Passing("was cut".to_owned());
        let given = Given(["email\n"].into(), Some(cut.clone()));
        assert_eq!(spool("a.csv", given).await.unwrap_err(), cut);
        let given = Given(["12345", "6"].into(), None);
        let refused = spool_up_to(5, "a.csv", given).await.unwrap_err();
        assert!(matches!(refused, SourceError::Refused(_)), "{refused}");
    }

    #[test]
    fn a_fetched_list_is_called_by_its_ending_alone() {
        for (path, name) in
            [("/x/Ada.Lovelace.csv", "list.csv"), ("/a.JSONL", "list.jsonl"), ("/a.csv.gz", "list"), ("/", "list")]
        {
            assert_eq!(name_of(path), name);
        }
    }
}
