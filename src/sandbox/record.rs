//! The record of calls: one JSON line each, flushed, without a name, an address or a whole key.

use crate::domain::Tokens;
use crate::sandbox::answer::Answer;
use crate::sandbox::tokens::TokensJson;
use serde::Serialize;
use std::fs::File;
use std::io;
use std::io::BufWriter;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;

/// An open record.
pub(super) struct Record(Mutex<BufWriter<File>>);

#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    provider: &'a str,
    operation: &'a str,
    /// Its last four characters.
    key: &'a str,
    /// Provider, operation and inputs in one number, as hex.
    question: String,
    status: u16,
    credits: String,
    answered: bool,
    /// The model that tokens were billed for.
    #[serde(skip_serializing_if = "str::is_empty")]
    model: &'a str,
    /// The tokens billed, whether or not the answer told them.
    #[serde(with = "TokensJson", skip_serializing_if = "TokensJson::is_nothing")]
    tokens: Tokens,
}

impl Record {
    /// Opens `path` to append to it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Self(Mutex::new(BufWriter::new(file))))
    }

    /// Appends one call.
    pub(super) fn write(&self, seq: u64, provider: &str, key: &str, answer: &Answer) -> io::Result<()> {
        let line = Line {
            seq,
            provider,
            operation: answer.purpose.as_str(),
            key: last4(key),
            question: format!("{:016x}", answer.question),
            status: answer.status,
            credits: answer.credits.to_string(),
            answered: answer.is_answer,
            model: &answer.model,
            tokens: answer.tokens,
        };
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        serde_json::to_writer(&mut *file, &line)?;
        file.write_all(b"\n")?;
        file.flush()
    }
}

/// The last four characters; of a shorter key, nothing.
fn last4(key: &str) -> &str {
    key.char_indices().rev().nth(3).and_then(|(at, _)| key.get(at..)).unwrap_or_default()
}
