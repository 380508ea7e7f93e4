//! The shared store's connections: one for the group commit, a few for everything else.

use crate::ledger::LedgerError;
use crate::store::opening::Nature;
use crate::store::opening::OpenError;
use crate::store::postgres::committer::CommitObserver;
use crate::store::postgres::committer::Committer;
use crate::store::postgres::error::explain;
use crate::store::postgres::error::pool_error;
use crate::store::postgres::migrate::Upgrade;
use crate::store::postgres::migrate::migrate;
use deadpool_postgres::BuildError;
use deadpool_postgres::Hook;
use deadpool_postgres::HookError;
use deadpool_postgres::Manager;
use deadpool_postgres::ManagerConfig;
use deadpool_postgres::Object;
use deadpool_postgres::Pool;
use deadpool_postgres::RecyclingMethod;
use deadpool_postgres::Runtime;
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres::Config;
use tokio_postgres::Error;
use tokio_postgres::NoTls;
use tokio_postgres::config::Host;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Connections for everything but the group commit and the lifeline.
const MAX_CONNECTIONS: usize = 8;
/// Connections of the lifeline: for heartbeats, and for leases.
const LIFELINE: usize = 2;
/// Said on each connection when it is made. Nobody waits without end for a row that somebody else has locked;
/// and to compile what is run once takes longer than to run it.
const SETTINGS: &str = "SET lock_timeout = '10s'; SET jit = off";
/// The same for the lifeline, where others wait behind whoever waits.
const LIFELINE_SETTINGS: &str = "SET lock_timeout = '500ms'; SET jit = off";
/// How long a caller waits for one of them to be free.
const WAIT: Duration = Duration::from_secs(30);
/// How long making one may take, from the look-up of the name to the server's welcome.
const CONNECT: Duration = Duration::from_secs(10);
/// A server that is gone without a word is given up after so long, not after two hours.
const SILENCE: Duration = Duration::from_secs(30);
/// What the driver says when nobody has chosen.
const KEEPALIVE_UNSET: Duration = Duration::from_hours(2);
/// How the server's own lists name these connections.
const NAME: &str = "weir";

/// The shared store.
pub struct PostgresStore {
    pub(super) pool: Pool,
    /// For what keeps a worker's slices its own: no reading, however long, stands in its way.
    pub(super) lifeline: Pool,
    pub(super) committer: Committer,
}

impl PostgresStore {
    /// Opens the store, making it first when the database is empty.
    ///
    /// # Errors
    /// When the store is of the other nature, newer than this program, older (see
    /// [`PostgresStore::migrate`]), or cannot be reached.
    pub async fn open(url: &SecretString, nature: Nature) -> Result<Self, OpenError> {
        let door = Door::to(url, nature, Upgrade::EmptyOnly).await?.0;
        let unusable = |why: String| OpenError::Unusable { store: door.store.clone(), why };
        let pool = door.pool(MAX_CONNECTIONS, SETTINGS).map_err(|error| unusable(error.to_string()))?;
        let lifeline = door.pool(LIFELINE, LIFELINE_SETTINGS).map_err(|error| unusable(error.to_string()))?;
        let committer = Committer::start(door.clone()).map_err(|error| unusable(error.to_string()))?;
        Ok(Self { pool, lifeline, committer })
    }

    /// Makes the store, or brings it up to date; `false` when it was.
    ///
    /// # Errors
    /// When the store is of the other nature, newer than this program, or cannot be reached or changed.
    pub async fn migrate(url: &SecretString, nature: Nature) -> Result<bool, OpenError> {
        Ok(Door::to(url, nature, Upgrade::Always).await?.1)
    }

    /// From now on `observer` is told of every commit of the ledger; the first one stays.
    pub fn observe(&self, observer: Arc<dyn CommitObserver>) {
        self.committer.observe(observer);
    }

    /// A connection for one transaction, or one reading.
    pub(super) async fn client(&self) -> Result<Object, LedgerError> {
        client_of(&self.pool).await
    }
}

/// A connection of a pool.
pub(super) async fn client_of(pool: &Pool) -> Result<Object, LedgerError> {
    pool.get().await.map_err(|error| pool_error(&error))
}

/// How the database is reached.
#[derive(Clone)]
pub(super) struct Door {
    config: Config,
    /// `None`: in the clear.
    tls: Option<MakeRustlsConnect>,
    /// What it is called in messages: neither user nor password.
    store: String,
}

impl Door {
    /// Finds the way in, and makes sure that a store of this nature is behind it; `true` when its schema
    /// was changed.
    async fn to(url: &SecretString, nature: Nature, upgrade: Upgrade) -> Result<(Self, bool), OpenError> {
        let (door, mut line) = Box::pin(Self::read(url)?.secure()).await?;
        let is_changed = migrate(&mut line.client, &door.store, nature, upgrade).await?;
        line.close().await;
        Ok((door, is_changed))
    }

    fn read(url: &SecretString) -> Result<Self, OpenError> {
        // What the parser says may quote the password.
        let mut config: Config = url.expose_secret().parse().map_err(|_| OpenError::Unusable {
            store: "store.url".to_owned(),
            why: "write it as postgres://USER:PASSWORD@HOST:PORT/DATABASE; sslmode is disable, prefer or require"
                .to_owned(),
        })?;
        if config.get_application_name().is_none() {
            config.application_name(NAME);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SILENCE);
        }
        if config.get_keepalives_idle() == KEEPALIVE_UNSET {
            config.keepalives_idle(SILENCE);
        }
        let store = name(&config);
        Ok(Self { config, tls: None, store })
    }

    /// Goes through it, with TLS if it is asked for. What `prefer` cannot get it goes without; a certificate
    /// that nobody vouches for is never taken.
    async fn secure(self) -> Result<(Self, Line), OpenError> {
        let unusable = |why: String| OpenError::Unusable { store: self.store.clone(), why };
        let mode = self.config.get_ssl_mode();
        let is_remote = !self.config.get_hostaddrs().is_empty()
            || self.config.get_hosts().iter().any(|host| matches!(host, Host::Tcp(_)));
        let is_wanted = mode != SslMode::Prefer || !self.is_here();
        if mode == SslMode::Disable || !is_remote || !is_wanted {
            let line = self.connect(NAME).await.map_err(unusable)?;
            return Ok((self, line));
        }
        let secured = match trust() {
            Ok(tls) => {
                let door = Self { tls: Some(tls), ..self.clone() };
                door.connect(NAME).await.map(|line| (door, line))
            }
            Err(error) => Err(error.to_string()),
        };
        match secured {
            Err(why) if mode == SslMode::Prefer => {
                // Without TLS it fails for the same reason, unless TLS was the reason.
                let Ok(line) = self.connect(NAME).await else { return Err(unusable(why)) };
                tracing::warn!("{} is reached without TLS ({why}); sslmode=require insists on it", self.store);
                Ok((self, line))
            }
            secured => secured.map_err(unusable),
        }
    }

    /// On this machine nobody listens in, and a server's certificate rarely names it.
    fn is_here(&self) -> bool {
        let is_here = |host: &Host| match host {
            Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()),
            Host::Unix(_) => true,
        };
        self.config.get_hosts().iter().all(is_here) && self.config.get_hostaddrs().iter().all(IpAddr::is_loopback)
    }

    /// A new connection, or why there is none.
    pub(super) async fn connect(&self, name: &str) -> Result<Line, String> {
        let mut config = self.config.clone();
        if config.get_application_name() == Some(NAME) {
            config.application_name(name);
        }
        let connected = timeout(CONNECT, Box::pin(self.dial(&config))).await;
        connected
            .map_err(|_| format!("the server did not answer within {} s", CONNECT.as_secs()))?
            .map_err(|error| explain(&error))
    }

    async fn dial(&self, config: &Config) -> Result<Line, Error> {
        let mut driver = JoinSet::new();
        let client = match &self.tls {
            Some(tls) => {
                let (client, connection) = config.connect(tls.clone()).await?;
                driver.spawn(drive(connection));
                client
            }
            None => {
                let (client, connection) = config.connect(NoTls).await?;
                driver.spawn(drive(connection));
                client
            }
        };
        Ok(Line { client, driver })
    }

    /// At most so many connections, with these settings.
    fn pool(&self, size: usize, settings: &'static str) -> Result<Pool, BuildError> {
        let config = self.config.clone();
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let connections = match self.tls.clone() {
            Some(tls) => Manager::from_config(config, tls, recycling),
            None => Manager::from_config(config, NoTls, recycling),
        };
        Pool::builder(connections)
            .max_size(size)
            .post_create(Hook::async_fn(move |client, _| {
                Box::pin(async move { client.batch_execute(settings).await.map_err(HookError::Backend) })
            }))
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(CONNECT))
            .build()
    }
}

/// A connection, and what keeps it going.
pub(super) struct Line {
    pub(super) client: Client,
    driver: JoinSet<()>,
}

impl Line {
    /// Takes leave of the server.
    async fn close(self) {
        let Self { client, mut driver } = self;
        drop(client);
        while driver.join_next().await.is_some() {}
    }
}

async fn drive(connection: impl Future<Output = Result<(), Error>>) {
    if let Err(error) = connection.await {
        tracing::debug!("a connection to the database ended: {}", explain(&error));
    }
}

/// TLS by what the system trusts.
fn trust() -> Result<MakeRustlsConnect, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn name(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => config.get_hostaddrs().first().map_or_else(|| "no host".to_owned(), ToString::to_string),
    };
    match config.get_dbname() {
        Some(database) => format!("the database {database} at {host}"),
        None => format!("the database at {host}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_named_without_user_and_password() {
        for (url, store) in [
            ("postgres://weir:hunter2@db.test:5433/books", "the database books at db.test"),
            ("postgres://weir:hunter2@%2Fvar%2Frun/books", "the database books at /var/run"),
            ("postgres://weir:hunter2@10.0.0.1", "the database at 10.0.0.1"),
        ] {
            assert_eq!(Door::read(&SecretString::from(url)).unwrap().store, store);
        }
    }

    #[test]
    fn a_wrong_url_is_not_quoted() {
        for url in ["postgres://weir:hunter2@db.test/books?hunter2=1", "postgres://weir:hunter2@db:hunter2/x"] {
            let error = Door::read(&SecretString::from(url)).map(drop).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_the_url_says_of_timeouts_stays() {
        let read = |url: &str| Door::read(&SecretString::from(url)).unwrap().config;
        let said = read("postgres://weir@db.test/books?connect_timeout=3&keepalives_idle=5&application_name=mine");
        assert_eq!(said.get_connect_timeout(), Some(&Duration::from_secs(3)));
        assert_eq!(said.get_keepalives_idle(), Duration::from_secs(5));
        assert_eq!(said.get_application_name(), Some("mine"));
        let unsaid = read("postgres://weir@db.test/books");
        assert_eq!(unsaid.get_connect_timeout(), Some(&CONNECT));
        assert_eq!(unsaid.get_keepalives_idle(), SILENCE);
        assert_eq!(unsaid.get_application_name(), Some(NAME));
    }
}
