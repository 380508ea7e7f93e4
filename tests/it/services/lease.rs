//! Whose a vhost is, and who may block the whole broker: OS file locks, which the kernel frees at death.
//!
//! The locks hold between all test processes of this machine, whatever runs them.

use crate::services::eventually;
use std::env;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::fs::TryLockError;
use std::path::Path;
use std::time::Duration;

/// Other tests may need their vhosts as long as this.
const PATIENCE: Duration = Duration::from_secs(600);

/// Who else may use the broker meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Company {
    /// Other tests, in vhosts of their own.
    Others,
    /// No other test.
    Nobody,
}

/// A test's vhost, until this is dropped.
pub(super) struct Lease {
    pub(super) vhost: String,
    pub(super) company: Company,
    _vhost_lock: File,
    _broker_lock: File,
}

impl Lease {
    /// Waits for a vhost that no other test has.
    pub(super) async fn take(company: Company) -> Self {
        let folder = env::temp_dir().join("weir-test-vhosts");
        fs::create_dir_all(&folder).unwrap();
        let broker_lock = eventually("the broker", PATIENCE, async || lock(&folder.join("broker.lock"), company)).await;
        let vhosts = vhosts();
        let free = async || {
            vhosts.iter().find_map(|vhost| {
                let path = folder.join(format!("{vhost}.lock"));
                Some((vhost.clone(), lock(&path, Company::Nobody)?))
            })
        };
        let (vhost, vhost_lock) = eventually("a free vhost", PATIENCE, free).await;
        Self { vhost, company, _vhost_lock: vhost_lock, _broker_lock: broker_lock }
    }
}

/// What `scripts/services` has made.
fn vhosts() -> Vec<String> {
    match env::var("WEIR_TEST_RABBITMQ_VHOSTS") {
        Ok(names) => names.split_whitespace().map(str::to_owned).collect(),
        Err(_) => (1..=8).map(|n| format!("weir_test_{n}")).collect(),
    }
}

/// The locked file, unless others hold it.
fn lock(path: &Path, company: Company) -> Option<File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).unwrap();
    let answer = match company {
        Company::Others => file.try_lock_shared(),
        Company::Nobody => file.try_lock(),
    };
    match answer {
        Ok(()) => Some(file),
        Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Error(error)) => panic!("{}: {error}", path.display()),
    }
}
