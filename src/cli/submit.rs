//! `weir submit`: check a message and publish it.

use crate::cli::BadInput;
use crate::cli::Exit;
use crate::cli::Globals;
use crate::cli::output;
use crate::messages::BODY_LIMIT;
use crate::messages::ConfigReload;
use crate::messages::CopyJob;
use crate::messages::EnrichmentJob;
use crate::messages::Message;
use crate::messages::read;
use crate::queue::NotPublished;
use crate::queue::Outgoing;
use crate::queue::To;
use crate::queue::rabbitmq::PublishError;
use crate::queue::rabbitmq::publish_once;
use anyhow::Result;
use anyhow::anyhow;
use serde_json::json;
use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;
use uuid::Uuid;

/// What `weir submit` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Leads to enrich: a message `weir.enrichment_job.v1`
    Enrich(Named),
    /// Leads to write copy for: a message `weir.copy_job.v1`
    Copy(Named),
    /// Another configuration for every worker: a message `weir.config_reload.v1`, or a live half in TOML
    Config(Named),
}

#[derive(clap::Args, Debug)]
struct Named {
    /// The file that holds it; - for standard input
    file: PathBuf,
}

/// A message that was checked.
struct Submission {
    kind: &'static str,
    to: To,
    /// What its id is called.
    id_field: &'static str,
    id: String,
    body: Vec<u8>,
}

/// Publishes one message, confirmed, and prints its id.
///
/// # Errors
/// When the message is refused, the broker cannot be used, or nobody is bound to take it.
pub async fn run(args: Args, globals: &Globals) -> Result<Exit> {
    let Submission { kind, to, id_field, id, body } = check(&args.action)?;
    let config = globals.load_config()?;
    let message = Outgoing {
        to,
        kind: kind.to_owned(),
        message_id: id.clone(),
        correlation_id: None,
        reply_to: None,
        headers: Vec::new(),
        body,
    };
    publish_once(&config.boot.broker_url, message).await.map_err(failure)?;
    if globals.json {
        output::line(json!({ id_field: id }))?
    } else {
        output::line(id)?
    }
    Ok(Exit::Done)
}

fn check(action: &Action) -> Result<Submission> {
    let (named, kind, to, id_field) = match action {
        Action::Enrich(named) => (named, EnrichmentJob::KIND, To::Jobs("enrich"), "job_id"),
        Action::Copy(named) => (named, CopyJob::KIND, To::Jobs("copy"), "job_id"),
        Action::Config(named) => (named, ConfigReload::KIND, To::Control, "request_id"),
    };
    let text = read_whole(&named.file)?;
    let body = match action {
        Action::Enrich(_) | Action::Copy(_) => text,
        Action::Config(_) => config_message(&named.file, text)?,
    };
    let message = read(Some(kind), "", &body).map_err(|refusal| bad_file(&named.file, refusal))?;
    Ok(Submission { kind, to, id_field, id: message.id().to_owned(), body })
}

/// The file, if it is no larger than a message may be by more than a byte.
fn read_whole(file: &Path) -> Result<Vec<u8>, BadInput> {
    let most = BODY_LIMIT as u64 + 1;
    let mut text = Vec::new();
    let outcome = if is_stdin(file) {
        io::stdin().lock().take(most).read_to_end(&mut text)
    } else {
        File::open(file).and_then(|file| file.take(most).read_to_end(&mut text))
    };
    outcome.map_err(|error| bad_file(file, format_args!("cannot be read: {error}")))?;
    Ok(text)
}

/// A message as it is, told by `.json`, and from standard input by its brace; TOML in a message of its own.
fn config_message(file: &Path, text: Vec<u8>) -> Result<Vec<u8>, BadInput> {
    let extension = file.extension().and_then(|extension| extension.to_str());
    let is_message = match extension {
        Some("json") => true,
        Some("toml") => false,
        Some(_) | None if is_stdin(file) => text.trim_ascii_start().starts_with(b"{"),
        Some(_) | None => return Err(bad_file(file, "must be a message (.json) or a live half (.toml)")),
    };
    if is_message {
        return Ok(text);
    }
    let text = String::from_utf8(text).map_err(|_| bad_file(file, "is not UTF-8"))?;
    let message = json!({ "request_id": Uuid::now_v7().to_string(), "config": text });
    Ok(message.to_string().into_bytes())
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn bad_file(file: &Path, problem: impl std::fmt::Display) -> BadInput {
    let name = if is_stdin(file) { "standard input".to_owned() } else { file.display().to_string() };
    BadInput(format!("{name}: {problem}"))
}

/// What can be put right by another configuration is bad input.
fn failure(error: PublishError) -> anyhow::Error {
    match error {
        PublishError::NotPublished(NotPublished::Unroutable) => {
            anyhow!("nobody is bound to take it, and it is gone: start `weir worker`, then submit it again")
        }
        PublishError::NotPublished(NotPublished::Unconfirmed(why)) => {
            anyhow!(
                "nobody knows whether the broker took it ({why}): submit it again, under the same id it counts once"
            )
        }
        PublishError::Broker(error) if !error.is_transient() => BadInput(error.to_string()).into(),
        PublishError::Broker(error) => error.into(),
        PublishError::NoOrigin => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::Incoming;
    use crate::messages::ReloadFrom;
    use crate::queue::rabbitmq::BrokerError;
    use std::fs;

    fn written(name: &str, text: &[u8]) -> (tempfile::TempDir, Named) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        (folder, Named { file })
    }

    #[test]
    fn a_job_goes_out_as_it_was_written_under_its_own_id() {
        let text = br#"{"job_id":"job_1", "workspace_id":"acme","leads":[{"lead_id":"1","x":1}]}"#;
        let (_folder, named) = written("job", text);
        let submission = check(&Action::Enrich(named)).unwrap();
        assert_eq!((submission.kind, submission.to), (EnrichmentJob::KIND, To::Jobs("enrich")));
        assert_eq!((submission.id_field, submission.id.as_str()), ("job_id", "job_1"));
        assert_eq!(submission.body, text);
    }

    #[test]
    fn a_copy_job_goes_to_its_own_queue_once_it_is_whole() {
        let text = br#"{"job_id":"copy_1","workspace_id":"acme","model":"gpt-5.4-mini","max_output_tokens":400,
            "instructions":"Write.","leads":[{"lead_id":"1","first_name":"Ada"}]}"#;
        let (_folder, named) = written("copy.json", text);
        let submission = check(&Action::Copy(named)).unwrap();
        assert_eq!((submission.kind, submission.to), (CopyJob::KIND, To::Jobs("copy")));
        assert_eq!((submission.id_field, submission.id.as_str()), ("job_id", "copy_1"));
        assert_eq!(submission.body, text);
        let (_folder, named) = written("copy.json", br#"{"job_id":"copy_1","workspace_id":"acme"}"#);
        let error = check(&Action::Copy(named)).err().unwrap();
        assert!(
            error.is::<BadInput>() && error.to_string().contains("copy.json: invalid: model is missing"),
            "{error}"
        );
    }

    #[test]
    fn a_live_half_in_toml_becomes_a_request_of_its_own() {
        let (_folder, named) = written("live.toml", b"[wallet]\nlow_balance = \"5.00\"\n");
        let submission = check(&Action::Config(named)).unwrap();
        let Ok(Incoming::ConfigReload(reload)) = read(None, "", &submission.body) else { panic!() };
        assert_eq!(reload.request_id, submission.id);
        assert_eq!(reload.from, ReloadFrom::Inline("[wallet]\nlow_balance = \"5.00\"\n".to_owned()));
        assert_eq!((submission.to, submission.id_field, submission.id.len()), (To::Control, "request_id", 36));
    }

    #[test]
    fn a_request_in_json_keeps_its_id() {
        let (_folder, named) = written("reload.json", br#"{"request_id":"r1","from":"files"}"#);
        assert_eq!(check(&Action::Config(named)).unwrap().id, "r1");
    }

    #[test]
    fn what_would_be_refused_is_bad_input_that_names_file_and_field() {
        for (name, text, told) in [
            ("job.json", b"{}".as_slice(), "job.json: invalid: job_id is missing"),
            ("job.json", b"[]".as_slice(), "job.json: not_json: the body is not a JSON object"),
        ] {
            let (_folder, named) = written(name, text);
            let error = check(&Action::Enrich(named)).err().unwrap();
            assert!(error.is::<BadInput>() && error.to_string().contains(told), "{error}");
        }
        for (name, text, told) in [
            ("live.yaml", b"{}".as_slice(), "live.yaml: must be a message (.json) or a live half (.toml)"),
            ("live.toml", b"\xff".as_slice(), "live.toml: is not UTF-8"),
            ("live.json", b"{\"request_id\":\"r1\"}".as_slice(), "live.json: invalid: config is missing"),
        ] {
            let (_folder, named) = written(name, text);
            let error = check(&Action::Config(named)).err().unwrap();
            assert!(error.is::<BadInput>() && error.to_string().contains(told), "{error}");
        }
        let missing = Named { file: "no/such/job.json".into() };
        assert!(check(&Action::Copy(missing)).err().unwrap().is::<BadInput>());
    }

    #[test]
    fn a_broker_that_another_configuration_would_reach_is_bad_input() {
        let refused = PublishError::Broker(BrokerError::Refused("ACCESS_REFUSED".to_owned()));
        let unreachable = PublishError::Broker(BrokerError::Unreachable("connection refused".to_owned()));
        assert!(failure(refused).is::<BadInput>());
        assert!(!failure(unreachable).is::<BadInput>());
        assert!(!failure(PublishError::NotPublished(NotPublished::Unroutable)).is::<BadInput>());
    }
}
