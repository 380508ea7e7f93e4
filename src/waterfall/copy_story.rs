//! Stories about copy, and how they are told: a plan, what has happened, what comes next.
//!
//! A plan is `pages | writer`, perhaps with who reads: `a {domain} | oa`, `a by jr+ | oa!`, `a by nobody | oa`;
//! without a writer the model has gone. After a name `+` stands for the customer's own key and then the house's, `!`
//! for the own alone. A story is told in lines with `; ` between: `fc a: scraped Alpha`, `fc cached a: scraped Alpha`,
//! `fc: not_applicable` (of a template that the lead cannot fill), `oa own: key_rejected`, `run 2`; `time is up` or
//! `cancel` end it. The pages that a model is given stand behind `from`.

use crate::domain::About;
use crate::domain::AnswerSource;
use crate::domain::Attempt;
use crate::domain::AttemptEnd;
use crate::domain::AttemptNo;
use crate::domain::AttemptState;
use crate::domain::Brief;
use crate::domain::Dialect;
use crate::domain::Draft;
use crate::domain::Ending;
use crate::domain::KeySource;
use crate::domain::Lead;
use crate::domain::LeadId;
use crate::domain::Operation;
use crate::domain::Outcome;
use crate::domain::OutputCap;
use crate::domain::PageUrl;
use crate::domain::Product;
use crate::domain::ProviderName;
use crate::domain::Purpose;
use crate::domain::Query;
use crate::domain::Run;
use crate::domain::Step;
use crate::waterfall::CopyPlan;
use crate::waterfall::Course;
use crate::waterfall::Keys;
use crate::waterfall::Moment;
use crate::waterfall::Next;
use crate::waterfall::ScrapeStep;
use crate::waterfall::Trail;
use crate::waterfall::WriteStep;
use std::sync::Arc;
use std::time::Duration;

/// When a lead's work begins.
pub(super) const START: Moment = Moment(Duration::ZERO);
/// When it must end.
pub(super) const DEADLINE: Moment = Moment(Duration::from_secs(600));
/// Whoever else a story names writes.
const READERS: [&str; 2] = ["fc", "jr"];

/// After this story of this plan, is this what comes next?
#[track_caller]
pub(super) fn check(plan: &str, story: &str, expected: &str) {
    assert_eq!(tell(&decide(plan, story)), expected, "{plan} / {story}");
}

/// What comes next.
pub(super) fn decide(plan: &str, story: &str) -> Next {
    let course = Course::Copy(Box::new(read_plan(plan)));
    let (before, last) = story.rsplit_once("; ").unwrap_or(("", story));
    match last {
        "time is up" => course.next(&read_trail(before), DEADLINE),
        "cancel" => Next::Finish(course.cancel(&read_trail(before))),
        _ => course.next(&read_trail(story), START),
    }
}

/// The trail that a story leaves.
pub(super) fn read_trail(story: &str) -> Trail {
    let mut trail = Trail { given: None, run: Run::FIRST, deadline: DEADLINE, attempts: Vec::new() };
    for line in story.split("; ").filter(|line| !line.is_empty()) {
        match line.strip_prefix("run ") {
            Some(number) => trail.run = Run::new(number.parse().unwrap()),
            None => trail.attempts.push(read_attempt(line, &trail)),
        }
    }
    trail
}

/// The lead: neither a company's name nor a profile is known.
pub(super) fn ada() -> Lead {
    Lead {
        first_name: Some("Ada".to_owned()),
        full_name: Some("Ada Lovelace".to_owned()),
        domain: Some("acme.test".to_owned()),
        ..Lead::default()
    }
}

/// The plan for that lead.
pub(super) fn read_plan(words: &str) -> CopyPlan {
    let (reading, writer) = words.split_once('|').unwrap();
    let (pages, reader) = reading.split_once(" by ").unwrap_or((reading, "fc"));
    let (keys, reader) = read_keys(reader.trim());
    let (reader, keys) = if reader == "nobody" { ("fc", None) } else { (reader, Some(keys)) };
    CopyPlan {
        brief: Arc::new(Brief {
            purpose: Purpose::Live,
            model: "writer-1".to_owned(),
            max_output_tokens: 400,
            instructions: "Write to {first_name} at {domain}, {company}.".to_owned(),
            pages: pages.split_whitespace().map(template).collect(),
        }),
        lead: ada(),
        id: LeadId::new("7"),
        scrape: ScrapeStep { step: step(reader, Operation::Scrape), keys },
        write: Some(writer.trim()).filter(|writer| !writer.is_empty()).map(read_writer),
    }
}

fn template(word: &str) -> String {
    if word.starts_with('{') { format!("https://{word}") } else { format!("https://{word}.test") }
}

fn read_writer(word: &str) -> WriteStep {
    let (keys, name) = read_keys(word);
    WriteStep { step: step(name, Operation::WriteCopy), keys, dialect: dialect() }
}

/// Another one than the usual.
pub(super) fn dialect() -> Dialect {
    Dialect { output_cap: OutputCap::MaxTokens, ..Dialect::default() }
}

fn read_keys(word: &str) -> (Keys, &str) {
    if let Some(name) = word.strip_suffix('+') {
        return (Keys::OwnThenHouse, name);
    }
    word.strip_suffix('!').map_or((Keys::HOUSE, word), |name| (Keys::Only(KeySource::Own), name))
}

fn read_attempt(line: &str, trail: &Trail) -> Attempt {
    let (question, answer) = line.split_once(": ").unwrap();
    let mut words = question.split_whitespace();
    let provider = words.next().unwrap();
    let (mut about, mut key_source, mut source) = (None, KeySource::House, AnswerSource::Called);
    for word in words {
        match word {
            "own" => key_source = KeySource::Own,
            "cached" => source = AnswerSource::Cached,
            name => about = Some(About::Page(page(name))),
        }
    }
    let operation = if READERS.contains(&provider) { Operation::Scrape } else { Operation::WriteCopy };
    Attempt {
        n: trail.attempts.last().map_or(AttemptNo::FIRST, |before| before.n.next()),
        run: trail.run,
        step: step(provider, operation),
        about,
        key_source,
        state: read_answer(answer, source),
    }
}

fn read_answer(answer: &str, source: AnswerSource) -> AttemptState {
    let words: Vec<&str> = answer.split(' ').collect();
    let (outcome, product) = match words[..] {
        ["begun"] => return AttemptState::Begun,
        ["scraped", text] => (Some(Outcome::Scraped), Some(Product::Text(text.into()))),
        ["written"] => (Some(Outcome::Written), Some(draft())),
        _ => (Outcome::parse(words[0], words.get(1).copied()), None),
    };
    let end = AttemptEnd::not_asked(outcome.expect(answer));
    AttemptState::Ended(AttemptEnd { product, source, ..end })
}

fn draft() -> Product {
    let draft = Draft { subject: "Hello".to_owned(), body: "Hello Ada.".to_owned() };
    Product::Copy { draft: Some(Arc::new(draft)), tokens: None }
}

fn step(name: &str, operation: Operation) -> Step {
    Step::new(ProviderName::new(name), operation)
}

fn page(name: &str) -> PageUrl {
    PageUrl::parse(&format!("https://{name}.test")).unwrap()
}

/// What comes next, in a line.
pub(super) fn tell(decided: &Next) -> String {
    match decided {
        Next::Try(step, key, query) => format!("try {}", question(step, *key, query)),
        Next::TryAfterOutage(step, key, query) => format!("after outage {}", question(step, *key, query)),
        Next::PassOver(step, None) => format!("pass over {}", step.provider),
        Next::PassOver(step, Some(about)) => format!("pass over {} {}", step.provider, name(about.as_str())),
        Next::Finish(ending) => {
            assert!(ending.is_allowed(), "{ending:?}");
            assert_eq!(*ending, Ending::without_address(ending.status, ending.reason));
            format!("{} {}", ending.status, ending.reason)
        }
    }
}

fn question(step: &Step, key: KeySource, query: &Query) -> String {
    assert_eq!(step.operation, query.operation());
    let mut told = step.provider.to_string();
    if key == KeySource::Own {
        told += " own";
    }
    match query {
        Query::Scrape(url) => told += &format!(" {}", name(url.as_str())),
        Query::Write(writing) => {
            let pages: Vec<_> =
                writing.pages.iter().map(|it| format!("{}={}", name(it.url.as_str()), it.text)).collect();
            if !pages.is_empty() {
                told += &format!(" from {}", pages.join(" "));
            }
        }
        Query::ByName(..) | Query::ByProfile(_) | Query::Verify(_) => panic!("{query:?} is no part of copy"),
    }
    told
}

fn name(url: &str) -> &str {
    url.trim_start_matches("https://").trim_end_matches(".test/")
}
