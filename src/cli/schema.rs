//! `weir schema`: the schema of every message, and where it travels.

use crate::cli::Exit;
use crate::cli::output;
use crate::messages::asyncapi;
use crate::messages::schemas;
use anyhow::Result;
use serde_json::Value;

/// What `weir schema` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Print an AsyncAPI 3 document instead: the same messages, and the exchanges and queues they travel over
    #[arg(long)]
    asyncapi: bool,
}

/// Prints one JSON object: message type to its JSON Schema, draft 2020-12; or the AsyncAPI document.
///
/// # Errors
/// When standard output takes no more.
pub fn run(args: &Args) -> Result<Exit> {
    let document = if args.asyncapi { asyncapi() } else { Value::Object(schemas()) };
    output::line(format_args!("{document:#}"))?;
    Ok(Exit::Done)
}
