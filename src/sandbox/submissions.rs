//! What was submitted to Icypeas, per key: the newest items, and how far each has come.

use crate::sandbox::answer::Purpose;
use crate::sandbox::answer::quoted;
use crate::sandbox::hash::Hash;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

/// Items kept per key; older ones are forgotten.
const MAX_ITEMS: usize = 10_000;
/// The most items one read lists.
const MAX_LISTED: usize = 100;
/// Reads an account may make in [`READS_WINDOW`].
const MAX_READS: usize = 30;
const READS_WINDOW: Duration = Duration::from_secs(60);

const NO_RESULTS: &str = r#"{"emails":[],"phones":[],"saasServices":[]}"#;

/// Every account's submissions.
pub(super) struct Submissions {
    /// How long an item takes; at zero, it is done when it is read the second time.
    latency: Duration,
    accounts: Mutex<HashMap<String, Account>>,
}

/// One submission.
pub(super) struct Item {
    /// Find or verify.
    pub(super) purpose: Purpose,
    external_id: String,
    ending: &'static str,
    results: String,
    submitted: Instant,
    /// How often its status was shown.
    reads: u32,
}

struct Account {
    /// The first part of its items' ids.
    tag: u64,
    items: VecDeque<Item>,
    /// How many items were forgotten: the number of the oldest one kept.
    forgotten: usize,
    reads: VecDeque<Instant>,
}

impl Submissions {
    pub(super) fn new(latency: Duration) -> Self {
        Self { latency, accounts: Mutex::default() }
    }

    /// Takes an item in, and gives it an id.
    pub(super) fn add(&self, key: &str, item: Item) -> String {
        let mut accounts = self.accounts();
        let account = accounts.entry(key.to_owned()).or_insert_with(|| Account::new(key));
        let id = account.id(account.forgotten + account.items.len());
        account.items.push_back(item);
        if account.items.len() > MAX_ITEMS {
            account.items.pop_front();
            account.forgotten += 1;
        }
        id
    }

    /// Counts a read against the account's limit; `false` when there are too many.
    pub(super) fn admit_read(&self, key: &str, now: Instant) -> bool {
        let mut accounts = self.accounts();
        let reads = &mut accounts.entry(key.to_owned()).or_insert_with(|| Account::new(key)).reads;
        while reads.front().is_some_and(|read| now.duration_since(*read) >= READS_WINDOW) {
            reads.pop_front();
        }
        if reads.len() >= MAX_READS {
            return false;
        }
        reads.push_back(now);
        true
    }

    /// The body that shows one item; `None` for an unknown id.
    pub(super) fn read_one(&self, key: &str, id: &str, now: Instant) -> Option<String> {
        let mut accounts = self.accounts();
        let account = accounts.get_mut(key)?;
        let number = account.number(id)?;
        let item = account.items.get_mut(number.checked_sub(account.forgotten)?)?;
        let mut listed = String::new();
        item.write(id, self.latency, now, &mut listed);
        Some(body(&listed, "[]", "[]", 1))
    }

    /// The body that lists the newest items of a purpose, at most `limit`, older than number `before`.
    pub(super) fn read_newest(
        &self,
        key: &str,
        purpose: Purpose,
        limit: Option<usize>,
        before: Option<usize>,
        now: Instant,
    ) -> String {
        let mut accounts = self.accounts();
        let Some(account) = accounts.get_mut(key) else {
            return body("", "[]", "[]", 0);
        };
        let total = account.items.iter().filter(|item| item.purpose == purpose).count();
        let (tag, forgotten) = (account.tag, account.forgotten);
        let numbered = account.items.iter_mut().enumerate().rev().map(|(at, item)| (forgotten + at, item));
        let wanted = numbered
            .filter(|(number, item)| item.purpose == purpose && before.is_none_or(|before| *number < before))
            .take(limit.unwrap_or(MAX_LISTED).min(MAX_LISTED));
        let (mut listed, mut first, mut last) = (String::new(), None, None);
        for (number, item) in wanted {
            if first.is_some() {
                listed.push(',');
            }
            first = first.or(Some(number));
            last = Some(number);
            item.write(&id_of(tag, number), self.latency, now, &mut listed);
        }
        let sort = |number: Option<usize>| number.map_or_else(|| "[]".to_owned(), |number| format!("[{number}]"));
        body(&listed, &sort(first), &sort(last), total)
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<String, Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    fn new(key: &str) -> Self {
        let tag = Hash::new(0).text(key).value() >> 32;
        Self { tag, items: VecDeque::new(), forgotten: 0, reads: VecDeque::new() }
    }

    fn id(&self, number: usize) -> String {
        id_of(self.tag, number)
    }

    /// The number in one of its own ids.
    fn number(&self, id: &str) -> Option<usize> {
        let (_, number) = id.split_at_checked(8)?;
        let number = usize::from_str_radix(number, 16).ok()?;
        (self.id(number) == id).then_some(number)
    }
}

impl Item {
    /// Submitted now, with the caller's own reference (may be empty), the status it will end in,
    /// and the results it will then have, as JSON.
    pub(super) fn new(purpose: Purpose, external_id: String, ending: &'static str, results: String) -> Self {
        Self { purpose, external_id, ending, results, submitted: Instant::now(), reads: 0 }
    }

    fn write(&mut self, id: &str, latency: Duration, now: Instant, listed: &mut String) {
        let waited = now.saturating_duration_since(self.submitted);
        let done = waited >= latency && (!latency.is_zero() || self.reads > 0);
        let (status, results) = match (done, self.reads) {
            (true, _) => (self.ending, self.results.as_str()),
            (false, 0) => ("NONE", NO_RESULTS),
            (false, _) => ("IN_PROGRESS", NO_RESULTS),
        };
        self.reads = self.reads.saturating_add(1);
        let external_id = quoted(&self.external_id);
        // Writing to a String cannot fail.
        let _ = write!(
            listed,
            r#"{{"_id":"{id}","name":"__icypeas__individual","user":"u_000","order":0,"status":"{status}",
              "results":{results},"userData":{{"webhookUrl":"","externalId":{external_id}}},
              "system":{{"createdAt":"2026-01-01T00:00:00.000Z","modifiedAt":"2026-01-01T00:00:03.000Z"}}}}"#
        );
    }
}

/// 24 hex digits: eight of the account, sixteen of the item.
fn id_of(tag: u64, number: usize) -> String {
    format!("{tag:08x}{number:016x}")
}

fn body(listed: &str, first: &str, last: &str, total: usize) -> String {
    format!(r#"{{"success":true,"items":[{listed}],"sorts":[{first},{last}],"total":{total}}}"#)
}
