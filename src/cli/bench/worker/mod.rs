//! `weir bench worker`: the whole path on real RabbitMQ and PostgreSQL, from the message that brings a
//! job to the last result in `weir.results`.
//!
//! Knows how workers, a sandbox and the floor's programs are started, how jobs are published, and what
//! must be true once all results are out: each lead verified once, two calls for each, books that add up.
//! Invariant: looks at workers from the outside alone, as whoever runs them does: the broker's queues,
//! the store, the sandbox's counts, `/proc`. What lies in broker and store already is left alone.

mod added;
mod case;
mod command;
mod configuration;
mod fairness;
mod floor;
mod made_up;
mod processes;
mod report;
mod results;
mod shift;
mod site;
mod throughput;

pub(super) use command::Args;
pub(super) use command::run;
