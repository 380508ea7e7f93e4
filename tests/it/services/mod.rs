//! PostgreSQL, RabbitMQ, providers and workers for the tests that need real ones.
//!
//! Knows where `scripts/services` has put the two, and how a worker is started, looked at and disturbed from outside.
//! Each test has a database and a vhost to itself. Such a test says `#[tokio::test(flavor = "multi_thread")]`:
//! connections live on while its own thread is busy.
//! Invariant: nothing here reaches into the crate, and nothing sleeps but [`eventually`].

mod folder;
mod lease;
mod models;
mod postgres;
mod proof;
mod proxy;
mod rabbitmq;
mod received;
mod sandbox;
mod session;
mod wait;
mod worker;

pub(crate) use folder::Config;
pub(crate) use folder::ConfigFolder;
pub(crate) use folder::PRICES;
pub(crate) use models::CLAUDE;
pub(crate) use models::GPT;
pub(crate) use models::Tokens;
pub(crate) use models::model_tables;
pub(crate) use models::output_price;
pub(crate) use models::price_of;
pub(crate) use postgres::Postgres;
pub(crate) use proxy::Proxy;
pub(crate) use proxy::Stop;
pub(crate) use rabbitmq::Message;
pub(crate) use rabbitmq::RabbitMq;
pub(crate) use received::Received;
pub(crate) use sandbox::Call;
pub(crate) use sandbox::LINES;
pub(crate) use sandbox::PLAYED;
pub(crate) use sandbox::Sandbox;
pub(crate) use session::RowLock;
pub(crate) use session::Session;
pub(crate) use wait::eventually;
pub(crate) use worker::WorkerProcess;
