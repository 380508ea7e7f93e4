//! The floor of a lead's calls: the same two requests to the same sandbox, sent by the bare client and
//! their answers read as JSON.
//!
//! Left out: the adapters; rate limits, breakers and slots; retries, and what may have been billed by a
//! call that failed; the size limit of an answer; the care for keys. And everything that is no call:
//! leads, money, the journal.

use crate::cli::bench::measure::Measured;
use crate::cli::bench::measure::Tally;
use crate::cli::bench::measure::measure;
use crate::cli::bench::sandbox_process::SandboxProcess;
use anyhow::Result;
use anyhow::ensure;
use reqwest::Client;
use reqwest::RequestBuilder;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// Loops, each with one call under way.
const LOOPS: u32 = 256;
/// Connections that are kept: one for each loop, and room.
const MAX_IDLE: usize = 1024;
const TIMEOUT: Duration = Duration::from_secs(60);
/// The sandbox takes any that does not ask for trouble.
const KEY: &str = "bench";

/// What all loops share.
struct Desk {
    client: Client,
    find: String,
    verify: String,
    tickets: AtomicU32,
}

#[derive(Serialize)]
struct Search<'a> {
    first_name: &'a str,
    last_name: &'a str,
    domain: &'a str,
}

#[derive(Deserialize)]
struct Found {
    email: String,
    credits_consumed: u32,
}

#[derive(Deserialize)]
struct Judged {
    status: String,
}

/// Finds and verifies as fast as it goes; an operation is a call.
pub(super) async fn run(sandbox: &SandboxProcess, seconds: u32) -> Result<Measured> {
    let builder = Client::builder().pool_max_idle_per_host(MAX_IDLE).timeout(TIMEOUT).tcp_nodelay(true).no_proxy();
    let desk = Arc::new(Desk {
        client: builder.build()?,
        find: format!("{}/v1/people/email-finder", sandbox.base_url("leadmagic")?),
        verify: format!("{}/validate", sandbox.base_url("zerobounce")?),
        tickets: AtomicU32::new(0),
    });
    let start = move |tally| press(Arc::clone(&desk), tally);
    measure(LOOPS, seconds, Some(sandbox.process()), start).await
}

async fn press(desk: Arc<Desk>, tally: Tally) -> Result<()> {
    while tally.goes_on() {
        let sent = Instant::now();
        let Found { email, credits_consumed } = read(desk.find()?).await?;
        tally.answered(sent, 1);
        let sent = Instant::now();
        let Judged { status } = read(desk.verify(&email)).await?;
        tally.answered(sent, 1);
        ensure!(credits_consumed == 1 && status == "valid", "the sandbox does not know its own people");
    }
    Ok(())
}

impl Desk {
    fn find(&self) -> Result<RequestBuilder> {
        let domain = format!("c{}.hit.test", self.tickets.fetch_add(1, Ordering::Relaxed));
        let search = Search { first_name: "Ada", last_name: "Sample", domain: &domain };
        let request = self.client.post(&self.find).header("x-api-key", KEY).header(CONTENT_TYPE, "application/json");
        Ok(request.body(serde_json::to_vec(&search)?))
    }

    fn verify(&self, email: &str) -> RequestBuilder {
        self.client.get(format!("{}?email={email}&ip_address=&timeout=20&api_key={KEY}", self.verify))
    }
}

async fn read<T: DeserializeOwned>(request: RequestBuilder) -> Result<T> {
    let body = request.send().await?.bytes().await?;
    Ok(serde_json::from_slice(&body)?)
}
