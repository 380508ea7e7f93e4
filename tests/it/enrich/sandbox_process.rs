//! The providers' side: a `weir sandbox` process, its record of calls, and its faults.

use crate::services::Call;
use crate::services::LINES;
use crate::services::PLAYED;
use serde_json::Value;
use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use tempfile::TempDir;

/// A running `weir sandbox`, killed when dropped.
pub(super) struct SandboxProcess {
    child: Child,
    folder: TempDir,
    /// The variables it printed, which point a `weir` at it.
    pub(super) variables: Vec<(String, String)>,
}

impl SandboxProcess {
    pub(super) fn start(args: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_weir"))
            .args(["sandbox", "--listen", "127.0.0.1:0", "--record", "calls.ndjson"])
            .args(args)
            .env_clear()
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().take(LINES).map(Result::unwrap);
        let variables: Vec<_> = lines
            .filter_map(|line| line.split_once('=').map(|(name, url)| (name.to_owned(), url.to_owned())))
            .collect();
        assert_eq!(variables.len(), PLAYED, "{variables:?}");
        Self { child, folder, variables }
    }

    /// Every call so far. One that was answered is in it.
    pub(super) fn calls(&self) -> Vec<Call> {
        self.record().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.record().lines().count()
    }

    pub(super) fn count_of(&self, provider: &str, operation: &str) -> usize {
        self.calls().iter().filter(|call| call.provider == provider && call.operation == operation).count()
    }

    /// Switches a fault: the body of `POST /_sandbox/faults`.
    pub(super) fn fault(&self, order: &Value) {
        let (_, url) = self.variables.first().unwrap();
        let address = url.trim_start_matches("http://").split('/').next().unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let body = order.to_string();
        let head = "POST /_sandbox/faults HTTP/1.1\r\nhost: sandbox\r\nconnection: close";
        write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{order}: {answer}");
    }

    /// Its lines that are whole.
    fn record(&self) -> String {
        let path: PathBuf = self.folder.path().join("calls.ndjson");
        let mut text = fs::read_to_string(path).unwrap();
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
        text
    }
}

impl Drop for SandboxProcess {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
