//! The record of calls: one JSON line each, flushed, without a name, an address or a whole key.

use crate::sandbox::answer::Answer;
use std::fs::File;
use std::io;
use std::io::BufWriter;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;

/// An open record.
pub(super) struct Record(Mutex<BufWriter<File>>);

impl Record {
    /// Opens `path` to append to it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Self(Mutex::new(BufWriter::new(file))))
    }

    /// Appends one call.
    pub(super) fn write(&self, seq: u64, provider: &str, key: &str, answer: &Answer) -> io::Result<()> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(
            file,
            r#"{{"seq":{seq},"provider":"{provider}","operation":"{}","key":{},"question":"{:016x}","status":{},"credits":"{}","answered":{}}}"#,
            answer.purpose.as_str(),
            serde_json::Value::from(last4(key)),
            answer.question,
            answer.status,
            answer.credits,
            answer.is_answer,
        )?;
        file.flush()
    }
}

/// The last four characters; of a shorter key, nothing.
fn last4(key: &str) -> &str {
    key.char_indices().rev().nth(3).and_then(|(at, _)| key.get(at..)).unwrap_or_default()
}
