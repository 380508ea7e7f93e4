//! The providers' wire formats, served over real HTTP: for demos, tests and benchmarks.
//!
//! Knows what the vendors' pages say of paths, keys, bodies, headers, faults and charges; each
//! vendor's file names its page. Every answer is a function of the seed and the question, never of
//! the time or of the order of calls.
//! Invariant: knows nothing of the adapters (`providers`) that talk to it, and they get no special
//! case here; both are written from the same pages.
//!
//! Each provider lives under its own prefix, so that one port serves all: `/leadmagic`, `/prospeo`,
//! `/findymail`, `/icypeas/api`, `/zerobounce/v2`, `/millionverifier/api/v3`, `/firecrawl/v2`,
//! `/openai/v1`, `/anthropic`.
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
//! A page is forced by any label of its host under `.test`; so one domain can force more than this:
//! `gone.hit.test`.
//!
//! | label | page |
//! |---|---|
//! | `nodns` | the host does not resolve: status 200, `success: false`, 1 credit |
//! | `gone` | the site's own page for 404, 1 credit |
//! | `blocked`, `slow`, `broken` | 403, 408, and 500 with one of the site's own errors; not billed |
//! | `dear`, `unsaid` | 5 credits; 1 credit, which the answer does not tell |
//! | `empty`, `long`, `arrays` | no text; about 60,000 characters; titles that are lists |
//! | `hostile` | a page that gives orders |
//! | `huge` | about 4 MB, more than a client reads; 1 credit |
//!
//! A text is forced by any label of the lead's domain or of its address' host, under `.test`; by the
//! name before such a host, `refuse@acme.test`; and for every lead by the model, `sandbox-refuse`. The
//! lead is the `lead` of the JSON document that the user's last message has to be.
//!
//! | word | text |
//! |---|---|
//! | `refuse`, `filtered` | refused; stopped half-way by a filter. Both are billed |
//! | `truncate`, `ponder`, `window` | cut off half-way; before the first word; by the model's context |
//! | `nousage`, `plain`, `cached` | no usage; one without details; one with every kind of input |
//! | `cost` | a usage with a cost: 0.000001 dollars for each token |
//! | `fenced`, `prose` | JSON in a fence within prose; no JSON |
//! | `missing` | no such model |
//! | `late`, `numeric` | an error within status 200; one with a number for a code |
//! | `flat`, `bare` | an error without `error` around it; one that is a string |
//!
//! The last two lines and `cost` are other servers' ways of speaking OpenAI's format, and in force
//! there only; `window` is an error there. A model obeys whoever may give it orders: where those of the
//! hostile page stand anywhere but in that document, or where its document has a raw `<|im_start|>`, it writes `OBEYED`.
//!
//! Any key is accepted, but one that contains one of these words gets that vendor's own refusal:
//! `bad-key`, `no-credits`, `paused`, `throttled`.
//!
//! Control, for tests: `GET /_sandbox/health`, `GET /_sandbox/counts`, and `POST /_sandbox/faults`
//! with `{"provider":"leadmagic"}` and one of `"down":true`, `"status":503`, `"hang":true`,
//! `"html":true`, `"cut":true`, `"throttle_seconds":5`; `"down":false` ends any of them.

mod answer;
mod anthropic;
mod call;
mod control;
mod counts;
mod findymail;
mod firecrawl;
mod hash;
mod icypeas;
mod leadmagic;
mod millionverifier;
mod openai;
mod options;
mod page;
mod prospeo;
mod record;
mod server;
mod submissions;
mod tokens;
mod words;
mod world;
mod writer;
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

    /// What its paths start with where the vendor's own client drops the path of a base URL.
    fn clients_path(&self) -> Option<&'static str> {
        None
    }

    /// The key of the call, from wherever this vendor takes it; empty when there is none.
    fn key(&self, call: &Call<'_>) -> String;

    /// The answer, or the refusal that `call.trouble` asks for.
    fn answer(&self, call: &Call<'_>, world: &World) -> Answer;
}
