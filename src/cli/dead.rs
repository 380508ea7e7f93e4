//! `weir dead`: what could not be handled, and why; send it again, or drop it.

use crate::cli::BadInput;
use crate::cli::Exit;
use crate::cli::Globals;
use crate::cli::output;
use crate::queue::rabbitmq::BrokerError;
use crate::queue::rabbitmq::DeadLetter;
use crate::queue::rabbitmq::DeadLetters;
use anyhow::Result;
use serde_json::Value;
use serde_json::json;

/// The most letters that are listed at once.
const MOST_LISTED: usize = 1_000;

/// What `weir dead` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// List what lies in weir.dead, oldest first
    List,
    /// Show one message with its body
    Show(Numbered),
    /// Send one message to its queue again
    Replay(Numbered),
    /// Drop one message for good
    Drop(Numbered),
}

#[derive(clap::Args, Debug)]
struct Numbered {
    /// The message's place in `weir dead list`, from 1
    #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    n: u32,
}

/// Runs the action that was asked for.
///
/// # Errors
/// When the broker cannot be used, or there is no such message.
pub async fn run(args: Args, globals: &Globals) -> Result<Exit> {
    let config = globals.load_config()?;
    let letters = DeadLetters::open(&config.boot.broker_url).await.map_err(told)?;
    let answer = act(&letters, args.action, globals).await;
    letters.close().await;
    answer
}

async fn act(letters: &DeadLetters, action: Action, globals: &Globals) -> Result<Exit> {
    match action {
        Action::List => {
            let listed = letters.list(MOST_LISTED).await?;
            if globals.json {
                output::lines(listed.iter().map(to_json))?;
            } else {
                let rows = listed.iter().map(|letter| {
                    let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
                    let names = [&letter.kind, &letter.message_id, &letter.queue, &letter.reason, &letter.detail];
                    let [kind, id, queue, reason, detail] = names.map(shown);
                    [letter.place.to_string(), kind, id, queue, reason, detail]
                });
                output::table(["n", "type", "message", "queue", "reason", "detail"], rows)?;
            }
        }
        Action::Show(Numbered { n }) => {
            let place = usize::try_from(n)?;
            let listed = letters.list(place).await?;
            let letter = listed.into_iter().nth(place.saturating_sub(1)).ok_or_else(|| missing(n))?;
            let mut object = to_json(&letter);
            // A message that is no text is shown as far as it is one.
            let body = String::from_utf8_lossy(&letter.body).into_owned();
            let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
            if let Value::Object(object) = &mut object {
                object.insert("body".to_owned(), body);
            }
            output::line(if globals.json { object.to_string() } else { serde_json::to_string_pretty(&object)? })?;
        }
        Action::Replay(Numbered { n }) => {
            let taken = letters.take(usize::try_from(n)?).await?.ok_or_else(|| missing(n))?;
            let queue = taken.letter().queue.clone().unwrap_or_default();
            taken.replay().await?;
            output::line(format!("message {n} is in {queue} again"))?;
        }
        Action::Drop(Numbered { n }) => {
            letters.take(usize::try_from(n)?).await?.ok_or_else(|| missing(n))?.discard().await?;
            output::line(format!("message {n} is dropped"))?;
        }
    }
    Ok(Exit::Done)
}

fn missing(n: u32) -> BadInput {
    BadInput(format!("there is no message {n} in weir.dead; `weir dead list` shows those there are"))
}

/// An address or login that is wrong can be put right.
fn told(error: BrokerError) -> anyhow::Error {
    if error.is_transient() { error.into() } else { BadInput(error.to_string()).into() }
}

fn to_json(letter: &DeadLetter) -> Value {
    json!({
        "n": letter.place,
        "type": letter.kind,
        "message_id": letter.message_id,
        "queue": letter.queue,
        "reason": letter.reason,
        "detail": letter.detail,
    })
}
