//! PostgreSQL beside the store: what a benchmark asks of the database itself. Without TLS.

use crate::cli::BadInput;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use std::convert::Infallible;
use tokio_postgres::Client;
use tokio_postgres::Config;
use tokio_postgres::Connection;
use tokio_postgres::Error;
use tokio_postgres::NoTls;
use tokio_postgres::Socket;
use tokio_postgres::tls::NoTlsStream;

/// A connection that must run beside whoever uses it.
pub(super) type Line = Connection<Socket, NoTlsStream>;

/// An address on the command line: it may hold a password.
pub(super) fn address(text: &str) -> Result<SecretString, Infallible> {
    Ok(SecretString::from(text))
}

/// How the database at this address is reached.
pub(super) fn reach(url: &SecretString) -> Result<Config> {
    let text = url.expose_secret();
    let is_postgres = ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme));
    // What the parser says may quote the password.
    let config = if is_postgres { text.parse::<Config>().ok() } else { None };
    let bad = || BadInput("--store: write it as postgres://USER:PASSWORD@HOST:PORT/DATABASE".to_owned());
    Ok(config.ok_or_else(bad)?)
}

/// Connects, and hands out the connection too.
pub(super) async fn connect(config: &Config) -> Result<(Client, Line)> {
    Box::pin(config.connect(NoTls)).await.context("the database cannot be reached without TLS")
}

/// Runs `work` beside the connection that it uses.
pub(super) async fn beside<T>(
    line: impl Future<Output = Result<(), Error>>,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        worked = work => worked,
        ended = line => {
            ended.context("the connection to the database was lost")?;
            bail!("the database hung up")
        }
    }
}

/// Gives each run the same start: statistics, no dead rows, and nothing of the run before to be flushed.
pub(super) async fn calm(config: &Config) -> Result<()> {
    let (client, line) = connect(config).await?;
    let calming = async move {
        client.batch_execute("VACUUM ANALYZE").await?;
        // Not everybody may; then the server does it in its own time.
        if let Err(error) = client.batch_execute("CHECKPOINT").await {
            tracing::debug!("no checkpoint: {error}");
        }
        anyhow::Ok(())
    };
    beside(line, calming).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_none_is_bad_input_and_not_quoted() {
        assert!(reach(&SecretString::from("postgres://weir@db.test/bench")).is_ok());
        for url in ["sqlite://hunter2", "postgres://weir:hunter2@db:hunter2/x", "hunter2"] {
            let error = reach(&SecretString::from(url)).unwrap_err();
            assert!(error.is::<BadInput>() && !error.to_string().contains("hunter2"), "{error}");
        }
    }
}
