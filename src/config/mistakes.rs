//! What is wrong, and where: file and line, a line of a message, or the environment variable.

use std::fmt;

/// Where a mistake was made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a file.
    File {
        /// The file, as it was named.
        name: String,
        /// Counted from 1; `None` when it concerns the file as a whole.
        line: Option<usize>,
    },
    /// In the text that a message carried.
    Message {
        /// Counted from 1; `None` when it concerns the text as a whole.
        line: Option<usize>,
    },
    /// In an environment variable of this name.
    Variable(String),
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Where to put it right.
    pub place: Place,
    /// The key, `providers.leadmagic.credit_price`; empty when the file cannot be read.
    pub path: String,
    /// What is wrong, and what it must be instead.
    pub message: String,
}

/// Everything that is wrong, by place; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl Place {
    /// Another line of the same text.
    pub(super) fn at(&self, line: Option<usize>) -> Self {
        match self {
            Self::File { name, .. } => Self::File { name: name.clone(), line },
            Self::Message { .. } => Self::Message { line },
            Self::Variable(name) => Self::Variable(name.clone()),
        }
    }
}

impl Mistake {
    pub(super) fn new(place: Place, path: &[String], message: impl Into<String>) -> Self {
        Self { place, path: dotted(path), message: message.into() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line: Some(line) } => write!(f, "{name}:{line}"),
            Self::File { name, line: None } => f.write_str(name),
            Self::Message { line: Some(line) } => write!(f, "the message's config, line {line}"),
            Self::Message { line: None } => f.write_str("the message's config"),
            Self::Variable(name) => write!(f, "environment {name}"),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl Mistakes {
    /// Path and message of each, as an event tells them. The message names the place; the path is empty
    /// when no key is meant.
    pub fn entries(&self) -> impl Iterator<Item = (String, String)> {
        self.0.iter().map(|mistake| (mistake.path.clone(), format!("{}: {}", mistake.place, mistake.message)))
    }
}

impl fmt::Display for Mistakes {
    /// One line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Mistake::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Mistakes {}

/// A path as TOML writes it: `models."gpt-5.4-mini".provider`.
pub(super) fn dotted(path: &[String]) -> String {
    let bare = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    let quoted = path.iter().map(|name| if bare(name) { name.clone() } else { format!("{name:?}") });
    quoted.collect::<Vec<_>>().join(".")
}

/// `; did you mean ...?` with the nearest of `known`, or nothing when none is near.
pub(super) fn did_you_mean<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> String {
    let nearest = known.map(|name| (distance(written, name), name)).min();
    match nearest {
        Some((distance, name)) if distance <= 2.max(name.len() / 3) => format!("; did you mean `{name}`?"),
        Some(_) | None => String::new(),
    }
}

/// Levenshtein's distance, kept a row at a time.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut left = i + 1;
        let mut next = vec![left];
        for ((diagonal, above), b) in row.iter().zip(row.iter().skip(1)).zip(to.chars()) {
            left = (diagonal + usize::from(a != b)).min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
