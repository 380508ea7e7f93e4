//! A `weir worker` that runs, and what can happen to it.

use crate::services::ConfigFolder;
use crate::services::eventually;
use reqwest::Client;
use rustix::process::Pid;
use rustix::process::WaitId;
use rustix::process::WaitIdOptions;
use rustix::process::waitid;
use std::fs;
use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

/// For connecting, and for a drain.
const PATIENCE: Duration = Duration::from_secs(60);

/// For one answer of its HTTP side; a paused worker gives none.
const ANSWER: Duration = Duration::from_secs(2);

/// A process that ends with this value, if not before.
pub(crate) struct WorkerProcess {
    child: Child,
    /// Of its metrics.
    root: String,
    log: PathBuf,
    client: Client,
}

impl WorkerProcess {
    /// Starts one more worker of the folder, with these variables besides the folder's.
    pub(crate) fn start(folder: &ConfigFolder, variables: &[(&str, &str)]) -> Self {
        let listen = format!("127.0.0.1:{}", free_port());
        let log = folder.path(&format!("worker-{listen}.log"));
        let child = folder
            .command(&["worker"])
            .env("WEIR__WORKER__METRICS_LISTEN", &listen)
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let client = Client::builder().no_proxy().timeout(ANSWER).build().unwrap();
        Self { child, root: format!("http://{listen}"), log, client }
    }

    /// Waits until it takes work.
    pub(crate) async fn wait_ready(&mut self) {
        let ready = async || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the worker ended with {status}: {}", self.log());
            }
            self.is_ready().await.then_some(())
        };
        eventually("a worker that is ready", PATIENCE, ready).await;
    }

    /// Does it say so itself?
    pub(crate) async fn is_ready(&self) -> bool {
        self.get("/readyz").await.is_some_and(|(status, _)| status == 200)
    }

    /// All its metrics, as Prometheus reads them.
    pub(crate) async fn metrics(&self) -> String {
        self.get("/metrics").await.unwrap().1
    }

    /// What it has logged so far: JSON lines.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// SIGSTOP: it stands still, and its connections stay open.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
        // The kernel tells the parent once every thread has stopped; until then some still answer.
        let stopped = waitid(WaitId::Pid(Pid::from_child(&self.child)), WaitIdOptions::STOPPED);
        assert!(stopped.unwrap().is_some_and(|status| status.stopped()));
    }

    /// SIGCONT.
    pub(crate) fn wake(&self) {
        self.signal("-CONT");
    }

    /// SIGTERM: it is asked to drain and to end.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// SIGHUP: it is asked to read its files again.
    pub(crate) fn reread(&self) {
        self.signal("-HUP");
    }

    /// `kill -9`.
    pub(crate) fn kill9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end: the exit code, or `None` if a signal ended it.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let status = eventually("the worker's end", PATIENCE, async || self.child.try_wait().unwrap()).await;
        status.code()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success(), "{name}");
    }

    /// What its HTTP side answers, status and text; `None` where nobody does.
    pub(crate) async fn get(&self, path: &str) -> Option<(u16, String)> {
        let answer = self.client.get(format!("{}{path}", self.root)).send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.text().await.ok()?))
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        // Of a process that has ended there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Free when it was asked for; a worker that finds it taken says so and ends.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
