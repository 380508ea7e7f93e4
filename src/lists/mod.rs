//! Lists of leads: read from CSV and NDJSON, written back with what was found, or written, for each.
//!
//! Knows the two forms, their columns, what makes a row usable, and the `weir_` columns that are added
//! (CONTRACTS §1, `weir enrich FILE` and `weir copy FILE`). A list is read three times: [`scan()`] before anything is spent,
//! [`rows()`] to load it, [`write_enriched`] to write it back; the last two notice if it has changed.
//!
//! Invariant: no store, no queue, no clock, no provider, no money but the cost it writes down.
//! Memory does not grow with the list: one record of at most [`LINE_LIMIT`] bytes is held at a time,
//! so repeated lead ids are for the store's unique index to find (see [`LeadIds`]).
//! No error shows a cell of a row.

mod added;
mod columns;
mod enriched;
mod error;
mod form;
mod input;
mod json_lines;
mod lead;
mod out;
mod records;
mod rows;
mod scan;
mod table;
#[cfg(test)]
mod tests;

pub use added::Added;
pub use added::Drafted;
pub use added::Enrichment;
pub use columns::Field;
pub use columns::Mapping;
pub use enriched::write_enriched;
pub use error::ListError;
pub use form::Format;
pub use input::Input;
pub use input::LINE_LIMIT;
pub use lead::Need;
pub use lead::Unusable;
pub use lead::lead_of;
pub use out::Out;
pub use rows::LeadIds;
pub use rows::Row;
pub use rows::Rows;
pub use rows::rows;
pub use scan::Counts;
pub use scan::Scan;
pub use scan::scan;
