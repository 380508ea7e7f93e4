//! `weir schema`: the schema of every message.

use crate::cli::Exit;
use crate::cli::output;
use crate::messages::schemas;
use anyhow::Result;
use serde_json::Value;

/// What `weir schema` takes.
#[derive(clap::Args, Debug)]
pub struct Args {}

/// Prints one JSON object: message type to its JSON Schema, draft 2020-12.
///
/// # Errors
/// When standard output takes no more.
pub fn run(_: &Args) -> Result<Exit> {
    output::line(format_args!("{:#}", Value::Object(schemas())))?;
    Ok(Exit::Done)
}
