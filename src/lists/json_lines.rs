//! NDJSON, line by line.

use crate::lists::Field;
use crate::lists::Input;
use crate::lists::LINE_LIMIT;
use crate::lists::ListError;
use crate::lists::Mapping;
use crate::lists::Need;
use crate::lists::Unusable;
use crate::lists::columns::Author;
use crate::lists::columns::Columns;
use crate::lists::columns::author_of;
use crate::lists::columns::check_columns;
use crate::lists::input::BOM;
use crate::lists::input::BUFFER;
use crate::lists::input::Source;
use serde_json::Map;
use serde_json::Value;
use std::borrow::Cow;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;

/// One reading of a list of JSON objects, at one of them.
pub(super) struct JsonLines<'a> {
    input: &'a Input,
    mapping: &'a Mapping,
    need: Need,
    reader: BufReader<Source>,
    /// Bytes read so far.
    offset: u64,
    line: Vec<u8>,
    object: Map<String, Value>,
    /// The keys of the latest object that had others than the one before, and what they hold.
    keys: Vec<String>,
    columns: Columns,
    /// The other command, if one of the objects read so far is from there.
    author: Author,
    /// The first key each field was found under.
    found: Vec<(Field, String)>,
}

impl<'a> JsonLines<'a> {
    pub(super) fn open(input: &'a Input, mapping: &'a Mapping, need: Need) -> Result<Self, ListError> {
        Ok(Self {
            input,
            mapping,
            need,
            reader: BufReader::with_capacity(BUFFER, input.open()?),
            offset: 0,
            line: Vec::new(),
            object: Map::new(),
            keys: Vec::new(),
            columns: Columns::default(),
            author: Author::Somebody,
            found: Vec::new(),
        })
    }

    /// Goes to the next object; false behind the last.
    pub(super) fn advance(&mut self) -> Result<bool, ListError> {
        loop {
            let start = self.offset;
            if !self.read_line()? {
                return Ok(false);
            }
            let line = self.line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            let text = str::from_utf8(line).map_err(|_| self.input.refuse_encoding(start))?;
            self.object = serde_json::from_str(text).map_err(|error| {
                // The parser's own message may quote a person's text.
                let problem = format!("not a JSON object (column {}); give one object per line", error.column());
                self.input.refuse_record(start, &problem)
            })?;
            if !self.object.keys().eq(&self.keys) {
                self.recognise().map_err(|problem| self.input.refuse_record(start, &problem))?;
            }
            return Ok(true);
        }
    }

    /// Reads a line with its end, without a byte order mark; false behind the last.
    fn read_line(&mut self) -> Result<bool, ListError> {
        let start = self.offset;
        self.line.clear();
        let longest = LINE_LIMIT + 2;
        let count = self
            .reader
            .by_ref()
            .take(longest)
            .read_until(b'\n', &mut self.line)
            .map_err(|cause| self.input.read_failed(start, cause))?;
        self.offset += count as u64;
        if self.offset - start == longest && !self.line.ends_with(b"\n") {
            return Err(self.input.refuse_length(start));
        }
        if start == 0 && self.line.starts_with(BOM) {
            self.line.drain(..BOM.len());
        }
        Ok(count > 0)
    }

    /// Takes the object's keys for its header.
    fn recognise(&mut self) -> Result<(), String> {
        self.keys = self.object.keys().cloned().collect();
        let keys: Vec<&str> = self.keys.iter().map(String::as_str).collect();
        match author_of(&keys, self.need)? {
            Author::Somebody => {}
            other @ Author::OtherCommand => self.author = other,
        }
        self.columns = Columns::recognise(&keys, self.mapping);
        for (field, key) in self.columns.named(&keys) {
            if self.found.iter().all(|(known, _)| *known != field) {
                self.found.push((field, key));
            }
        }
        Ok(())
    }

    /// Who has written it, once it is read to its end.
    pub(super) const fn author(&self) -> Author {
        self.author
    }

    /// Refuses a list, read to its end, without the keys it needs.
    pub(super) fn check_columns(&self) -> Result<(), ListError> {
        let keys: Vec<&str> = self.keys.iter().map(String::as_str).collect();
        check_columns(&self.found, &keys, self.mapping).map_err(|problem| self.input.refuse(problem))
    }

    /// The keys that hold fields, of the objects read so far.
    pub(super) fn found(&self) -> Vec<(Field, String)> {
        self.found.clone()
    }

    /// The object's text of a field; a number counts as text, `null` as absent.
    pub(super) fn text(&self, field: Field) -> Result<Option<Cow<'_, str>>, Unusable> {
        let value = self.columns.place(field).and_then(|place| self.object.values().nth(place));
        match value {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(Cow::Borrowed(text))),
            Some(Value::Number(number)) => Ok(Some(Cow::Owned(number.to_string()))),
            Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => Err(Unusable::WrongType(field)),
        }
    }

    /// The line as it came, from its first brace to its last.
    pub(super) fn line(&self) -> &[u8] {
        self.line.trim_ascii()
    }

    /// SHA-256 of what was read so far.
    pub(super) fn digest(&self) -> [u8; 32] {
        self.reader.get_ref().digest()
    }
}
