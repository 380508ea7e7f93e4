//! From a folder and an environment to a configuration, or to every mistake in it.

use crate::config::boot::Boot;
use crate::config::live::Live;
use crate::config::mistakes::Mistake;
use crate::config::mistakes::Mistakes;
use crate::config::mistakes::Place;
use crate::config::reader::Reader;
use crate::config::reader::Report;
use crate::config::reader::Setting;
use crate::config::reader::Source;
use crate::config::secrets::Lookup;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use toml_edit::Document;

/// The file in the configuration's folder.
const FILE: &str = "weir.toml";
/// The folder where none is named.
const FOLDER: &str = "config";
/// In force where there is no file; also the manual.
pub(super) const SHIPPED: &str = include_str!("../../config/weir.toml");

/// A configuration without a mistake.
#[derive(Debug, Clone)]
pub struct Config {
    /// The half that needs a restart.
    pub boot: Boot,
    /// The half that is swapped whole.
    pub live: Arc<Live>,
    /// Where the live half was read.
    pub origin: Origin,
    /// Where `file:` secrets lie.
    pub folder: PathBuf,
    /// What is allowed and probably not meant, a line each.
    pub warnings: Vec<String>,
    /// Every key in force, in the order of reading.
    pub(super) settings: Vec<Setting>,
}

/// Where a configuration was read, the environment apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// This file.
    File(PathBuf),
    /// The file that is compiled in.
    Shipped,
    /// A live half that a message carried; it stays in force until a reload from the files.
    Stored,
}

impl Origin {
    /// How a mistake in its text names it.
    pub(super) fn place(&self) -> Place {
        match self {
            Self::File(_) | Self::Shipped => Place::File { name: self.to_string(), line: None },
            Self::Stored => Place::Message { line: None },
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Shipped => f.write_str("the shipped weir.toml"),
            Self::Stored => f.write_str("the stored inline configuration"),
        }
    }
}

/// Reads `weir.toml` in `dir`, or in `config/` when none is named; with no file there, the shipped
/// one. `env` looks up secrets; `overrides` are all variables, of which `WEIR__...` override keys.
///
/// # Errors
/// All mistakes at once.
pub fn load(
    dir: Option<&Path>,
    env: &dyn Fn(&str) -> Option<String>,
    overrides: &[(String, String)],
) -> Result<Config, Mistakes> {
    let folder = dir.unwrap_or(Path::new(FOLDER));
    let path = folder.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => read(Origin::File(path), &text, folder, env, overrides),
        Err(error) if error.kind() == ErrorKind::NotFound && dir.is_none() => {
            read(Origin::Shipped, SHIPPED, folder, env, overrides)
        }
        Err(error) => {
            let place = Origin::File(path).place();
            Err(Mistakes(vec![Mistake::new(place, &[], format!("cannot be read: {error}"))]))
        }
    }
}

/// Reads a text; `folder` is where `file:` secrets lie.
pub(super) fn read(
    origin: Origin,
    text: &str,
    folder: &Path,
    env: Lookup<'_>,
    overrides: &[(String, String)],
) -> Result<Config, Mistakes> {
    let source = Source { place: origin.place(), text, dir: folder, env };
    let document = parse(&source)?;
    let mut reader = Reader::new(source, document.as_table(), overrides);
    let boot = Boot::read(&mut reader);
    let live = Arc::new(Live::read(&mut reader));
    let Report { settings, warnings } = reader.finish()?;
    Ok(Config { boot, live, origin, folder: folder.to_owned(), warnings, settings })
}

/// The text as TOML.
pub(super) fn parse<'t>(source: &Source<'t>) -> Result<Document<&'t str>, Mistakes> {
    Document::parse(source.text).map_err(|error| {
        let message = format!("not TOML: {}", error.message());
        Mistakes(vec![Mistake::new(source.place(error.span()), &[], message)])
    })
}
