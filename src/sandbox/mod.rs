//! The six providers' wire formats, served over real HTTP: for demos, tests and benchmarks.
//!
//! Knows what the vendors' pages say of paths, keys, bodies, headers, faults and charges; each
//! vendor's file names its page. Every answer is a function of the seed and the question, never of
//! the time or of the order of calls.
//! Invariant: knows nothing of the adapters (`providers`) that talk to it, and they get no special
//! case here; both are written from the same pages.
//!
//! Each provider lives under its own prefix, so that one port serves all: `/leadmagic`, `/prospeo`,
//! `/findymail`, `/icypeas/api`, `/zerobounce/v2`, `/millionverifier/api/v3`.
//!
//! Domains that force an outcome (the others are decided by the seed):
//!
//! | domain | outcome |
//! |---|---|
//! | `*.hit.test` | every finder finds it, and it is valid |
//! | `*.miss.test` | no finder finds it |
//! | `*.invalid.test`, `*.catchall.test`, `*.unknown.test` | every finder finds it; the verifiers say so |
//! | `*.only-leadmagic.test`, `*.only-prospeo.test`, … | that finder alone finds it, and it is valid |
//!
//! Prospeo, asked for verified addresses only, has none at `*.catchall.test` and `*.unknown.test`.
//!
//! Any key is accepted, but one that contains one of these words gets that vendor's own refusal:
//! `bad-key`, `no-credits`, `paused`, `throttled`.
//!
//! Control, for tests: `GET /_sandbox/health`, `GET /_sandbox/counts`, and `POST /_sandbox/faults`
//! with `{"provider":"leadmagic"}` and one of `"down":true`, `"status":503`, `"hang":true`,
//! `"html":true`, `"cut":true`, `"throttle_seconds":5`; `"down":false` ends any of them.

mod answer;
mod call;
mod control;
mod counts;
mod findymail;
mod hash;
mod icypeas;
mod leadmagic;
mod millionverifier;
mod options;
mod prospeo;
mod record;
mod server;
mod submissions;
mod world;
mod zerobounce;

pub use counts::Count;
pub use counts::Counts;
pub use options::Options;
pub use server::Meter;
pub use server::Sandbox;

use answer::Answer;
use call::Call;
use world::World;

/// One vendor's side of the wire.
trait Vendor: Send + Sync {
    /// Its word in configurations and counts.
    fn kind(&self) -> &'static str;

    /// What its paths start with here: `/kind`, then what the vendor's own base URL has after the host.
    fn base_path(&self) -> &'static str;

    /// The key of the call, from wherever this vendor takes it; empty when there is none.
    fn key(&self, call: &Call<'_>) -> String;

    /// The answer, or the refusal that `call.trouble` asks for.
    fn answer(&self, call: &Call<'_>, world: &World) -> Answer;
}
