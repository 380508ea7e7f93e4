//! A TCP proxy that holds back what one side sends, from a given point on, until it is let through.
//!
//! So a test stands between a worker and its broker, or a provider, at exactly that point. Of AMQP 0-9-1 it knows as
//! much as it needs to tell one message of a client from another.

use crate::services::eventually;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::copy;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::watch;
use tokio::task::JoinSet;
use url::Url;

/// For what a worker is about to send.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where an AMQP address leads that names no port.
const AMQP_PORT: u16 = 5672;
/// What an AMQP connection begins with, before its frames.
const GREETING: &[u8] = b"AMQP\x00\x00\x09\x01";
/// Kind, channel and size before a frame's content, and the mark behind it.
const AROUND_CONTENT: usize = 8;

/// Methods of AMQP: class and number.
const CONSUME: [u8; 4] = [0, 60, 0, 20];
const PUBLISH: [u8; 4] = [0, 60, 0, 40];
const ACK: [u8; 4] = [0, 60, 0, 80];

/// From where on a connection is held back.
#[derive(Clone, Copy)]
pub(crate) enum Stop {
    /// From a client's first byte.
    Requests,
    /// From a server's first byte.
    Replies,
    /// From the first AMQP message that a client publishes under this routing key.
    Publish(&'static str),
    /// From the first piece of what a client sends in which this text stands.
    Text(&'static str),
    /// From the first acknowledgement of a message from this AMQP queue.
    Ack(&'static str),
}

/// A proxy before one server. Dropped, it hangs up, and what it holds back never arrives.
pub(crate) struct Proxy {
    url: Url,
    dam: Arc<Dam>,
    _serving: JoinSet<()>,
}

impl Proxy {
    /// Before the server of this address.
    pub(crate) async fn before(url: &str, stop: Stop) -> Self {
        let mut url = Url::parse(url).unwrap();
        let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(AMQP_PORT));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        let dam = Arc::new(Dam { level: watch::Sender::new(Level::Waiting) });
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, server, stop, Arc::clone(&dam)));
        Self { url, dam, _serving: serving }
    }

    /// The server's address, by way of this proxy.
    pub(crate) fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Waits until something is held back.
    pub(crate) async fn until_holding(&self) {
        let holding = async || (*self.dam.level.borrow() == Level::Holding).then_some(());
        eventually("something to hold back", PATIENCE, holding).await;
    }

    /// Lets through what is held back, and all that comes.
    pub(crate) fn let_through(&self) {
        self.dam.level.send_replace(Level::Open);
    }
}

/// What all connections of a proxy stop at.
struct Dam {
    level: watch::Sender<Level>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    /// Nothing has come that is to be held back.
    Waiting,
    Holding,
    Open,
}

impl Dam {
    /// Waits until everything is let through.
    async fn pass(&self) {
        self.level.send_if_modified(|level| {
            let is_first = *level == Level::Waiting;
            if is_first {
                *level = Level::Holding;
            }
            is_first
        });
        let mut level = self.level.subscribe();
        // The sender stands right here, and so is not gone.
        drop(level.wait_for(|level| *level == Level::Open).await);
    }
}

async fn serve(listener: TcpListener, server: String, stop: Stop, dam: Arc<Dam>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(connect(client, server.clone(), stop, Arc::clone(&dam)));
    }
}

/// Carries one connection until either side hangs up.
async fn connect(client: TcpStream, server: String, stop: Stop, dam: Arc<Dam>) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    match stop {
        Stop::Replies => tokio::select! {
            carried = copy(&mut from_client, &mut to_server) => carried.map(drop),
            carried = carry(from_server, to_client, stop, &dam) => carried,
        },
        Stop::Requests | Stop::Publish(_) | Stop::Ack(_) | Stop::Text(_) => tokio::select! {
            carried = carry(from_client, to_server, stop, &dam) => carried,
            carried = copy(&mut from_server, &mut to_client) => carried.map(drop),
        },
    }
}

/// Carries what one side sends, piece by piece, up to where it stops.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, stop: Stop, dam: &Dam) -> io::Result<()> {
    let mut watcher = Watcher { stop, consuming: Vec::new() };
    let mut unread = Vec::new();
    while from.read_buf(&mut unread).await? > 0 {
        while let Some(length) = watcher.next_piece(&unread) {
            let piece: Vec<u8> = unread.drain(..length).collect();
            if watcher.stops_at(&piece) {
                dam.pass().await;
            }
            to.write_all(&piece).await?;
        }
    }
    Ok(())
}

/// Looks out for the stop on one connection.
struct Watcher {
    stop: Stop,
    /// The channels that consume the stop's queue.
    consuming: Vec<[u8; 2]>,
}

impl Watcher {
    /// How much of what has come is looked at next; `None` until there is more.
    fn next_piece(&self, unread: &[u8]) -> Option<usize> {
        match self.stop {
            Stop::Requests | Stop::Replies | Stop::Text(_) => (!unread.is_empty()).then_some(unread.len()),
            Stop::Publish(_) | Stop::Ack(_) => next_frame(unread),
        }
    }

    fn stops_at(&mut self, piece: &[u8]) -> bool {
        match self.stop {
            Stop::Requests | Stop::Replies => true,
            Stop::Text(text) => piece.windows(text.len()).any(|part| part == text.as_bytes()),
            Stop::Publish(key) => {
                // Behind the exchange's name.
                let is_meant = |method: Method<'_>| method.id == PUBLISH && method.text(1) == Some(key.as_bytes());
                Method::read(piece).is_some_and(is_meant)
            }
            Stop::Ack(queue) => Method::read(piece).is_some_and(|method| self.acknowledges(&method, queue)),
        }
    }

    fn acknowledges(&mut self, method: &Method<'_>, queue: &str) -> bool {
        if method.id == CONSUME && method.text(0) == Some(queue.as_bytes()) {
            self.consuming.push(method.channel);
        }
        method.id == ACK && self.consuming.contains(&method.channel)
    }
}

/// The length of the frame that stands first, or of the greeting, once all of it is there.
fn next_frame(unread: &[u8]) -> Option<usize> {
    let length = if unread.starts_with(b"AMQP") {
        GREETING.len()
    } else {
        let size: [u8; 4] = unread.get(3..7)?.try_into().ok()?;
        usize::try_from(u32::from_be_bytes(size)).ok()? + AROUND_CONTENT
    };
    (unread.len() >= length).then_some(length)
}

/// A method that a client calls on a channel.
struct Method<'f> {
    channel: [u8; 2],
    id: [u8; 4],
    arguments: &'f [u8],
}

impl<'f> Method<'f> {
    fn read(frame: &'f [u8]) -> Option<Self> {
        // Kind 1 is a method; channel, size, content, mark.
        let [1, high, low, _, _, _, _, content @ .., _] = frame else { return None };
        let (id, arguments) = content.split_first_chunk()?;
        Some(Self { channel: [*high, *low], id: *id, arguments })
    }

    /// The text at this place among the first arguments, which stand behind two bytes that mean nothing any more.
    fn text(&self, place: usize) -> Option<&'f [u8]> {
        let mut rest = self.arguments.get(2..)?;
        for _ in 0..place {
            (_, rest) = short_text(rest)?;
        }
        short_text(rest).map(|(text, _)| text)
    }
}

/// The text that stands first, with its length before it, and what stands behind it.
fn short_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

/// A method's frame, with these texts as its arguments.
fn frame(channel: u8, id: [u8; 4], texts: &[&str]) -> Vec<u8> {
    let mut content = [id.as_slice(), &[0, 0]].concat();
    for text in texts {
        content.push(u8::try_from(text.len()).unwrap());
        content.extend_from_slice(text.as_bytes());
    }
    let head = [1, 0, channel, 0, 0, 0, u8::try_from(content.len()).unwrap()];
    [head.as_slice(), content.as_slice(), &[0xCE]].concat()
}

#[test]
fn frames_are_told_apart_whole_and_only_the_meant_one_stops() {
    let heartbeat = vec![8, 0, 0, 0, 0, 0, 0, 0xCE];
    let frames = [
        GREETING.to_vec(),
        frame(1, CONSUME, &["weir.enrich", ""]),
        frame(2, CONSUME, &["weir.slices", ""]),
        frame(1, ACK, &[]),
        heartbeat,
        frame(3, PUBLISH, &["weir.events", "job_completed"]),
        frame(3, PUBLISH, &["weir.events", "lead_result"]),
        frame(2, ACK, &[]),
    ];
    for (stop, meant) in [(Stop::Publish("lead_result"), 6), (Stop::Ack("weir.slices"), 7)] {
        let mut watcher = Watcher { stop, consuming: Vec::new() };
        let mut unread = frames.concat();
        for (n, frame) in frames.iter().enumerate() {
            assert_eq!(watcher.next_piece(&unread[..frame.len() - 1]), None, "frame {n}");
            let length = watcher.next_piece(&unread).unwrap();
            let piece: Vec<u8> = unread.drain(..length).collect();
            assert_eq!((&piece, watcher.stops_at(&piece)), (frame, n == meant), "frame {n}");
        }
        assert!(unread.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_back_arrives_once_it_is_let_through_and_replies_are_not() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/base", listener.local_addr().unwrap());
    let proxy = Proxy::before(&url, Stop::Requests).await;
    assert_ne!(proxy.url(), url);
    let address = proxy.url().trim_start_matches("http://").trim_end_matches("/base");
    let mut client = TcpStream::connect(address).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    client.write_all(b"ping").await.unwrap();
    server.write_all(b"pong").await.unwrap();

    let mut heard = [0; 4];
    client.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"pong");
    proxy.until_holding().await;
    assert_eq!(server.try_read(&mut heard).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    proxy.let_through();
    server.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"ping");
}
