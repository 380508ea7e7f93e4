//! How a sandbox behaves.

use std::path::PathBuf;
use std::time::Duration;

/// How a sandbox behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Decides who is known to whom, what becomes of each address, and what models write.
    pub seed: u64,
    /// How long a search, a verification, a page or a text takes; balances and Icypeas reads answer at
    /// once.
    pub latency: Duration,
    /// The share of calls, 0 to 1, that end in the vendor's own internal error.
    pub fail: f64,
    /// The share of calls, 0 to 1, that are throttled.
    pub throttle: f64,
    /// How many of 100 people each finder knows.
    pub find_rate: u8,
    /// Where to append one JSON line per call; without it only counters are kept.
    pub record: Option<PathBuf>,
    /// Enforce Icypeas' 30 reads a minute.
    pub keep_limits: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            latency: Duration::ZERO,
            fail: 0.0,
            throttle: 0.0,
            find_rate: 62,
            record: None,
            keep_limits: false,
        }
    }
}
