//! A PostgreSQL database for one test.

use std::env;
use std::thread;
use tokio::runtime::Builder;
use tokio_postgres::Error;
use tokio_postgres::NoTls;
use tokio_postgres::SimpleQueryMessage;
use url::Url;
use uuid::Uuid;

/// An empty database, dropped with this value.
pub(crate) struct Postgres {
    /// Where databases are made from.
    server: String,
    name: String,
    url: String,
}

impl Postgres {
    /// Runs a statement in this database, as only a test of what time does needs it.
    pub(crate) async fn run(&self, sql: &str) {
        run(&self.url, sql).await.unwrap();
    }

    pub(crate) async fn fresh() -> Self {
        let server = env::var("WEIR_TEST_POSTGRES");
        let server = server.unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/postgres".to_owned());
        let name = format!("weir_test_{}", Uuid::now_v7().simple());
        // Nobody is ever connected to template0, so that tests may do this at the same time.
        let made = run(&server, &format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")).await;
        if let Err(error) = made {
            panic!("PostgreSQL makes no database ({error}): run ./scripts/test, which finds one or starts it");
        }
        let mut url = Url::parse(&server).unwrap();
        url.set_path(&format!("/{name}"));
        Self { server, name, url: url.into() }
    }

    /// For `store.url`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Has the server end every connection to this database; how many there were.
    pub(crate) async fn cut_connections(&self) -> usize {
        let name = &self.name;
        let cut = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
        run(&self.server, &cut).await.unwrap()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let server = self.server.clone();
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // On a thread of its own: this one may be running a test's futures.
        let dropping = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(run(&server, &sql))
        });
        // A database left behind does no harm, and its name says whose it was.
        let _ = dropping.join();
    }
}

/// Runs one statement on a connection of its own; how many rows came back.
async fn run(url: &str, sql: &str) -> Result<usize, Error> {
    let (client, connection) = Box::pin(tokio_postgres::connect(url, NoTls)).await?;
    // The connection ends once the client is gone.
    let (answer, _) = tokio::join!(async move { client.simple_query(sql).await }, connection);
    Ok(answer?.iter().filter(|message| matches!(message, SimpleQueryMessage::Row(_))).count())
}
