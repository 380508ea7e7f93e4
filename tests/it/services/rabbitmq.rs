//! A RabbitMQ vhost for one test, and what can happen to a broker.
//!
//! Making a vhost takes half a second, emptying one a twentieth: vhosts are lent, not made.

use crate::services::lease::Company;
use crate::services::lease::Lease;
use crate::services::received::Received;
use futures_util::StreamExt;
use lapin::BasicProperties;
use lapin::Channel;
use lapin::Confirmation;
use lapin::Connection;
use lapin::ConnectionProperties;
use lapin::options::BasicAckOptions;
use lapin::options::BasicConsumeOptions;
use lapin::options::BasicPublishOptions;
use lapin::options::BasicQosOptions;
use lapin::options::ConfirmSelectOptions;
use lapin::options::ExchangeDeleteOptions;
use lapin::options::QueueBindOptions;
use lapin::options::QueueDeclareOptions;
use lapin::options::QueueDeleteOptions;
use lapin::types::FieldTable;
use serde_json::Value;
use std::env;
use std::io;
use std::process::Command;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use url::Url;

/// What a worker declares (CONTRACTS §4, topology).
const QUEUES: [&str; 9] = [
    "weir.enrich",
    "weir.copy",
    "weir.jobcontrol",
    "weir.slices",
    "weir.results",
    "weir.dead",
    "weir.retry.1s",
    "weir.retry.10s",
    "weir.retry.60s",
];
const EXCHANGES: [&str; 6] =
    ["weir.jobs", "weir.control", "weir.events", "weir.retry.1s", "weir.retry.10s", "weir.retry.60s"];

/// No confirmation of a broker that is not blocked takes as long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Messages on their way while a queue is drained. What is left of them goes back.
const PREFETCH: u16 = 100;

/// So little memory that the node is always above it, and what its configuration says.
const RAISE: &str = "vm_memory_monitor:set_vm_memory_high_watermark(1.0e-7).";
const CLEAR: &str = "{ok, Configured} = application:get_env(rabbit, vm_memory_high_watermark), \
                     vm_memory_monitor:set_vm_memory_high_watermark(Configured).";

/// A vhost without any of the worker's queues, this test's until this value is dropped.
pub(crate) struct RabbitMq {
    url: String,
    connection: Mutex<Connection>,
    lease: Lease,
}

/// What a test publishes. A text left empty is left out; without an exchange it goes to the queue of that name.
#[derive(Clone, Copy, Default)]
pub(crate) struct Message<'a> {
    pub(crate) exchange: &'a str,
    pub(crate) routing_key: &'a str,
    /// The AMQP `type`.
    pub(crate) kind: &'a str,
    pub(crate) message_id: &'a str,
    pub(crate) correlation_id: &'a str,
    pub(crate) reply_to: &'a str,
    pub(crate) body: &'a [u8],
}

/// Every publisher of the node is blocked until this is dropped.
pub(crate) struct Alarm(());

impl RabbitMq {
    pub(crate) async fn fresh() -> Self {
        Self::emptied(Lease::take(Company::Others).await).await
    }

    /// Without any other test beside, for what meets the whole node. It waits for the others to end, so a test takes
    /// this first; its name begins with `alone_`, by which nextest lets it run by itself.
    pub(crate) async fn alone() -> Self {
        Self::emptied(Lease::take(Company::Nobody).await).await
    }

    async fn emptied(lease: Lease) -> Self {
        let server = env::var("WEIR_TEST_RABBITMQ");
        let server = server.unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672".to_owned());
        let mut url = Url::parse(&server).unwrap();
        url.set_path(&format!("/{}", lease.vhost));
        let connection = connect(url.as_str()).await;
        let broker = Self { url: url.into(), connection: Mutex::new(connection), lease };
        for queue in QUEUES {
            broker.delete_queue(queue).await;
        }
        let channel = broker.channel().await;
        for exchange in EXCHANGES {
            channel.exchange_delete(exchange.into(), ExchangeDeleteOptions::default()).await.unwrap();
        }
        broker
    }

    /// For `broker.url`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Publishes, and has the broker's word that it lies in a queue.
    pub(crate) async fn publish(&self, message: Message<'_>) {
        let channel = self.channel().await;
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let (exchange, key) = (message.exchange.into(), message.routing_key.into());
        let publishing = async {
            let sent = channel.basic_publish(exchange, key, options, message.body, message.properties()).await;
            sent.unwrap().await.unwrap()
        };
        let confirmation = timeout(PATIENCE, publishing).await;
        assert_eq!(confirmation, Ok(Confirmation::Ack(None)), "unconfirmed, or no queue would take it");
    }

    /// Takes `n` messages from a queue, and leaves the others in it.
    pub(crate) async fn drain(&self, queue: &str, n: usize, patience: Duration) -> Vec<Received> {
        self.drain_until(queue, patience, |taken| taken.len() >= n).await
    }

    /// Takes messages from a queue, one by one, until those taken are enough, and leaves the others in it.
    pub(crate) async fn drain_until(
        &self,
        queue: &str,
        patience: Duration,
        mut enough: impl FnMut(&[Received]) -> bool,
    ) -> Vec<Received> {
        let channel = self.channel().await;
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await.unwrap();
        let consuming =
            channel.basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default());
        let mut consumer = consuming.await.unwrap();
        let mut taken = Vec::new();
        let taking = async {
            while !enough(&taken) {
                let delivery = consumer.next().await.unwrap().unwrap();
                assert!(delivery.ack(BasicAckOptions::default()).await.unwrap());
                taken.push(Received::new(delivery));
            }
        };
        let all_came = timeout(patience, taking).await.is_ok();
        assert!(all_came, "{} messages came to {queue} within {patience:?}, and that is not all", taken.len());
        // The rest goes back.
        channel.close(200, "OK".into()).await.unwrap();
        taken
    }

    /// The next `n` messages for the platform: results and completions, as they came.
    pub(crate) async fn drain_results(&self, n: usize, patience: Duration) -> Vec<Value> {
        self.drain("weir.results", n, patience).await.iter().map(Received::json).collect()
    }

    /// Messages that nobody has received yet; `None` where there is no such queue. What is received and not
    /// acknowledged is not seen.
    pub(crate) async fn queue_depth(&self, queue: &str) -> Option<u32> {
        let options = QueueDeclareOptions::durable().passive();
        let declared = self.channel().await.queue_declare(queue.into(), options, FieldTable::default()).await;
        declared.ok().map(|queue| queue.message_count())
    }

    /// Declares a queue that goes with this value, for a `reply_to`.
    pub(crate) async fn reply_queue(&self, queue: &str) {
        let options = QueueDeclareOptions::exclusive();
        self.channel().await.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap();
    }

    /// The same, for all that is said on `weir.events` from now on; some worker must have declared it.
    pub(crate) async fn listen(&self, queue: &str) {
        self.reply_queue(queue).await;
        let (exchange, everything) = ("weir.events".into(), "#".into());
        let options = QueueBindOptions::default();
        let channel = self.channel().await;
        channel.queue_bind(queue.into(), exchange, everything, options, FieldTable::default()).await.unwrap();
    }

    /// Deletes a queue, whether it exists or not.
    pub(crate) async fn delete_queue(&self, queue: &str) {
        self.channel().await.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
    }

    /// Has the broker close every connection here whose name holds `part`: a worker's id, or `weir/` for all workers.
    /// Says how many there were.
    pub(crate) async fn close_connections_of(&self, part: &str) -> usize {
        let columns = ["--no-table-headers", "list_connections", "vhost", "pid", "client_properties"];
        let listed = rabbitmqctl(&columns).await.unwrap();
        let mut closed = 0;
        for pid in listed.lines().filter_map(|line| connection_of(line, &self.lease.vhost, part)) {
            // One that has just ended by itself does not count.
            closed += usize::from(rabbitmqctl(&["close_connection", pid, "closed by a test"]).await.is_ok());
        }
        closed
    }

    /// Raises the memory alarm of the whole node, which must be this test's alone.
    pub(crate) async fn set_alarm(&self) -> Alarm {
        assert_eq!(self.lease.company, Company::Nobody, "an alarm meets every test: take RabbitMq::alone()");
        rabbitmqctl(&["eval", RAISE]).await.unwrap();
        Alarm(())
    }

    /// On a new connection if the old one is lost. A channel each: what the broker refuses closes its channel.
    async fn channel(&self) -> Channel {
        let mut connection = self.connection.lock().await;
        if !connection.status().connected() {
            *connection = connect(&self.url).await;
        }
        connection.create_channel().await.unwrap()
    }
}

impl Message<'_> {
    fn properties(&self) -> BasicProperties {
        let mut properties =
            BasicProperties::default().with_content_type("application/json".into()).with_delivery_mode(2);
        if !self.kind.is_empty() {
            properties = properties.with_type(self.kind.into());
        }
        if !self.message_id.is_empty() {
            properties = properties.with_message_id(self.message_id.into());
        }
        if !self.correlation_id.is_empty() {
            properties = properties.with_correlation_id(self.correlation_id.into());
        }
        if !self.reply_to.is_empty() {
            properties = properties.with_reply_to(self.reply_to.into());
        }
        properties
    }
}

impl Alarm {
    /// The same as dropping it, without holding the test's thread up.
    pub(crate) async fn clear(self) {
        spawn_blocking(move || drop(self)).await.unwrap();
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        // A test that panics already must not panic twice.
        let _ = run_rabbitmqctl(&["eval".to_owned(), CLEAR.to_owned()]);
    }
}

async fn connect(url: &str) -> Connection {
    let properties = ConnectionProperties::default().with_connection_name("weir-tests".into());
    match Connection::connect(url, properties).await {
        Ok(connection) => connection,
        Err(error) => panic!("RabbitMQ lends no vhost ({error}): run ./scripts/test, which finds or starts it"),
    }
}

/// The pid in a line of `list_connections`, if it is of this vhost and its name holds `part`.
fn connection_of<'l>(line: &'l str, vhost: &str, part: &str) -> Option<&'l str> {
    let (of, rest) = line.split_once('\t')?;
    let (pid, properties) = rest.split_once('\t')?;
    let (_, from_name) = properties.split_once(r#"{"connection_name",""#)?;
    let (name, _) = from_name.split_once('"')?;
    (of == vhost && name.contains(part)).then_some(pid)
}

/// What `rabbitmqctl` prints; if it fails, what it complains about.
async fn rabbitmqctl(args: &[&str]) -> Result<String, String> {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let output = spawn_blocking(move || run_rabbitmqctl(&args)).await.unwrap();
    output.unwrap_or_else(|error| Err(format!("rabbitmqctl cannot be run ({error}): run ./scripts/test")))
}

fn run_rabbitmqctl(args: &[String]) -> io::Result<Result<String, String>> {
    let words = env::var("WEIR_TEST_RABBITMQCTL").unwrap_or_else(|_| "rabbitmqctl".to_owned());
    let mut words = words.split_whitespace();
    let program = words.next().unwrap_or("rabbitmqctl");
    let output = Command::new(program).args(words).arg("-q").args(args).output()?;
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    Ok(if output.status.success() { Ok(out) } else { Err(format!("{out}{err}")) })
}
