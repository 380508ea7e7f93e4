//! What holds for copy whatever the providers do, and whoever reads and writes from one run to the next: leads are
//! driven through up to four runs as the shell drives them, with `watch` looking on at every decision.

use crate::domain::About;
use crate::domain::Attempt;
use crate::domain::AttemptEnd;
use crate::domain::AttemptNo;
use crate::domain::AttemptState;
use crate::domain::Cap;
use crate::domain::Ending;
use crate::domain::KeySource;
use crate::domain::Operation;
use crate::domain::Outage;
use crate::domain::Outcome;
use crate::domain::Product;
use crate::domain::Query;
use crate::domain::Reason;
use crate::domain::Run;
use crate::domain::Status;
use crate::domain::Step;
use crate::domain::Throttle;
use crate::domain::Unwritten;
use crate::waterfall::Course;
use crate::waterfall::Next;
use crate::waterfall::Trail;
use crate::waterfall::copy_story::DEADLINE;
use crate::waterfall::copy_story::START;
use crate::waterfall::copy_story::read_plan;
use crate::waterfall::copy_story::read_trail;
use proptest::prelude::*;
use std::collections::BTreeSet;

const MAX_RUNS: usize = 4;
const PAGES: &[&str] = &["a", "{domain}", "{company}", "acme", "b"];
const READERS: &[&str] = &["fc", "fc+", "fc!", "jr", "nobody"];
/// The last one: the model has gone.
const WRITERS: &[&str] = &["oa", "oa+", "oa!", "an", ""];

/// In one run a question is put at most four times with each of two keys: all but an open breaker's first
/// refusal and the first two pauses end it. One more decision ends the run.
const MAX_DECISIONS: usize = 2 * 4 * (PAGES.len() + 1) + 1;

/// The plan of each run, in the words of `copy_story`, and what the providers will say.
#[derive(Debug)]
struct World {
    plans: Vec<String>,
    /// One a call; after the last the first again.
    replies: Vec<Reply>,
}

/// What a call gets, whichever step makes it.
#[derive(Clone, Debug)]
struct Reply {
    reader: AttemptEnd,
    writer: AttemptEnd,
}

impl World {
    /// Lives the lead's life; returns its trail and how each run ended.
    fn live(&self, mut watch: impl FnMut(&Course, &Trail, &Next)) -> (Trail, Vec<Ending>) {
        let mut trail = read_trail("");
        let mut replies = self.replies.iter().cycle();
        let mut endings = Vec::new();
        for (run, plan) in (1..).map(Run::new).zip(&self.plans) {
            trail.run = run;
            let course = Course::Copy(Box::new(read_plan(plan)));
            let ending = live_run(&course, &mut trail, || replies.next().unwrap(), &mut watch);
            let goes_on = ending.reason.is_resumable();
            endings.push(ending);
            if !goes_on {
                break;
            }
        }
        (trail, endings)
    }
}

fn live_run<'a>(
    course: &Course,
    trail: &mut Trail,
    mut call: impl FnMut() -> &'a Reply,
    watch: &mut impl FnMut(&Course, &Trail, &Next),
) -> Ending {
    for _ in 0..MAX_DECISIONS {
        let decided = course.next(trail, START);
        watch(course, trail, &decided);
        match decided {
            Next::Try(step, key, query) | Next::TryAfterOutage(step, key, query) => {
                let Reply { reader, writer } = call().clone();
                let end = if step.operation == Operation::Scrape { reader } else { writer };
                write(trail, step, query.about(), key, AttemptState::Ended(end));
            }
            Next::PassOver(step, about) => {
                let end = AttemptEnd::not_asked(Outcome::NotApplicable);
                write(trail, step, about, KeySource::House, AttemptState::Ended(end));
            }
            Next::Finish(ending) => return ending,
        }
    }
    panic!("no end after {MAX_DECISIONS} decisions");
}

/// Appends an attempt to the trail, as the shell does.
fn write(trail: &mut Trail, step: Step, about: Option<About>, key_source: KeySource, state: AttemptState) {
    let n = trail.attempts.last().map_or(AttemptNo::FIRST, |before| before.n.next());
    trail.attempts.push(Attempt { n, run: trail.run, step, about, key_source, state });
}

/// What is asked, if anything is, and whom, with which key.
fn question(decided: &Next) -> Option<(&Step, KeySource, &Query)> {
    match decided {
        Next::Try(step, key, query) | Next::TryAfterOutage(step, key, query) => Some((step, *key, query)),
        Next::PassOver(..) | Next::Finish(_) => None,
    }
}

/// Every page that was read, with its text.
fn texts(trail: &Trail) -> Vec<(&str, &str)> {
    trail.attempts.iter().filter_map(text).collect()
}

fn text(attempt: &Attempt) -> Option<(&str, &str)> {
    match (attempt.about.as_ref()?, attempt.end()?.product.as_ref()?) {
        (About::Page(url), Product::Text(text)) => Some((url.as_str(), text.as_ref())),
        (About::Page(_) | About::Address(_), Product::Text(_) | Product::Copy { .. }) => None,
    }
}

/// A request for copy that was not accepted is made again in a later run.
fn is_answered(attempt: &Attempt, run: Run) -> bool {
    let is_write = attempt.step.operation == Operation::WriteCopy;
    let is_rejection = is_write && attempt.outcome() == Some(Outcome::BadRequest);
    attempt.outcome().is_some_and(Outcome::is_answer) && (attempt.run == run || !is_rejection)
}

/// All but an expired hold, which takes longer than a lead's deadline.
fn no_answer() -> impl Strategy<Value = AttemptEnd> {
    let outcome = prop::sample::select(vec![
        Outcome::Unaffordable,
        Outcome::Capped(Cap::Lead),
        Outcome::Capped(Cap::Job),
        Outcome::KeyRejected,
        Outcome::ProviderOutOfCredits,
        Outcome::RateLimited(Throttle::TriesSpent),
        Outcome::RateLimited(Throttle::GivenBack),
        Outcome::Timeout,
        Outcome::Unavailable(Outage::Answered),
        Outcome::Unavailable(Outage::BreakerOpen),
        Outcome::ProtocolError,
    ]);
    outcome.prop_map(AttemptEnd::not_asked)
}

fn reader_end() -> impl Strategy<Value = AttemptEnd> {
    let scraped = prop::sample::select(vec!["one", "two", "three"]).prop_map(|text| AttemptEnd {
        product: Some(Product::Text(text.into())),
        ..AttemptEnd::not_asked(Outcome::Scraped)
    });
    let answers = prop::sample::select(vec![Outcome::NotFound, Outcome::BadRequest]).prop_map(AttemptEnd::not_asked);
    prop_oneof![3 => scraped, 1 => answers, 4 => no_answer()]
}

fn writer_end() -> impl Strategy<Value = AttemptEnd> {
    let answers = prop::sample::select(vec![
        Outcome::Written,
        Outcome::Unwritten(Unwritten::Refused),
        Outcome::Unwritten(Unwritten::Truncated),
        Outcome::Unwritten(Unwritten::NoEmail),
        Outcome::BadRequest,
    ]);
    prop_oneof![1 => answers.prop_map(AttemptEnd::not_asked), 3 => no_answer()]
}

fn world() -> impl Strategy<Value = World> {
    let pages = prop::sample::subsequence(PAGES, 0..=PAGES.len());
    let who = (prop::sample::select(READERS), prop::sample::select(WRITERS));
    let reply = (reader_end(), writer_end()).prop_map(|(reader, writer)| Reply { reader, writer });
    (pages, prop::collection::vec(who, MAX_RUNS), prop::collection::vec(reply, 1..30)).prop_map(
        |(pages, who, replies)| {
            let plan = |(reader, writer): (&str, &str)| format!("{} by {reader} | {writer}", pages.join(" "));
            World { plans: who.into_iter().map(plan).collect(), replies }
        },
    )
}

proptest! {
    #[test]
    fn a_lead_ends_as_the_contract_allows_and_as_written_when_a_model_wrote(world in world()) {
        let (trail, endings) = world.live(|_, _, _| {});
        for ending in &endings {
            assert!(ending.is_allowed(), "{ending:?}");
            assert_eq!(*ending, Ending::without_address(ending.status, ending.reason));
        }
        let came_to = |outcome| trail.attempts.iter().any(|attempt| attempt.outcome() == Some(outcome));
        let ended = |status, reason| endings.last().is_some_and(|end| end.status == status && end.reason == reason);
        assert_eq!(ended(Status::Written, Reason::None), came_to(Outcome::Written));
        let declined = [Unwritten::Refused, Unwritten::NoEmail].map(|why| came_to(Outcome::Unwritten(why)));
        assert_eq!(ended(Status::Failed, Reason::Refused), declined.contains(&true));
    }

    #[test]
    fn a_page_is_read_once_and_a_model_answers_once_whoever_is_asked(world in world()) {
        let (trail, _) = world.live(|_, _, _| {});
        let texts = texts(&trail);
        let pages: BTreeSet<&str> = texts.iter().map(|(url, _)| *url).collect();
        assert_eq!(texts.len(), pages.len());
        let is_paid = |outcome: Outcome| matches!(outcome, Outcome::Written | Outcome::Unwritten(_));
        assert!(trail.attempts.iter().filter(|attempt| attempt.outcome().is_some_and(is_paid)).count() <= 1);
    }

    #[test]
    fn a_question_once_answered_is_never_put_again(world in world()) {
        world.live(|_, trail, decided| {
            let Some((step, _, query)) = question(decided) else { return };
            let about = query.about();
            let mut earlier = trail.attempts.iter().filter(|attempt| attempt.step == *step && attempt.about == about);
            assert!(!earlier.any(|attempt| is_answered(attempt, trail.run)), "{decided:?}");
        });
    }

    #[test]
    fn the_copy_is_written_last_and_from_all_that_was_read(world in world()) {
        world.live(|_, trail, decided| match question(decided) {
            Some((_, _, Query::Write(writing))) => {
                let given = writing.pages.iter().map(|page| (page.url.as_str(), &*page.text));
                let given: BTreeSet<(&str, &str)> = given.collect();
                let read: BTreeSet<(&str, &str)> = texts(trail).into_iter().collect();
                assert_eq!(given, read);
            }
            Some((step, ..)) => {
                assert_eq!(step.operation, Operation::Scrape);
                let writes = |attempt: &Attempt| attempt.step.operation == Operation::WriteCopy;
                assert!(!trail.attempts.iter().any(|attempt| attempt.run == trail.run && writes(attempt)));
            }
            None => {}
        });
    }

    #[test]
    fn a_worker_that_takes_over_goes_on_with_what_was_begun(world in world()) {
        world.live(|course, trail, decided| {
            assert_eq!(course.next(trail, START), *decided, "the same trail, the same decision");
            let Some((step, key, query)) = question(decided) else { return };
            let mut begun = trail.clone();
            write(&mut begun, step.clone(), query.about(), key, AttemptState::Begun);
            assert_eq!(course.next(&begun, START), Next::Try(step.clone(), key, query.clone()));
            assert_eq!(course.query_of(begun.attempts.last().unwrap(), &begun).as_ref(), Some(query));
        });
    }

    #[test]
    fn past_the_deadline_nothing_is_asked_and_what_is_decided_stands(world in world()) {
        world.live(|course, trail, decided| {
            let late = course.next(trail, DEADLINE);
            if question(decided).is_some() {
                assert_eq!(late, Next::Finish(Ending::without_address(Status::Failed, Reason::Deadline)));
            } else {
                assert_eq!(late, *decided);
            }
        });
    }

    #[test]
    fn a_lead_can_be_cancelled_at_any_point_and_what_is_decided_stands(world in world()) {
        world.live(|course, trail, decided| {
            let ending = course.cancel(trail);
            if let Next::Finish(decided) = decided {
                assert_eq!(ending, *decided);
            } else {
                assert_eq!(ending, Ending::without_address(Status::Skipped, Reason::Cancelled));
            }
        });
    }
}
