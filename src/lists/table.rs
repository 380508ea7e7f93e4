//! CSV, record by record.

use crate::lists::Field;
use crate::lists::Input;
use crate::lists::LINE_LIMIT;
use crate::lists::ListError;
use crate::lists::Mapping;
use crate::lists::Need;
use crate::lists::columns::Author;
use crate::lists::columns::Columns;
use crate::lists::columns::author_of;
use crate::lists::columns::check_columns;
use crate::lists::form::Dialect;
use crate::lists::input::BUFFER;
use crate::lists::input::Source;
use csv::StringRecord;
use std::mem;

/// One reading of a table, at one of its rows.
pub(super) struct Table<'a> {
    input: &'a Input,
    reader: csv::Reader<Source>,
    header: StringRecord,
    columns: Columns,
    author: Author,
    record: StringRecord,
}

impl<'a> Table<'a> {
    /// Reads and checks the header.
    pub(super) fn open(input: &'a Input, dialect: Dialect, mapping: &Mapping, need: Need) -> Result<Self, ListError> {
        let reader = csv::ReaderBuilder::new()
            .delimiter(dialect.delimiter)
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(BUFFER)
            .from_reader(input.open()?);
        let (header, columns, record) = (StringRecord::new(), Columns::default(), StringRecord::new());
        let mut table = Self { input, reader, header, columns, author: Author::Somebody, record };
        if !table.advance()? {
            return Err(input.refuse("empty; a list begins with a header row".to_owned()));
        }
        table.header = mem::take(&mut table.record);
        let header: Vec<&str> = table.header.iter().collect();
        table.columns = Columns::recognise(&header, mapping);
        let checked = check_columns(&table.columns.named(&header), &header, mapping);
        let author = checked.and_then(|()| author_of(&header, need)).map_err(|problem| input.refuse(problem))?;
        table.author = author;
        Ok(table)
    }

    /// Goes to the next row; false behind the last. The csv crate passes over empty lines and a
    /// byte order mark.
    pub(super) fn advance(&mut self) -> Result<bool, ListError> {
        let start = self.reader.position().byte();
        let longest = start.saturating_add(LINE_LIMIT + 2);
        self.reader.get_mut().allow_until(longest);
        match self.reader.read_record(&mut self.record) {
            Ok(_) if self.reader.position().byte() > longest => Err(self.input.refuse_length(start)),
            Ok(more) => Ok(more),
            Err(error) => Err(if let csv::ErrorKind::Io(cause) = error.into_kind() {
                self.input.read_failed(start, cause)
            } else {
                // The only other error of a flexible reader without serde.
                self.input.refuse_encoding(start)
            }),
        }
    }

    /// Who has written it.
    pub(super) const fn author(&self) -> Author {
        self.author
    }

    /// The names of the columns.
    pub(super) fn header(&self) -> &StringRecord {
        &self.header
    }

    /// The columns that hold fields.
    pub(super) fn found(&self) -> Vec<(Field, String)> {
        self.columns.named(&self.header.iter().collect::<Vec<_>>())
    }

    /// The row's cell of a field.
    pub(super) fn cell(&self, field: Field) -> Option<&str> {
        self.record.get(self.columns.place(field)?)
    }

    /// A cell for each column: a shorter row is padded.
    pub(super) fn cells(&self) -> impl Iterator<Item = &str> {
        (0..self.header.len()).map(|place| self.record.get(place).unwrap_or_default())
    }

    /// Cells behind the last column, which make the row unusable.
    pub(super) fn surplus(&self) -> impl Iterator<Item = &str> {
        self.record.iter().skip(self.header.len())
    }

    /// SHA-256 of what was read so far.
    pub(super) fn digest(&self) -> [u8; 32] {
        self.reader.get_ref().digest()
    }
}
