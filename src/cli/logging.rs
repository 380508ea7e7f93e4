//! The log on standard error: `WEIR_LOG` says how much, `WEIR_LOG_FORMAT` how (CONTRACTS §5).

use crate::cli::BadInput;
use std::env;
use std::io;
use std::io::IsTerminal;
use tracing::Level;
use tracing::Metadata;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::FilterExt;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

const LEVELS: &str = "WEIR_LOG";
const FORMAT: &str = "WEIR_LOG_FORMAT";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Text,
    Json,
}

/// Starts the log of this process, once.
///
/// # Errors
/// When a variable cannot be understood: exit 2.
pub fn start() -> anyhow::Result<()> {
    let on_terminal = io::stderr().is_terminal();
    let layer: Box<dyn Layer<Registry> + Send + Sync> =
        match choose_format(env::var(FORMAT).ok().as_deref(), on_terminal)? {
            Format::Text => layer().with_target(false).with_ansi(on_terminal).with_writer(io::stderr).boxed(),
            Format::Json => layer().json().flatten_event(true).with_writer(io::stderr).boxed(),
        };
    let levels = parse_levels(env::var(LEVELS).ok().as_deref())?;
    tracing_subscriber::registry().with(layer.with_filter(levels.and(filter_fn(is_ours_or_grave)))).try_init()?;
    Ok(())
}

/// Libraries never log below `warn`, whatever `WEIR_LOG` says: what they log lower down may hold
/// addresses, bodies and keys. lapin never logs at all: it warns of a returned message with its body,
/// and of what is lost with a connection we tell ourselves. Nor does the verifier of certificates: that a
/// certificate does not fit is said by whoever wanted it.
fn is_ours_or_grave(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let is_of = |name: &str| target.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    is_of("weir") || (*metadata.level() <= Level::WARN && !is_of("lapin") && !is_of("rustls_platform_verifier"))
}

fn choose_format(written: Option<&str>, on_terminal: bool) -> Result<Format, BadInput> {
    match written {
        Some("text") => Ok(Format::Text),
        Some("json") => Ok(Format::Json),
        None | Some("") => Ok(if on_terminal { Format::Text } else { Format::Json }),
        Some(other) => Err(BadInput(format!("{FORMAT}: `{other}` must be text or json"))),
    }
}

fn parse_levels(written: Option<&str>) -> Result<EnvFilter, BadInput> {
    let levels = written.filter(|levels| !levels.is_empty()).unwrap_or("info");
    let shape = "must be a level, or targets with levels like `info,weir::http=debug`";
    EnvFilter::try_new(levels).map_err(|error| BadInput(format!("{LEVELS}: {shape}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_get_text_and_programs_json_unless_told_otherwise() {
        for (written, on_terminal, format) in [
            (None, true, Format::Text),
            (None, false, Format::Json),
            (Some(""), false, Format::Json),
            (Some("text"), false, Format::Text),
            (Some("json"), true, Format::Json),
        ] {
            assert_eq!(choose_format(written, on_terminal).unwrap(), format);
        }
    }

    #[test]
    fn a_variable_that_cannot_be_understood_is_named() {
        let format = choose_format(Some("xml"), false).unwrap_err().to_string();
        assert_eq!(format, "WEIR_LOG_FORMAT: `xml` must be text or json");
        let levels = parse_levels(Some("weir=loud")).unwrap_err().to_string();
        assert!(levels.starts_with("WEIR_LOG: must be a level"), "{levels}");
        assert!(parse_levels(Some("info,weir::http=debug")).is_ok());
    }
}
