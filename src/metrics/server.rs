//! Where metrics, liveness and readiness are asked for. A connection carries one question and ends in
//! [`CONNECTION_LIFE`], whatever its client does.

use crate::metrics::Exposition;
use axum::Router;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::get;
use axum::serve::Listener;
use std::future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::time::Sleep;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Connections at a time; the next ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 32;

/// From accepting a connection to cutting it: as long as Prometheus waits for a scrape.
const CONNECTION_LIFE: Duration = Duration::from_secs(10);

/// How often histograms are folded, so that they do not grow where nobody scrapes.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// How long answers under way may take after the stop.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Prometheus' text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT_TYPE: &str = "text/plain; charset=utf-8";

/// Can the worker take work now?
pub trait Readiness: Send + Sync {
    /// Says at once whether it can.
    ///
    /// # Errors
    /// What it lacks: one sentence, without addresses or passwords, for whoever runs the worker.
    fn ready(&self) -> Result<(), String>;
}

/// Takes the address, so that a worker whose port is taken fails at its start; port 0 takes a free one.
///
/// # Errors
/// When the address cannot be had.
pub async fn bind(listen: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(listen).await
}

/// Answers until `stop`: `/healthz` while the process lives, `/readyz` by `readiness`, `/metrics`.
///
/// # Errors
/// None that is known; a failed accept is tried again.
pub async fn serve(
    listener: TcpListener,
    exposition: Exposition,
    readiness: Arc<dyn Readiness>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let stopped = CancellationToken::new();
    let stopping = stopped.clone();
    let door = Door { listener, places: Arc::new(Semaphore::new(MAX_CONNECTIONS)) };
    let serving = axum::serve(door, routes(exposition.clone(), readiness)).with_graceful_shutdown(async move {
        stop.await;
        stopping.cancel();
    });
    tokio::select! {
        served = serving.into_future() => served,
        () = fold_histograms(&exposition) => Ok(()),
        () = give_up_after(&stopped) => Ok(()),
    }
}

fn routes(exposition: Exposition, readiness: Arc<dyn Readiness>) -> Router {
    Router::new()
        .route("/metrics", get(move || future::ready(answer(StatusCode::OK, METRICS_TYPE, exposition.render()))))
        .route("/healthz", get(|| future::ready(answer(StatusCode::OK, TEXT_TYPE, "ok".to_owned()))))
        .route("/readyz", get(move || future::ready(say_readiness(&*readiness))))
        .fallback(|| {
            future::ready(answer(StatusCode::NOT_FOUND, TEXT_TYPE, "/metrics, /healthz or /readyz".to_owned()))
        })
}

fn say_readiness(readiness: &dyn Readiness) -> Response {
    match readiness.ready() {
        Ok(()) => answer(StatusCode::OK, TEXT_TYPE, "ready".to_owned()),
        Err(reason) => answer(StatusCode::SERVICE_UNAVAILABLE, TEXT_TYPE, reason),
    }
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response {
    // The connection's time is for one question.
    let headers = [(header::CONTENT_TYPE, content_type), (header::CONNECTION, "close")];
    (status, headers, body).into_response()
}

/// Never ends.
async fn fold_histograms(exposition: &Exposition) {
    loop {
        sleep(UPKEEP_INTERVAL).await;
        exposition.run_upkeep();
    }
}

async fn give_up_after(stopped: &CancellationToken) {
    stopped.cancelled().await;
    sleep(LAST_ANSWERS).await;
}

/// Lets in [`MAX_CONNECTIONS`] at a time.
struct Door {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

impl Listener for Door {
    type Io = Visit;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Visit, SocketAddr) {
        // Nobody closes the semaphore.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let (stream, address) = <TcpListener as Listener>::accept(&mut self.listener).await;
        (Visit { stream, deadline: Box::pin(sleep(CONNECTION_LIFE)), _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that is cut at its deadline. The server underneath has no timer of its own.
struct Visit {
    stream: TcpStream,
    deadline: Pin<Box<Sleep>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Visit {
    /// `progress`, unless there is none and the time is up.
    fn in_time<T>(&mut self, cx: &mut Context<'_>, progress: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if progress.is_pending() && self.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        progress
    }
}

impl AsyncRead for Visit {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let visit = self.get_mut();
        let progress = Pin::new(&mut visit.stream).poll_read(cx, buf);
        visit.in_time(cx, progress)
    }
}

impl AsyncWrite for Visit {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let visit = self.get_mut();
        let progress = Pin::new(&mut visit.stream).poll_write(cx, buf);
        visit.in_time(cx, progress)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let visit = self.get_mut();
        let progress = Pin::new(&mut visit.stream).poll_flush(cx);
        visit.in_time(cx, progress)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let visit = self.get_mut();
        let progress = Pin::new(&mut visit.stream).poll_shutdown(cx);
        visit.in_time(cx, progress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;

    struct Said(Result<(), String>);

    impl Readiness for Said {
        fn ready(&self) -> Result<(), String> {
            self.0.clone()
        }
    }

    /// All that a server of its own answers to these bytes.
    async fn ask(ready: Result<(), &str>, question: &str) -> String {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let readiness = Arc::new(Said(ready.map_err(str::to_owned)));
        let asked = CancellationToken::new();
        let serving = serve(listener, Exposition::apart().unwrap(), readiness, asked.clone().cancelled_owned());
        let asking = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(question.as_bytes()).await.unwrap();
            let mut answer = String::new();
            // A connection that is cut may end in a reset.
            let _ = stream.read_to_string(&mut answer).await;
            asked.cancel();
            answer
        };
        let (served, answer) = tokio::join!(serving, asking);
        served.unwrap();
        answer
    }

    #[tokio::test]
    async fn every_path_has_its_code_and_its_words() {
        let lost = Err("The broker is not connected.");
        for (ready, path, status, body) in [
            (Ok(()), "/healthz", "200 OK", "ok"),
            (lost, "/healthz", "200 OK", "ok"),
            (Ok(()), "/readyz", "200 OK", "ready"),
            (lost, "/readyz", "503 Service Unavailable", "The broker is not connected."),
            (lost, "/", "404 Not Found", "/metrics, /healthz or /readyz"),
        ] {
            let answer = ask(ready, &format!("GET {path} HTTP/1.1\r\nhost: weir\r\n\r\n")).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{path}: {answer}");
            assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{path}: {answer}");
        }
    }

    #[tokio::test]
    async fn metrics_are_prometheus_text() {
        let answer = ask(Ok(()), "GET /metrics HTTP/1.1\r\nhost: weir\r\n\r\n").await;
        assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
        assert!(answer.contains("\n# TYPE weir_ledger_commit_seconds histogram\n"), "{answer}");
        assert!(answer.contains("\nweir_dead_letters_total{reason=\"gave_up\"} 0\n"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_ends_its_question_is_cut() {
        assert_eq!(ask(Ok(()), "GET /healthz HTTP/1.1\r\nhost: we").await, "");
    }

    #[tokio::test]
    async fn a_taken_port_fails_at_once() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let taken = bind(listener.local_addr().unwrap()).await;
        assert_eq!(taken.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
