//! The configuration: from text to what is in force, with the place of every mistake.
//!
//! Knows every key, its default and its limits (CONTRACTS §3). Has two halves: [`Boot`] needs a
//! restart, [`Live`] is swapped whole and named by its [`crate::domain::ConfigVersion`]. A reload first
//! prepares, which may fail, and then swaps, which cannot.
//! A key is declared where it is read; the list of known keys, `show` and the version are what the
//! reader saw, so they cannot fall behind.
//! Invariant: all or nothing. Every mistake is found in one pass, and with a mistake nothing is in
//! force. Invariant: a message repeats names (steps, variables, files), never a value: a key that was
//! pasted in a wrong place is not shown.

mod boot;
mod dialect;
mod environment;
mod kinds;
mod live;
mod load;
mod mistakes;
mod prepare;
mod provider;
mod reader;
mod secrets;
mod section;
mod show;
#[cfg(test)]
mod tests;
mod values;
mod waterfall;

pub use boot::Boot;
pub use environment::Environment;
pub use live::Live;
pub use live::ModelPrices;
pub use load::Config;
pub use load::Origin;
pub use load::load;
pub use mistakes::Mistake;
pub use mistakes::Mistakes;
pub use mistakes::Place;
pub use prepare::Prepared;
pub use prepare::prepare_files;
pub use prepare::prepare_inline;
pub use provider::ProviderSettings;
pub use show::show;
pub use show::show_json;
pub use waterfall::Waterfall;
