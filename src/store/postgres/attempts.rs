//! The journal's rows: attempts as they are stored, and the words and amounts they are made of.

use crate::domain::About;
use crate::domain::Address;
use crate::domain::AnswerSource;
use crate::domain::Attempt;
use crate::domain::AttemptEnd;
use crate::domain::AttemptNo;
use crate::domain::AttemptState;
use crate::domain::Fingerprint;
use crate::domain::Outcome;
use crate::domain::Product;
use crate::domain::Run;
use crate::domain::Step;
use crate::domain::Usd;
use crate::domain::Verdict;
use crate::ledger::AccountId;
use crate::ledger::Begin;
use crate::ledger::Ended;
use crate::ledger::Epoch;
use crate::ledger::LedgerError;
use crate::ledger::rules::Settlement;
use crate::ledger::rules::settle_held;
use crate::store::postgres::error::explain;
use crate::store::product::read_product;
use crate::store::product::write_product;
use crate::store::rows::Hold;
use crate::store::rows::HoldState;
use crate::store::rows::IdForm;
use crate::store::rows::Known;
use crate::store::rows::heard_bit;
use serde::Deserialize;
use serde::Serialize;
use std::str::FromStr;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

/// How attempts are numbered here.
pub(super) const IDS: IdForm = IdForm::SHARED;

/// Reads a value; one of another type than the schema says is corrupt.
pub(super) fn column<'row, T: FromSql<'row>>(row: &'row Row, at: usize) -> Result<T, LedgerError> {
    row.try_get(at).map_err(|error| LedgerError::Corrupt(explain(&error)))
}

/// Reads an amount, a BIGINT of nano-dollars.
pub(super) fn usd(row: &Row, at: usize) -> Result<Usd, LedgerError> {
    column(row, at).map(Usd::from_nanos)
}

/// Reads an INTEGER that counts something.
pub(super) fn number(row: &Row, at: usize) -> Result<u32, LedgerError> {
    column::<i32>(row, at).map(i32::cast_unsigned)
}

/// Reads a fingerprint, a BYTEA of 16 bytes.
pub(super) fn fingerprint(row: &Row, at: usize) -> Result<Fingerprint, LedgerError> {
    let bytes: &[u8] = column(row, at)?;
    bytes
        .try_into()
        .map(Fingerprint::from_bytes)
        .map_err(|_| LedgerError::Corrupt(format!("a fingerprint of {} bytes", bytes.len())))
}

/// Reads a stored word of a closed set.
pub(super) fn word<T: FromStr>(text: &str) -> Result<T, LedgerError> {
    text.parse().map_err(|_| LedgerError::Corrupt(format!("{text:?} is no word of its column")))
}

/// What an attempt brought, as a column of `attempts`. The text of a page that was taken from an earlier attempt is
/// the newest that answers the question.
pub(super) const PRODUCT: &str = "CASE WHEN source = 'cached' AND outcome = 'scraped' THEN \
       (SELECT o.product FROM attempts o \
        WHERE o.account IS NOT NULL AND o.reusable AND o.fingerprint = attempts.fingerprint \
        ORDER BY o.ended_at DESC LIMIT 1) \
     ELSE product END";

/// Reads an attempt from 15 columns, `first` and those behind it:
///
/// | at | column        | type                                         |
/// |----|---------------|----------------------------------------------|
/// | 0  | `n`           | INTEGER: select `(id & 4095)::int4`         |
/// | 1  | `run`         | INTEGER                                      |
/// | 2  | `step`        | TEXT                                         |
/// | 3  | `about`       | TEXT, may be NULL                            |
/// | 4  | `key_source`  | TEXT                                         |
/// | 5  | `handle`      | the ten columns of [`read_end`], in their    |
/// |    |               | order: `handle`, `outcome`, `detail`,        |
/// |    |               | `found`, `claim`, `source`, `charged`,       |
/// |    |               | `duration_ms`, `unsaid`, [`PRODUCT`]         |
pub(super) fn read_attempt(row: &Row, first: usize) -> Result<Attempt, LedgerError> {
    let [n, run, step, about, key_source, handle] = places(first);
    let state = match read_end(row, handle)? {
        Some(end) => AttemptState::Ended(end),
        None => column::<Option<String>>(row, handle)?.map_or(AttemptState::Begun, AttemptState::Submitted),
    };
    let step: Step = word(column(row, step)?)?;
    let about = column::<Option<&str>>(row, about)?;
    Ok(Attempt {
        n: AttemptNo::new(number(row, n)?),
        run: Run::new(number(row, run)?),
        about: about.and_then(|text| About::parse(step.operation, text)),
        step,
        key_source: word(column(row, key_source)?)?,
        state,
    })
}

/// Reads how an attempt ended from 10 columns, `first` and those behind it: `handle`, `outcome`, `detail`,
/// `found`, `claim`, `source` (TEXT, may be NULL), `charged`, `duration_ms` (BIGINT), `unsaid` (BOOLEAN),
/// [`PRODUCT`]. `None` while its answer is awaited.
pub(super) fn read_end(row: &Row, first: usize) -> Result<Option<AttemptEnd>, LedgerError> {
    let [handle, outcome, detail, found, claim, source, charged, duration_ms, unsaid, product] = places(first);
    let Some(outcome) = column::<Option<&str>>(row, outcome)? else { return Ok(None) };
    Ok(Some(AttemptEnd {
        outcome: read_outcome(outcome, column(row, detail)?)?,
        found: address(column(row, found)?),
        claim: read_claim(column(row, claim)?)?,
        product: brought(column(row, product)?)?,
        handle: column(row, handle)?,
        source: word(column(row, source)?)?,
        cost: usd(row, charged)?,
        duration_ms: column::<i64>(row, duration_ms)?.cast_unsigned(),
        unsaid: column(row, unsaid)?,
    }))
}

/// Reads an answer that another lead may take, from 5 columns, `first` and those behind it: `outcome`,
/// `detail`, `found`, `claim`, `product` (TEXT).
pub(super) fn read_answer(row: &Row, first: usize) -> Result<AttemptEnd, LedgerError> {
    let [outcome, detail, found, claim, product] = places(first);
    Ok(AttemptEnd {
        found: address(column(row, found)?),
        claim: read_claim(column(row, claim)?)?,
        product: brought(column(row, product)?)?,
        source: AnswerSource::Cached,
        ..AttemptEnd::not_asked(read_outcome(column(row, outcome)?, column(row, detail)?)?)
    })
}

/// An answer as another lead takes it: nobody is called, nothing is paid.
pub(super) fn taken(answer: &AttemptEnd) -> AttemptEnd {
    AttemptEnd {
        found: answer.found.clone(),
        claim: answer.claim,
        product: answer.product.clone(),
        source: AnswerSource::Cached,
        ..AttemptEnd::not_asked(answer.outcome)
    }
}

/// What an overtaken owner had learned, as it is stored: the words of an end, and what is owed in
/// nano-dollars.
#[derive(Serialize, Deserialize)]
struct Kept {
    outcome: String,
    detail: Option<String>,
    found: Option<String>,
    claim: Option<String>,
    handle: Option<String>,
    source: String,
    duration_ms: u64,
    owed: i64,
    /// As the columns of these names; a version before them wrote none.
    #[serde(default)]
    unsaid: bool,
    product: Option<String>,
}

/// What goes into `learned`.
pub(super) fn write_learned(end: &AttemptEnd, owed: Usd) -> Result<String, LedgerError> {
    let kept = Kept {
        outcome: end.outcome.as_str().to_owned(),
        detail: end.outcome.detail().map(str::to_owned),
        found: end.found.as_ref().map(|found| found.as_str().to_owned()),
        claim: end.claim.map(|claim| claim.as_str().to_owned()),
        handle: end.handle.clone(),
        source: end.source.as_str().to_owned(),
        duration_ms: end.duration_ms,
        owed: owed.nanos(),
        unsaid: end.unsaid,
        product: write_product(end)?,
    };
    serde_json::to_string(&kept).map_err(|_| LedgerError::Corrupt("an answer cannot be written".to_owned()))
}

/// Reads what [`write_learned`] wrote: the end, and what is owed for it.
pub(super) fn read_learned(text: &str) -> Result<(AttemptEnd, Usd), LedgerError> {
    // What the parser says quotes the text.
    let kept: Kept =
        serde_json::from_str(text).map_err(|_| LedgerError::Corrupt("an answer cannot be read".to_owned()))?;
    let end = AttemptEnd {
        outcome: read_outcome(&kept.outcome, kept.detail.as_deref())?,
        found: address(kept.found.as_deref()),
        claim: read_claim(kept.claim.as_deref())?,
        product: brought(kept.product.as_deref())?,
        handle: kept.handle,
        source: word(&kept.source)?,
        cost: Usd::ZERO,
        duration_ms: kept.duration_ms,
        unsaid: kept.unsaid,
    };
    Ok((end, Usd::from_nanos(kept.owed)))
}

/// What the group commit reads of an attempt, with [`PRODUCT`] behind it, for [`Stored::read`].
pub(super) const COLUMNS: &str = "id, hold, account, amount, step, fingerprint, learned, heard, handle, outcome, \
                                  detail, found, claim, source, charged, duration_ms, unsaid";
/// Where these columns stand.
const ID: usize = 0;
const HOLD: usize = 1;
const ACCOUNT: usize = 2;
const AMOUNT: usize = 3;
const STEP: usize = 4;
const FINGERPRINT: usize = 5;
const LEARNED: usize = 6;
const HEARD: usize = 7;
const HANDLE: usize = 8;
const OUTCOME: usize = 9;
const CHARGED: usize = 14;

/// An attempt of the group commit: as it is in the store, and as this transaction leaves it.
pub(super) struct Stored {
    asked: Asked,
    hold: Option<Hold>,
    /// How this transaction has ended it; `None` while that stands as it was read.
    end: Option<AttemptEnd>,
    /// What this transaction keeps of an overtaken owner's answer.
    learned: Option<(AttemptEnd, Usd)>,
    /// The overtaken owners that this transaction has heard.
    heard: i64,
}

/// What was asked: decoded only when somebody wants to know.
enum Asked {
    Read(Row),
    New(Step, Fingerprint),
}

impl Stored {
    /// Reads a row of [`COLUMNS`] and [`PRODUCT`], with its id: the hold at once, the rest when it is asked for.
    pub(super) fn read(row: Row) -> Result<(i64, Self), LedgerError> {
        let hold = match column::<Option<&str>>(&row, HOLD)? {
            None => None,
            Some(state) => Some(Hold {
                account: AccountId(column(&row, ACCOUNT)?),
                amount: usd(&row, AMOUNT)?,
                state: word(state)?,
                charged: usd(&row, CHARGED)?,
            }),
        };
        Ok((column(&row, ID)?, Self { asked: Asked::Read(row), hold, end: None, learned: None, heard: 0 }))
    }

    /// A begun attempt with its open hold.
    pub(super) fn begun(account: AccountId, begin: &Begin) -> Self {
        let hold = Hold { account, amount: begin.price, state: HoldState::Open, charged: Usd::ZERO };
        let asked = Asked::New(begin.step.clone(), begin.fingerprint);
        Self { asked, hold: Some(hold), end: None, learned: None, heard: 0 }
    }

    /// An attempt that ended without a hold.
    pub(super) fn unmade(ended: &Ended, end: &AttemptEnd) -> Self {
        let asked = Asked::New(ended.attempt.step.clone(), ended.fingerprint);
        Self { asked, hold: None, end: Some(end.clone()), learned: None, heard: 0 }
    }

    /// Ends it, and its hold.
    pub(super) fn end_with(&mut self, end: &AttemptEnd, settlement: &Settlement) {
        if let Some(hold) = &mut self.hold {
            hold.state = HoldState::after(settlement);
            hold.charged = settlement.charged;
        }
        self.end = Some(AttemptEnd { cost: settlement.charged, ..end.clone() });
    }

    /// Keeps what an overtaken owner had learned.
    pub(super) fn keep_learned(&mut self, end: &AttemptEnd, owed: Usd) {
        self.learned = Some((end.clone(), owed));
    }

    /// Notes that the overtaken owner of that epoch was heard.
    pub(super) const fn hear(&mut self, epoch: Epoch) {
        self.heard |= heard_bit(epoch);
    }

    /// All that the rules ask of it.
    pub(super) fn known(&self) -> Result<Known, LedgerError> {
        let stored = match &self.asked {
            Asked::New(step, asked) => Known {
                step: step.clone(),
                fingerprint: *asked,
                hold: None,
                end: None,
                learned: None,
                is_deferred: false,
                heard: 0,
            },
            Asked::Read(row) => Known {
                step: word(column(row, STEP)?)?,
                fingerprint: fingerprint(row, FINGERPRINT)?,
                hold: None,
                end: read_end(row, HANDLE)?,
                learned: column::<Option<&str>>(row, LEARNED)?.map(read_learned).transpose()?,
                is_deferred: !self.is_null(HANDLE)?,
                heard: column(row, HEARD)?,
            },
        };
        Ok(Known {
            hold: self.hold.clone(),
            end: self.end.clone().or(stored.end),
            learned: self.learned.clone().or(stored.learned),
            heard: stored.heard | self.heard,
            ..stored
        })
    }

    /// What was asked.
    pub(super) fn fingerprint(&self) -> Result<Fingerprint, LedgerError> {
        match &self.asked {
            Asked::New(_, asked) => Ok(*asked),
            Asked::Read(row) => fingerprint(row, FINGERPRINT),
        }
    }

    /// Is it as its owner left it: an open hold of this amount, and nobody else's answer?
    pub(super) fn is_open(&self, account: AccountId, amount: Usd) -> Result<bool, LedgerError> {
        let is_held = |hold: &Hold| hold.state == HoldState::Open && hold.account == account && hold.amount == amount;
        Ok(self.hold.as_ref().is_some_and(is_held) && self.learned.is_none() && self.is_null(LEARNED)?)
    }

    /// Is its answer awaited?
    pub(super) fn is_awaited(&self) -> Result<bool, LedgerError> {
        Ok(self.end.is_none() && self.is_null(OUTCOME)?)
    }

    /// Was this TEXT column NULL when it was read, if it was?
    fn is_null(&self, at: usize) -> Result<bool, LedgerError> {
        match &self.asked {
            Asked::New(..) => Ok(true),
            Asked::Read(row) => Ok(column::<Option<&str>>(row, at)?.is_none()),
        }
    }

    /// Do the lead's other attempts decide what this one may cost? Its hold has expired, or it may not cover what
    /// is owed.
    pub(super) fn needs_trail(&self, account: AccountId, ended: &Ended) -> Result<bool, LedgerError> {
        let Some(hold) = &self.hold else { return Ok(false) };
        match hold.state {
            HoldState::Settled | HoldState::Voided => Ok(false),
            HoldState::Expired => Ok(true),
            HoldState::Open => match ended.held.filter(|held| settle_held(ended.owed, *held).is_some()) {
                Some(held) => Ok(!self.is_open(account, held)?),
                None => Ok(true),
            },
        }
    }
}

/// The places of columns that stand side by side.
fn places<const N: usize>(first: usize) -> [usize; N] {
    std::array::from_fn(|at| first.saturating_add(at))
}

fn address(text: Option<&str>) -> Option<Address> {
    text.and_then(Address::parse)
}

fn brought(text: Option<&str>) -> Result<Option<Product>, LedgerError> {
    text.map(read_product).transpose()
}

fn read_claim(text: Option<&str>) -> Result<Option<Verdict>, LedgerError> {
    text.map(word).transpose()
}

fn read_outcome(text: &str, detail: Option<&str>) -> Result<Outcome, LedgerError> {
    Outcome::parse(text, detail).ok_or_else(|| LedgerError::Corrupt(format!("{text:?} is no outcome")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Cap;

    #[test]
    fn what_was_learned_is_read_as_it_was_written() {
        let found = AttemptEnd {
            found: Address::parse("ada@acme.test"),
            claim: Some(Verdict::CatchAll),
            handle: Some("h-1".to_owned()),
            source: AnswerSource::Called,
            duration_ms: 420,
            ..AttemptEnd::not_asked(Outcome::Found)
        };
        let scraped = AttemptEnd {
            product: Some(Product::Text("# Acme \"{}\"".into())),
            source: AnswerSource::Called,
            ..AttemptEnd::not_asked(Outcome::Scraped)
        };
        let unsaid = AttemptEnd { unsaid: true, ..AttemptEnd::not_asked(Outcome::Written) };
        let capped = AttemptEnd::not_asked(Outcome::Capped(Cap::Lead));
        let owed = Usd::from_nanos(12_500_000);
        for (end, owed) in [(found, owed), (scraped, owed), (unsaid, owed), (capped, Usd::ZERO)] {
            let text = write_learned(&end, owed).unwrap();
            assert_eq!(read_learned(&text).unwrap(), (end, owed));
        }
    }

    #[test]
    fn what_an_earlier_version_kept_is_read() {
        let text = "{\"outcome\":\"found\",\"detail\":null,\"found\":\"ada@acme.test\",\"claim\":null,\
                    \"handle\":null,\"source\":\"called\",\"duration_ms\":4,\"owed\":7}";
        let (end, owed) = read_learned(text).unwrap();
        assert_eq!((end.outcome, end.product, end.duration_ms, owed), (Outcome::Found, None, 4, Usd::from_nanos(7)));
        assert!(!end.unsaid);
    }

    #[test]
    fn what_cannot_be_read_is_not_quoted() {
        let error = read_learned("{\"found\":\"ada@acme.test\"}").unwrap_err();
        assert!(!error.is_transient() && !error.to_string().contains("ada"), "{error}");
    }
}
