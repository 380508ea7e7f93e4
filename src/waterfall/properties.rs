//! What holds for every plan, whatever the providers do: leads are driven through up to four runs as
//! the shell drives them, with `watch` looking on at every decision.

use crate::domain::About;
use crate::domain::Address;
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
use crate::domain::ProviderName;
use crate::domain::Query;
use crate::domain::Run;
use crate::domain::Status;
use crate::domain::Step;
use crate::domain::Throttle;
use crate::domain::Verdict;
use crate::waterfall::FindStep;
use crate::waterfall::Keys;
use crate::waterfall::Moment;
use crate::waterfall::Next;
use crate::waterfall::Plan;
use crate::waterfall::Risky;
use crate::waterfall::Trail;
use crate::waterfall::VerifyStep;
use crate::waterfall::cancel;
use crate::waterfall::next;
use proptest::prelude::*;
use std::time::Duration;

const START: Moment = Moment(Duration::ZERO);
const DEADLINE: Moment = Moment(Duration::from_secs(600));
/// Fallback from an own key to the house's is a matter of tables.
const KEY: KeySource = KeySource::House;
const MAX_RUNS: u32 = 4;
const FINDERS: [&str; 4] = ["f1", "f2", "f3", "f4"];
const VERIFIERS: [&str; 2] = ["v1", "v2"];

/// In one run a question is put to a step at most four times: all but an open breaker's first refusal and
/// the first two pauses end it. Questions are one a finder, and one a verifier about each address: the
/// lead's own and one a finder. One more decision ends the run.
const MAX_DECISIONS: usize = 4 * (FINDERS.len() + VERIFIERS.len() * (FINDERS.len() + 1)) + 1;

/// A lead, the plan for it, and what the providers will say.
#[derive(Debug)]
struct World {
    plan: Plan,
    given: Option<Address>,
    /// One a call; after the last the first again.
    replies: Vec<Reply>,
}

/// What a call gets, whichever step makes it. Price, time and source do not enter any decision.
#[derive(Clone, Debug)]
struct Reply {
    finder: AttemptEnd,
    verifier: AttemptEnd,
    key_source: KeySource,
}

impl World {
    /// Lives the lead's life; returns its trail and how each run ended.
    fn live(&self, mut watch: impl FnMut(&Trail, &Next)) -> (Trail, Vec<Ending>) {
        let mut trail = Trail { given: self.given.clone(), run: Run::FIRST, deadline: DEADLINE, attempts: Vec::new() };
        let mut replies = self.replies.iter().cycle();
        let mut endings = Vec::new();
        for run in 1..=MAX_RUNS {
            trail.run = Run::new(run);
            let ending = self.live_run(&mut trail, || replies.next().unwrap(), &mut watch);
            let goes_on = ending.reason.is_resumable();
            endings.push(ending);
            if !goes_on {
                break;
            }
        }
        (trail, endings)
    }

    fn live_run<'a>(
        &self,
        trail: &mut Trail,
        mut call: impl FnMut() -> &'a Reply,
        watch: &mut impl FnMut(&Trail, &Next),
    ) -> Ending {
        for _ in 0..MAX_DECISIONS {
            let decided = next(&self.plan, trail, START);
            watch(trail, &decided);
            match decided {
                Next::Try(step, _, query) | Next::TryAfterOutage(step, _, query) => {
                    let Reply { finder, verifier, key_source } = call().clone();
                    let about = address_of(&query).cloned();
                    let end = if about.is_some() { verifier } else { finder };
                    write(trail, step, about, key_source, AttemptState::Ended(end));
                }
                Next::PassOver(step, _) => {
                    let end = AttemptEnd::not_asked(Outcome::NotApplicable);
                    write(trail, step, None, KeySource::House, AttemptState::Ended(end));
                }
                Next::Finish(ending) => return ending,
            }
        }
        panic!("no end after {MAX_DECISIONS} decisions");
    }
}

/// Appends an attempt to the trail, as the shell does.
fn address_in(attempt: &Attempt) -> Option<&Address> {
    attempt.about.as_ref().and_then(About::address)
}

fn write(trail: &mut Trail, step: Step, about: Option<Address>, key_source: KeySource, state: AttemptState) {
    let n = trail.attempts.last().map_or(AttemptNo::FIRST, |before| before.n.next());
    let about = about.map(About::Address);
    trail.attempts.push(Attempt { n, run: trail.run, step, about, key_source, state });
}

/// What is asked, if anything is: the step, and the address in question.
fn question(decided: &Next) -> Option<(&Step, Option<&Address>)> {
    match decided {
        Next::Try(step, _, query) | Next::TryAfterOutage(step, _, query) => Some((step, address_of(query))),
        Next::PassOver(..) | Next::Finish(_) => None,
    }
}

fn address_of(query: &Query) -> Option<&Address> {
    match query {
        Query::Verify(address) => Some(address),
        Query::ByName(..) | Query::ByProfile(_) | Query::Scrape(_) | Query::Write(_) => None,
    }
}

/// Has a verifier said this of the address?
fn judged(trail: &Trail, address: &Address, verdict: Verdict) -> bool {
    let about = |attempt: &&Attempt| address_in(attempt) == Some(address);
    trail.attempts.iter().filter(about).any(|attempt| attempt.outcome() == Some(Outcome::Judged(verdict)))
}

/// Every address in hand.
fn addresses(trail: &Trail) -> impl Iterator<Item = &Address> {
    let found = trail.attempts.iter().filter_map(|attempt| attempt.end()?.found.as_ref());
    trail.given.iter().chain(found)
}

fn address() -> impl Strategy<Value = Address> {
    prop::sample::select(vec!["a@acme.test", "b@acme.test", "c@acme.test", "d@acme.test"])
        .prop_map(|text| Address::parse(text).unwrap())
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop::sample::select(vec![Verdict::Valid, Verdict::Invalid, Verdict::CatchAll, Verdict::Unknown])
}

/// All but an expired hold, which takes longer than a lead's deadline.
fn no_answer() -> impl Strategy<Value = Outcome> {
    prop::sample::select(vec![
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
    ])
}

fn finder_end() -> impl Strategy<Value = AttemptEnd> {
    let found = (address(), verdict()).prop_map(|(address, claim)| AttemptEnd {
        found: Some(address),
        claim: Some(claim),
        ..AttemptEnd::not_asked(Outcome::Found)
    });
    prop_oneof![
        4 => found,
        1 => Just(AttemptEnd::not_asked(Outcome::NotFound)),
        1 => Just(AttemptEnd::not_asked(Outcome::BadRequest)),
        3 => no_answer().prop_map(AttemptEnd::not_asked),
    ]
}

fn verifier_end() -> impl Strategy<Value = AttemptEnd> {
    prop_oneof![
        5 => verdict().prop_map(|verdict| AttemptEnd::not_asked(Outcome::Judged(verdict))),
        1 => Just(AttemptEnd::not_asked(Outcome::BadRequest)),
        3 => no_answer().prop_map(AttemptEnd::not_asked),
    ]
}

fn reply() -> impl Strategy<Value = Reply> {
    let key_source = prop::sample::select(vec![KeySource::House, KeySource::Own]);
    (finder_end(), verifier_end(), key_source).prop_map(|(finder, verifier, key_source)| Reply {
        finder,
        verifier,
        key_source,
    })
}

fn find_step(name: &str, applies: bool) -> FindStep {
    let query = applies.then(|| Query::ByProfile("https://linkedin.test/in/ada".to_owned()));
    FindStep { step: Step::new(ProviderName::new(name), Operation::FindEmail), keys: Keys::Only(KEY), query }
}

fn plan() -> impl Strategy<Value = Plan> {
    let applies = prop::collection::vec(prop::bool::weighted(0.8), 0..=FINDERS.len());
    let risky = prop::sample::select(vec![Risky::KeepLooking, Risky::Accept]);
    (applies, 0..=VERIFIERS.len(), risky, any::<bool>()).prop_map(|(applies, verifiers, risky, trust_finders)| {
        let verify_step = |name: &str| {
            let step = Step::new(ProviderName::new(name), Operation::VerifyEmail);
            VerifyStep { step, keys: Keys::Only(KEY) }
        };
        Plan {
            find: FINDERS.into_iter().zip(applies).map(|(name, applies)| find_step(name, applies)).collect(),
            verify: VERIFIERS.into_iter().take(verifiers).map(verify_step).collect(),
            risky,
            trust_finders,
        }
    })
}

fn world() -> impl Strategy<Value = World> {
    (plan(), prop::option::of(address()), prop::collection::vec(reply(), 1..30))
        .prop_map(|(plan, given, replies)| World { plan, given, replies })
}

proptest! {
    #[test]
    fn a_lead_ends_as_the_contract_allows_and_with_an_address_where_it_promises_one(world in world()) {
        let (_, endings) = world.live(|_, _| {});
        for ending in endings {
            assert!(ending.is_allowed(), "{ending:?}");
            let promised = matches!(ending.status, Status::Verified | Status::Risky | Status::Unverified);
            assert_eq!(ending.address.is_some(), promised, "{ending:?}");
        }
    }

    #[test]
    fn the_address_given_is_in_hand_and_was_not_rejected(world in world()) {
        world.live(|trail, decided| {
            let Next::Finish(Ending { address: Some(address), .. }) = decided else { return };
            assert!(addresses(trail).any(|in_hand| in_hand == address));
            assert!(!judged(trail, address, Verdict::Invalid));
        });
    }

    #[test]
    fn verified_rests_on_the_word_of_the_one_it_names(world in world()) {
        world.live(|trail, decided| {
            let Next::Finish(ending) = decided else { return };
            let vouches = |attempt: &Attempt| {
                let claimed = attempt.end().is_some_and(|end| {
                    end.found == ending.address && end.claim == Some(Verdict::Valid) && world.plan.trust_finders
                });
                let judged =
                    address_in(attempt) == ending.address.as_ref() && attempt.outcome() == Some(Outcome::Judged(Verdict::Valid));
                ending.verified_by.as_ref() == Some(&attempt.step.provider) && (claimed || judged)
            };
            assert!(ending.status != Status::Verified || trail.attempts.iter().any(vouches), "{ending:?}");
        });
    }

    #[test]
    fn a_question_once_answered_is_never_asked_and_so_never_paid_again(world in world()) {
        world.live(|trail, decided| {
            let Some((step, about)) = question(decided) else { return };
            let same = |attempt: &&Attempt| attempt.step == *step && address_in(attempt) == about;
            let mut earlier = trail.attempts.iter().filter(same);
            assert!(!earlier.any(|attempt| attempt.outcome().is_some_and(Outcome::is_answer)), "{decided:?}");
        });
    }

    #[test]
    fn a_lead_that_is_decided_is_not_asked_about_again(world in world()) {
        let deciding: &[Verdict] = match world.plan.risky {
            Risky::Accept => &[Verdict::Valid, Verdict::CatchAll],
            Risky::KeepLooking => &[Verdict::Valid],
        };
        world.live(|trail, decided| {
            let is_decided = addresses(trail).any(|address| deciding.iter().any(|word| judged(trail, address, *word)));
            assert!(!is_decided || matches!(decided, Next::Finish(_)), "{decided:?}");
        });
    }

    #[test]
    fn no_address_is_bought_while_another_has_not_been_asked_about(world in world()) {
        let nobody_to_ask = world.plan.verify.is_empty() && world.plan.trust_finders;
        world.live(|trail, decided| {
            let Some((_, None)) = question(decided) else { return };
            for address in addresses(trail) {
                let answered = |attempt: &Attempt| {
                    address_in(attempt) == Some(address) && attempt.outcome().is_some_and(Outcome::is_answer)
                };
                assert!(nobody_to_ask || trail.attempts.iter().any(answered), "{decided:?}");
            }
        });
    }

    #[test]
    fn a_resumed_run_asks_something_or_ends_like_the_one_before(world in world()) {
        let (trail, endings) = world.live(|_, _| {});
        for (run, pair) in (2..).map(Run::new).zip(endings.windows(2)) {
            let mut attempts = trail.attempts.iter().filter(|attempt| attempt.run == run);
            let asked = attempts.any(|attempt| attempt.outcome() != Some(Outcome::NotApplicable));
            assert!(asked || pair[0] == pair[1], "{pair:?}");
        }
    }

    #[test]
    fn a_worker_that_takes_over_goes_on_with_what_was_begun(world in world()) {
        world.live(|trail, decided| {
            assert_eq!(next(&world.plan, trail, START), *decided, "the same trail, the same decision");
            let (Next::Try(step, _, query) | Next::TryAfterOutage(step, _, query)) = decided else { return };
            let mut begun = trail.clone();
            write(&mut begun, step.clone(), address_of(query).cloned(), KeySource::House, AttemptState::Begun);
            assert_eq!(next(&world.plan, &begun, START), Next::Try(step.clone(), KEY, query.clone()));
        });
    }

    #[test]
    fn past_the_deadline_nothing_is_asked(world in world()) {
        world.live(|trail, _| match next(&world.plan, trail, DEADLINE) {
            Next::Finish(ending) => assert!(ending.is_allowed(), "{ending:?}"),
            decided @ (Next::Try(..) | Next::TryAfterOutage(..)) => panic!("{decided:?}"),
            Next::PassOver(..) => {}
        });
    }

    #[test]
    fn a_lead_can_be_cancelled_at_any_point(world in world()) {
        world.live(|trail, _| {
            let ending = cancel(&world.plan, trail);
            assert!(ending.is_allowed(), "{ending:?}");
        });
    }
}
