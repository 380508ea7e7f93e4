//! Slices over `weir.slices`: announced and settled without waiting; what that takes is done beside.

use crate::ledger::JobKey;
use crate::ledger::SliceNo;
use crate::queue::DeadReason;
use crate::queue::Disposition;
use crate::queue::Fate;
use crate::queue::Outgoing;
use crate::queue::Queue;
use crate::queue::Receipt;
use crate::queue::Received;
use crate::queue::SliceMessage;
use crate::queue::To;
use crate::queue::rabbitmq::consumer::Subscription;
use crate::queue::rabbitmq::control::Event;
use crate::queue::rabbitmq::delivery::Copier;
use crate::queue::rabbitmq::delivery::Delivery;
use crate::queue::rabbitmq::inbox::Inbox;
use crate::queue::rabbitmq::topology::SLICES;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::Deserialize;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const KIND: &str = "weir.slice.v1";
/// Announcements that wait for the broker; more are dropped, and made again by the sweep.
const MAX_WAITING: usize = 100_000;
/// Announcements, and endings, that are carried out at once.
const AT_ONCE: usize = 1_024;

/// `weir.slices` as a queue.
pub(super) struct RabbitSlices {
    inbox: Arc<Inbox>,
    handed_out: Mutex<HashMap<u64, Box<Delivery>>>,
    next_receipt: AtomicU64,
    announcements: mpsc::UnboundedSender<SliceMessage>,
    waiting: Arc<AtomicUsize>,
    endings: mpsc::UnboundedSender<Ending>,
}

/// Carries out what was asked for.
pub(super) struct Clerk {
    announcements: mpsc::UnboundedReceiver<SliceMessage>,
    waiting: Arc<AtomicUsize>,
    endings: mpsc::UnboundedReceiver<Ending>,
    copier: Copier,
}

/// How a delivery ends.
struct Ending {
    delivery: Box<Delivery>,
    way: Way,
}

enum Way {
    Settle(Fate),
    Leave,
}

/// The body on the wire.
#[derive(Deserialize)]
struct Body {
    job: i64,
    slice: u32,
}

/// Both sides of the queue that fills `inbox`.
pub(super) fn open(inbox: Arc<Inbox>, copier: Copier) -> (RabbitSlices, Clerk) {
    let (announcements, announced) = mpsc::unbounded_channel();
    let (endings, ended) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let clerk = Clerk { announcements: announced, waiting: Arc::clone(&waiting), endings: ended, copier };
    let handed_out = Mutex::default();
    (RabbitSlices { inbox, handed_out, next_receipt: AtomicU64::new(0), announcements, waiting, endings }, clerk)
}

/// Consumes, announces and settles, until `closing` and all that was asked for is done.
pub(super) async fn drive(subscription: Subscription, clerk: Clerk, closing: CancellationToken) {
    let settled = subscription.closing.clone();
    let work = async {
        clerk.run(&closing).await;
        settled.cancel();
    };
    tokio::join!(subscription.run(), work);
}

impl RabbitSlices {
    fn hand_out(&self, message: SliceMessage, delivery: Box<Delivery>) -> Received {
        let receipt = self.next_receipt.fetch_add(1, Ordering::Relaxed);
        self.handed_out().insert(receipt, delivery);
        Received { message, receipt: Receipt(receipt) }
    }

    fn handed_out(&self) -> MutexGuard<'_, HashMap<u64, Box<Delivery>>> {
        self.handed_out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A clerk that is gone leaves it to the broker: it comes again.
    fn end(&self, delivery: Box<Delivery>, way: Way) {
        drop(self.endings.send(Ending { delivery, way }));
    }
}

impl Queue for RabbitSlices {
    fn publish(&self, message: SliceMessage) {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        if before >= MAX_WAITING || self.announcements.send(message).is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        } else if before + 1 == MAX_WAITING {
            tracing::warn!("{MAX_WAITING} slices wait to be announced; more are left to the sweep");
        }
    }

    fn receive(&self) -> Pin<Box<dyn Future<Output = Option<Received>> + Send + '_>> {
        Box::pin(async move {
            loop {
                let Event::Message(delivery) = self.inbox.next().await? else { continue };
                if let Some(message) = read(&delivery.body) {
                    return Some(self.hand_out(message, delivery));
                }
                let why = "the body must be {\"job\":NUMBER,\"slice\":NUMBER}".to_owned();
                self.end(delivery, Way::Settle(Fate::Dead(DeadReason::Invalid, why)));
            }
        })
    }

    fn settle(&self, receipt: Receipt, disposition: Disposition) {
        let Some(delivery) = self.handed_out().remove(&receipt.0) else { return };
        let way = match disposition {
            Disposition::Done => Way::Settle(Fate::Ack),
            Disposition::LeftOff => Way::Leave,
            Disposition::Later(after) => Way::Settle(Fate::Retry(after)),
        };
        self.end(delivery, way);
    }
}

impl Clerk {
    /// Ends when there will be no more, or on `closing`, with everything asked for carried out.
    async fn run(self, closing: &CancellationToken) {
        let Self { announcements, waiting, endings, copier } = self;
        let announce = |message| {
            let (copier, waiting) = (&copier, &waiting);
            async move {
                if !copier.publish_until_confirmed(&announcement(message), || true).await {
                    tracing::debug!("a slice was not announced; the sweep does it");
                }
                waiting.fetch_sub(1, Ordering::Relaxed);
            }
        };
        tokio::join!(work_off(announcements, closing, announce), work_off(endings, closing, end));
    }
}

/// Carries out what comes, much of it at once.
async fn work_off<T, F: Future<Output = ()>>(
    mut orders: mpsc::UnboundedReceiver<T>,
    closing: &CancellationToken,
    carry_out: impl Fn(T) -> F,
) {
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some(()) = running.next() => {}
            order = orders.recv(), if running.len() < AT_ONCE => match order {
                Some(order) => running.push(carry_out(order)),
                None => break,
            },
            () = closing.cancelled(), if !orders.is_closed() => orders.close(),
        }
    }
    while running.next().await.is_some() {}
}

async fn end(ending: Ending) {
    // A lost claim comes again by itself.
    let _ = match ending.way {
        Way::Settle(fate) => ending.delivery.settle(fate).await,
        Way::Leave => ending.delivery.leave().await,
    };
}

/// The message that announces a slice.
pub fn announcement(message: SliceMessage) -> Outgoing {
    let SliceMessage { job: JobKey(job), slice: SliceNo(slice) } = message;
    Outgoing {
        to: To::Queue(SLICES.to_owned()),
        kind: KIND.to_owned(),
        message_id: format!("slice-{job}-{slice}"),
        correlation_id: None,
        reply_to: None,
        headers: Vec::new(),
        body: format!("{{\"job\":{job},\"slice\":{slice}}}").into_bytes(),
    }
}

fn read(body: &[u8]) -> Option<SliceMessage> {
    let body: Body = serde_json::from_slice(body).ok()?;
    Some(SliceMessage { job: JobKey(body.job), slice: SliceNo(body.slice) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::RetryAfter;
    use crate::queue::rabbitmq::delivery::Origin;
    use crate::queue::rabbitmq::tests::Recorder;
    use crate::queue::rabbitmq::tests::delivery;
    use crate::queue::rabbitmq::tests::recorder;

    const MESSAGE: SliceMessage = SliceMessage { job: JobKey(12), slice: SliceNo(3) };

    struct Bench {
        slices: RabbitSlices,
        clerk: Clerk,
        recorder: Arc<Recorder>,
        copier: Copier,
    }

    fn bench(unconfirmed: usize) -> Bench {
        let (recorder, copier) = recorder(unconfirmed);
        let (slices, clerk) = open(Arc::new(Inbox::default()), copier.clone());
        Bench { slices, clerk, recorder, copier }
    }

    impl Bench {
        fn receive(&self, body: &str) {
            let delivery = delivery(body, Origin::Shared, &self.copier);
            self.slices.inbox.put(Event::Message(Box::new(delivery)));
        }

        /// Closes, and shows what was published, with the number of tries it carries.
        async fn close(self) -> Vec<(To, String)> {
            let closing = CancellationToken::new();
            closing.cancel();
            self.clerk.run(&closing).await;
            let published = std::mem::take(&mut *self.recorder.published.lock().unwrap());
            let first_header =
                |message: &Outgoing| message.headers.first().map_or_else(String::new, |(_, v)| v.clone());
            published.into_iter().map(|message| (message.to.clone(), first_header(&message))).collect()
        }
    }

    #[test]
    fn an_announcement_reads_back_as_what_it_announced() {
        let announced = announcement(MESSAGE);
        assert_eq!(announced.body, br#"{"job":12,"slice":3}"#);
        assert_eq!(read(&announced.body), Some(MESSAGE));
        assert_eq!(read(b"{\"job\":12}"), None);
    }

    #[tokio::test]
    async fn two_deliveries_of_a_slice_have_two_receipts_and_each_is_settled_once() {
        let bench = bench(0);
        bench.receive(r#"{"job":12,"slice":3}"#);
        bench.receive(r#"{"job":12,"slice":3}"#);
        let first = bench.slices.receive().await.unwrap();
        let second = bench.slices.receive().await.unwrap();
        assert_eq!((first.message, second.message), (MESSAGE, MESSAGE));
        assert_ne!(first.receipt, second.receipt);
        bench.slices.settle(first.receipt, Disposition::Later(RetryAfter::OneSecond));
        bench.slices.settle(first.receipt, Disposition::Later(RetryAfter::OneSecond));
        bench.slices.settle(second.receipt, Disposition::Done);
        let again = To::Retry(RetryAfter::OneSecond, "weir.enrich".to_owned());
        assert_eq!(bench.close().await, [(again, "3".to_owned())]);
    }

    #[tokio::test]
    async fn a_body_that_cannot_be_read_is_laid_aside_and_the_next_is_received() {
        let bench = bench(0);
        bench.receive("slice 3 of job 12");
        bench.receive(r#"{"job":12,"slice":3}"#);
        assert_eq!(bench.slices.receive().await.unwrap().message, MESSAGE);
        assert_eq!(bench.close().await, [(To::Queue("weir.dead".to_owned()), "invalid".to_owned())]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_announcement_is_repeated_until_it_is_confirmed() {
        let bench = bench(3);
        bench.slices.publish(MESSAGE);
        let waiting = Arc::clone(&bench.slices.waiting);
        assert_eq!(bench.close().await.len(), 4);
        assert_eq!(waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn there_is_no_more_after_the_end() {
        let bench = bench(0);
        bench.slices.inbox.end();
        assert_eq!(bench.slices.receive().await, None);
    }
}
