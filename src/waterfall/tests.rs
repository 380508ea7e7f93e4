//! The rules of DESIGN §3.3 to §3.5 and CONTRACTS §2 as tables: a plan, a story, what comes next.
//!
//! A plan is `finders | verifiers`, then perhaps an option: `lm (ic) | zb mv; accept`, `lm pr |; trust`;
//! a finder in brackets asks for what the lead lacks. A story is told in lines with `; ` between: `given a`
//! (the lead's own address), `lm: found a catch_all` (what the finder says of it, if it does), `zb own a:
//! key_rejected` (by the customer's key), `pr cached: not_found`, `run 2`; `time is up` or `cancel` end it.
//! An ending is `status reason: address verdict, from finder, by verifier`.

use crate::domain::*;
use crate::waterfall::*;
use std::collections::BTreeSet;
use std::time::Duration;

const START: Moment = Moment(Duration::ZERO);
const DEADLINE: Moment = Moment(Duration::from_secs(600));

#[track_caller]
fn check(plan: &str, story: &str, expected: &str) {
    assert_eq!(decide(plan, story), expected, "{plan} / {story}");
}

fn decide(plan: &str, story: &str) -> String {
    let plan = read_plan(plan);
    let mut trail = Trail { given: None, run: Run::FIRST, deadline: DEADLINE, attempts: Vec::new() };
    for line in story.split("; ").filter(|line| !line.is_empty()) {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("given", name) => trail.given = Some(address(name)),
            ("run", number) => trail.run = Run::new(number.parse().unwrap()),
            ("time", "is up") => return tell(&next(&plan, &trail, DEADLINE)),
            ("cancel", "") => return tell(&Next::Finish(cancel(&plan, &trail))),
            _ => trail.attempts.push(read_attempt(line, &trail)),
        }
    }
    tell(&next(&plan, &trail, START))
}

fn read_plan(words: &str) -> Plan {
    let (steps, option) = words.split_once("; ").unwrap_or((words, ""));
    let (find, verify) = steps.split_once('|').unwrap();
    Plan {
        find: find.split_whitespace().map(read_finder).collect(),
        verify: verify.split_whitespace().map(read_verifier).collect(),
        risky: if option == "accept" { Risky::Accept } else { Risky::KeepLooking },
        trust_finders: option == "trust",
    }
}

fn read_finder(word: &str) -> FindStep {
    let (keys, word) = read_keys(word);
    let name = word.trim_matches(['(', ')']);
    let query = (name == word).then(|| Query::ByProfile("https://linkedin.test/in/ada".to_owned()));
    FindStep { step: step(name, Operation::FindEmail), keys, query }
}

fn read_verifier(word: &str) -> VerifyStep {
    let (keys, name) = read_keys(word);
    VerifyStep { step: step(name, Operation::VerifyEmail), keys }
}

fn read_keys(word: &str) -> (Keys, &str) {
    word.strip_suffix('+').map_or((Keys::Only(KeySource::House), word), |word| (Keys::OwnThenHouse, word))
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
            name => about = Some(About::Address(address(name))),
        }
    }
    let operation = if about.is_some() { Operation::VerifyEmail } else { Operation::FindEmail };
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
    let (outcome, found, claim) = match words[..] {
        ["begun"] => return AttemptState::Begun,
        ["submitted"] => return AttemptState::Submitted("handle".to_owned()),
        ["found", name] => (Some(Outcome::Found), Some(address(name)), Some(Verdict::Unknown)),
        ["found", name, claim] => (Some(Outcome::Found), Some(address(name)), Some(claim.parse().unwrap())),
        _ => (Outcome::parse(words[0], words.get(1).copied()), None, None),
    };
    let end = AttemptEnd::not_asked(outcome.expect(answer));
    AttemptState::Ended(AttemptEnd { found, claim, source, ..end })
}

fn step(name: &str, operation: Operation) -> Step {
    Step::new(ProviderName::new(name), operation)
}

fn address(name: &str) -> Address {
    Address::parse(&format!("{name}@acme.test")).unwrap()
}

fn tell(decided: &Next) -> String {
    let question = |step: &Step, query: &Query| match query {
        Query::Verify(address) => format!("{} {}", step.provider, name(address)),
        Query::ByName(..) | Query::ByProfile(_) | Query::Scrape(_) | Query::Write(_) => step.provider.to_string(),
    };
    match decided {
        Next::Try(step, KeySource::House, query) => format!("try {}", question(step, query)),
        Next::Try(step, KeySource::Own, query) => format!("try {} own", question(step, query)),
        Next::TryAfterOutage(step, _, query) => format!("after outage {}", question(step, query)),
        Next::PassOver(step, _) => format!("pass over {}", step.provider),
        Next::Finish(ending) => tell_ending(ending),
    }
}

fn tell_ending(ending: &Ending) -> String {
    assert!(ending.is_allowed(), "{ending:?}");
    let Ending { status, reason, address, verdict, found_by, verified_by } = ending;
    let Some(address) = address else { return format!("{status} {reason}") };
    let verdict = verdict.map_or("unjudged", Verdict::as_str);
    let from = found_by.as_ref().map_or("given".to_owned(), |finder| format!("from {finder}"));
    let by = verified_by.as_ref().map_or(String::new(), |verifier| format!(", by {verifier}"));
    format!("{status} {reason}: {} {verdict}, {from}{by}", name(address))
}

fn name(address: &Address) -> &str {
    address.as_str().trim_end_matches("@acme.test")
}

// DESIGN §3.3 to §3.5 and §4: how the waterfall goes on.

#[test]
fn an_address_that_came_with_the_lead_is_verified_before_any_search() {
    check("lm | zb", "given a", "try zb a");
    check("lm | zb", "given a; zb a: valid", "verified none: a valid, given, by zb");
    check("lm | zb", "given a; zb a: invalid", "try lm");
    check("| zb", "given a; zb a: invalid", "not_found none");
    check("(ic) | zb", "given a; zb a: invalid; ic: not_applicable", "not_found none");
}

#[test]
fn finders_are_asked_in_order_until_an_address_is_valid() {
    check("lm pr | zb", "", "try lm");
    check("lm pr | zb", "lm: not_found", "try pr");
    check("lm pr | zb", "lm: found a", "try zb a");
    check("lm pr | zb", "lm: found a; zb a: invalid", "try pr");
    check("lm pr | zb", "lm: found a; zb a: valid", "verified none: a valid, from lm, by zb");
}

#[test]
fn a_finder_whose_inputs_the_lead_lacks_is_passed_over() {
    check("(ic) lm | zb", "", "pass over ic");
    check("(ic) lm | zb", "ic: not_applicable", "try lm");
    check("(ic) lm | zb", "ic: not_applicable; lm: timeout; run 2", "pass over ic");
}

#[test]
fn the_first_conclusive_verdict_counts_and_unknown_asks_the_next_verifier() {
    check("lm | zb mv", "lm: found a; zb a: unknown", "try mv a");
    check("lm | zb mv", "lm: found a; zb a: unknown; mv a: valid", "verified none: a valid, from lm, by mv");
    check("lm | zb mv", "lm: found a; zb a: unknown; mv a: unknown", "risky none: a unknown, from lm, by zb");
    check("lm | zb mv", "lm: found a; zb a: catch_all", "risky none: a catch_all, from lm, by zb");
}

#[test]
fn a_risky_address_is_taken_or_kept_while_looking_as_the_policy_says() {
    check("lm pr | zb; accept", "lm: found a; zb a: catch_all", "risky none: a catch_all, from lm, by zb");
    check("lm pr | zb; accept", "lm: found a; zb a: unknown", "risky none: a unknown, from lm, by zb");
    check("lm pr | zb", "lm: found a; zb a: catch_all", "try pr");
    let story = "lm: found a; zb a: catch_all; pr: found b; zb b: valid";
    check("lm pr | zb", story, "verified none: b valid, from pr, by zb");
}

#[test]
fn what_is_known_is_not_asked_again() {
    check("lm pr fm | zb", "lm: found a; zb a: invalid; pr: found a", "try fm");
    check("lm pr | zb", "lm: found a; zb a: catch_all; pr: found a", "risky none: a catch_all, from lm, by zb");
    check("lm | zb", "lm cached: found a; zb cached a: valid", "verified none: a valid, from lm, by zb");
}

#[test]
fn a_rerun_never_ends_poorer_than_an_earlier_run() {
    let one = "lm: found a; zb a: catch_all; pr: unaffordable; run 2";
    check("lm pr | zb", &format!("{one}; pr: timeout"), "risky providers_unavailable: a catch_all, from lm, by zb");
    check("lm pr | zb", &format!("{one}; pr: found b; zb b: unknown"), "risky none: a catch_all, from lm, by zb");
    let two = "lm: found a; zb a: unknown; mv a: timeout; pr: found b; zb b: catch_all; run 2";
    check("lm pr | zb mv", &format!("{two}; time is up"), "risky deadline: b catch_all, from pr, by zb");
    check("lm pr | mv", &format!("{two}; mv a: unaffordable"), "risky wallet_empty: b catch_all, from pr, by zb");
}

#[test]
fn a_trusted_finders_valid_is_the_verification() {
    check("lm | zb; trust", "lm: found a valid", "verified none: a valid, from lm, by lm");
    check("lm | zb", "lm: found a valid", "try zb a");
    check("lm | zb; trust", "lm: found a catch_all", "try zb a");
    check("lm pr |; trust", "lm: found a; pr: found a valid", "verified none: a valid, from lm, by pr");
    check("lm | zb; trust", "given a; zb a: unknown; lm: found a valid", "verified none: a valid, given, by lm");
    // Where there is nobody else to ask, a finder's other words are what is known.
    check("lm pr |; trust", "lm: found a catch_all; pr: not_found", "risky none: a catch_all, from lm");
    check("lm |; trust", "lm: found a", "risky none: a unknown, from lm");
    check("lm |; trust", "lm: found a invalid", "not_found none");
}

#[test]
fn answers_of_earlier_runs_count_and_faults_and_refusals_do_not() {
    check("lm pr | zb", "lm: not_found; pr: timeout; run 2", "try pr");
    check("lm pr | zb", "lm: unaffordable; pr: bad_request; run 2; lm: not_found", "not_found none");
    check("lm | zb", "lm: found a; zb a: capped job; run 2", "try zb a");
    check("lm pr | zb", "lm: found a; zb a: unknown; pr: timeout; run 2", "try pr");
    check("lm | zb", "lm own: key_rejected; run 2; lm: timeout", "failed providers_unavailable");
}

#[test]
fn an_attempt_without_an_end_goes_on() {
    check("lm pr | zb", "lm: begun", "try lm");
    check("lm pr | zb", "lm: submitted", "try lm");
    check("lm pr | zb", "lm: begun; run 2", "try lm");
    check("lm pr | zb", "lm: unavailable hold_expired", "try lm");
    check("lm | zb mv", "lm: found a; zb a: begun", "try zb a");
}

#[test]
fn what_cannot_be_paid_is_left_out_and_the_waterfall_goes_on() {
    for refusal in ["unaffordable", "capped lead", "capped job"] {
        check("lm pr | zb", &format!("lm: {refusal}"), "try pr");
        check("lm | zb mv", &format!("lm: found a; zb a: {refusal}"), "try mv a");
    }
    check("lm pr | zb", "lm: unaffordable; pr: not_found", "skipped wallet_empty");
    check("lm | zb", "given a; zb a: invalid; lm: unaffordable", "skipped wallet_empty");
}

#[test]
fn a_pause_that_gives_the_hold_back_is_waited_out_until_the_third_in_a_run() {
    let pauses = |n| vec!["lm: rate_limited given_back"; n].join("; ");
    check("lm pr | zb", &pauses(1), "try lm");
    check("lm pr | zb", &pauses(2), "try lm");
    check("lm pr | zb", &pauses(3), "try pr");
    check("lm | zb", &pauses(3), "failed providers_unavailable");
    check("lm | zb", &format!("{}; run 2", pauses(3)), "try lm");
}

#[test]
fn an_open_breaker_is_waited_for_once_when_nothing_else_helps() {
    let open = "lm: unavailable breaker_open";
    check("lm pr | zb", open, "try pr");
    check("lm pr | zb", &format!("{open}; pr: not_found"), "after outage lm");
    check("lm pr | zb", &format!("{open}; pr: unaffordable"), "after outage lm");
    check("lm pr | zb", &format!("{open}; pr: not_found; {open}"), "failed providers_unavailable");
    // Likewise a verifier's, when no other can tell.
    let open = "zb a: unavailable breaker_open";
    check("lm | zb mv", &format!("lm: found a; {open}"), "try mv a");
    check("lm pr | zb mv", &format!("lm: found a; {open}; mv a: timeout"), "after outage zb a");
    let twice = format!("lm: found a; {open}; {open}");
    check("lm pr | zb", &twice, "unverified verifiers_unavailable: a unjudged, from lm");
    check("lm pr | zb mv; accept", &format!("lm: found a; {open}; mv a: unknown"), "after outage zb a");
    check("lm pr | zb mv", &format!("lm: found a; {open}; mv a: unknown"), "try pr");
    check("lm pr | zb mv", &format!("lm: found a; {open}; mv a: unknown; pr: not_found"), "after outage zb a");
}

// CONTRACTS §2: how a lead ends.

/// Every pair, with a story it comes from.
const ENDINGS: &[(&str, &str, &str)] = &[
    ("lm | zb", "lm: found a; zb a: valid", "verified none: a valid, from lm, by zb"),
    ("lm | zb", "lm: found a; zb a: catch_all", "risky none: a catch_all, from lm, by zb"),
    ("lm pr | zb", "lm: found a; zb a: unknown; pr: unaffordable", "risky wallet_empty: a unknown, from lm, by zb"),
    ("lm pr | zb", "lm: found a; zb a: unknown; pr: capped lead", "risky lead_cap: a unknown, from lm, by zb"),
    ("lm pr | zb", "lm: found a; zb a: unknown; pr: capped job", "risky job_cap: a unknown, from lm, by zb"),
    ("lm pr | zb", "lm: found a; zb a: unknown; pr: timeout", "risky providers_unavailable: a unknown, from lm, by zb"),
    ("lm pr | zb", "lm: found a; zb a: unknown; time is up", "risky deadline: a unknown, from lm, by zb"),
    ("lm pr | zb", "lm: found a; zb a: unaffordable", "unverified wallet_empty: a unjudged, from lm"),
    ("lm pr | zb", "lm: found a; zb a: capped lead", "unverified lead_cap: a unjudged, from lm"),
    ("lm pr | zb", "lm: found a; zb a: capped job", "unverified job_cap: a unjudged, from lm"),
    ("lm pr |", "lm: found a", "unverified no_verifier: a unjudged, from lm"),
    ("lm pr | zb", "lm: found a; zb a: timeout", "unverified verifiers_unavailable: a unjudged, from lm"),
    ("lm pr | zb", "lm: found a; zb own a: key_rejected", "unverified key_rejected: a unjudged, from lm"),
    ("lm | zb", "lm: found a; time is up", "unverified deadline: a unjudged, from lm"),
    ("lm | zb", "lm: found a; cancel", "unverified cancelled: a unjudged, from lm"),
    ("lm | zb", "lm: not_found", "not_found none"),
    ("lm | zb", "lm: unaffordable", "skipped wallet_empty"),
    ("lm | zb", "lm: capped lead", "skipped lead_cap"),
    ("lm | zb", "lm: capped job", "skipped job_cap"),
    ("lm | zb", "lm own: key_rejected", "skipped key_rejected"),
    ("(ic) | zb", "ic: not_applicable", "skipped no_steps"),
    ("lm | zb", "cancel", "skipped cancelled"),
    ("lm | zb", "lm: timeout", "failed providers_unavailable"),
    ("lm | zb", "time is up", "failed deadline"),
];

/// `invalid_input` is intake's, nothing uses up platform credits yet, and what comes of copy is told elsewhere.
#[test]
fn every_pair_of_the_contract_comes_about() {
    let mut told = BTreeSet::new();
    for (plan, story, expected) in ENDINGS {
        check(plan, story, expected);
        told.insert(expected.split(':').next().unwrap().to_owned());
    }
    let pairs = Status::ALL.iter().flat_map(|&status| Reason::ALL.iter().map(move |&reason| (status, reason)));
    let allowed: BTreeSet<String> = pairs
        .filter(|(status, _)| *status != Status::Written)
        .filter(|(_, reason)| {
            !matches!(reason, Reason::InvalidInput | Reason::CreditsExhausted | Reason::Refused | Reason::Truncated)
        })
        .filter(|&(status, reason)| Ending::without_address(status, reason).is_allowed())
        .map(|(status, reason)| format!("{status} {reason}"))
        .collect();
    assert_eq!(told, allowed);
}

#[test]
fn the_weightiest_reason_is_given_whatever_the_order() {
    let falling = [
        ("lm: unaffordable", "skipped wallet_empty"),
        ("lm: capped lead", "skipped lead_cap"),
        ("lm: capped job", "skipped job_cap"),
        ("lm own: key_rejected", "skipped key_rejected"),
        ("lm: timeout", "failed providers_unavailable"),
    ];
    for (i, (heavy, expected)) in falling.iter().enumerate() {
        for (light, _) in &falling[i..] {
            let light = light.replace("lm", "pr");
            check("lm pr | zb", &format!("{heavy}; {light}"), expected);
            check("pr lm | zb", &format!("{light}; {heavy}"), expected);
        }
    }
    let verifiers = "lm: found a; zb a: timeout; mv a: unaffordable";
    check("lm | zb mv", verifiers, "unverified wallet_empty: a unjudged, from lm");
    let finder = "lm: unaffordable; pr: found a; zb a: catch_all; fm: found b; zb b: timeout";
    check("lm pr fm | zb", finder, "risky wallet_empty: a catch_all, from pr, by zb");
}

#[test]
fn one_fault_among_misses_is_failed_and_not_not_found() {
    for fault in ["timeout", "rate_limited", "unavailable", "protocol_error", "key_rejected"] {
        check("lm pr | zb", &format!("lm: {fault}"), "try pr");
        check("lm pr | zb", &format!("lm: {fault}; pr: not_found"), "failed providers_unavailable");
    }
}

#[test]
fn a_refused_request_counts_as_tried() {
    check("lm pr | zb", "lm: bad_request", "try pr");
    check("lm pr | zb", "lm: bad_request; pr: not_found", "not_found none");
    check("lm | zb mv", "lm: found a; zb a: bad_request", "try mv a");
    check("lm | zb", "lm: found a; zb a: bad_request", "risky none: a unknown, from lm");
}

#[test]
fn an_own_key_that_fails_is_its_owners_reason_and_a_house_key_is_not() {
    for fault in ["key_rejected", "provider_out_of_credits"] {
        check("lm pr | zb", &format!("lm own: {fault}"), "try pr");
        check("lm | zb", &format!("lm own: {fault}"), "skipped key_rejected");
        check("lm | zb", &format!("lm: {fault}"), "failed providers_unavailable");
        check("lm | zb", &format!("given a; zb own a: {fault}"), "unverified key_rejected: a unjudged, given");
        check("lm | zb", &format!("given a; zb a: {fault}"), "unverified verifiers_unavailable: a unjudged, given");
    }
}

#[test]
fn no_second_address_is_bought_that_could_not_be_verified_either() {
    check("lm |", "given a", "unverified no_verifier: a unjudged, given");
    check("lm | zb", "given a; zb a: unaffordable", "unverified wallet_empty: a unjudged, given");
    let story = "lm: found a; zb a: catch_all; pr: found b; zb b: timeout";
    check("lm pr fm | zb", story, "risky providers_unavailable: a catch_all, from lm, by zb");
}

#[test]
fn two_verifiers_one_unknown_and_one_faulty_is_unknown() {
    let expected = "risky providers_unavailable: a unknown, given, by zb";
    check("lm | zb mv; accept", "given a; zb a: unknown; mv a: timeout", expected);
    check("lm | zb mv; accept", "given a; zb a: unknown; mv own a: key_rejected", expected);
    check("lm | mv zb; accept", "given a; mv a: timeout; zb a: unknown", expected);
}

#[test]
fn the_best_risky_address_is_catch_all_before_unknown_then_the_first_found() {
    let best = |a: &str, b: &str| decide("lm pr | zb", &format!("lm: found a; zb a: {a}; pr: found b; zb b: {b}"));
    assert_eq!(best("unknown", "catch_all"), "risky none: b catch_all, from pr, by zb");
    assert_eq!(best("catch_all", "unknown"), "risky none: a catch_all, from lm, by zb");
    assert_eq!(best("catch_all", "catch_all"), "risky none: a catch_all, from lm, by zb");
    assert_eq!(best("unknown", "unknown"), "risky none: a unknown, from lm, by zb");
}

#[test]
fn at_the_deadline_a_lead_ends_with_what_is_known() {
    check("(ic) lm | zb", "time is up", "pass over ic");
    check("lm | zb", "given a; time is up", "unverified deadline: a unjudged, given");
    check("lm | zb mv", "given a; zb a: unknown; time is up", "risky deadline: a unknown, given, by zb");
    check("lm pr | zb", "lm: found a; zb a: invalid; time is up", "failed deadline");
    check("lm | zb", "lm: unavailable breaker_open; time is up", "failed deadline");
    check("lm pr | zb", "lm: unaffordable; time is up", "skipped wallet_empty");
    check("lm | zb", "lm: not_found; time is up", "not_found none");
}

#[test]
fn a_cancelled_lead_keeps_what_is_known_and_can_be_resumed() {
    check("lm | zb", "lm: unavailable breaker_open; cancel", "skipped cancelled");
    check("lm pr | zb", "lm: found a; zb a: invalid; cancel", "skipped cancelled");
    check("lm | zb", "given a; cancel", "unverified cancelled: a unjudged, given");
    check("lm | zb", "given a; zb a: catch_all; cancel", "unverified cancelled: a catch_all, given, by zb");
    check("lm | zb mv", "given a; zb a: unknown; cancel", "unverified cancelled: a unknown, given, by zb");
    // One that is decided has ended as it has.
    check("lm | zb", "lm: found a; zb a: valid; cancel", "verified none: a valid, from lm, by zb");
    check("lm | zb", "lm: found a; zb a: unaffordable; cancel", "unverified wallet_empty: a unjudged, from lm");
    check("lm | zb", "lm: not_found; cancel", "not_found none");
    check("lm | zb", "lm: found a; zb a: catch_all; cancel", "risky none: a catch_all, from lm, by zb");
}

#[test]
fn an_ending_names_what_kept_its_own_address_from_a_verdict() {
    // Nobody refused to pay for this address; what a finder was refused is of no account to it.
    check("lm pr | zb", "lm: unaffordable; pr: found a; time is up", "unverified deadline: a unjudged, from pr");
    let story = "lm: found a; zb a: unaffordable; mv a: unavailable breaker_open; time is up";
    check("lm | zb mv", story, "unverified wallet_empty: a unjudged, from lm");
}

#[test]
fn a_verifier_worth_waiting_for_is_waited_for_though_a_later_address_cannot_be_verified() {
    let story =
        "lm: found a; zb a: unknown; mv a: unavailable breaker_open; pr: found b; zb b: unaffordable; mv b: timeout";
    check("lm pr | zb mv", story, "after outage mv a");
}

#[test]
fn the_unknown_of_a_verifier_that_left_the_plan_still_counts() {
    let story = "lm: found a; zb a: unknown; run 2; mv a: unaffordable";
    check("lm | mv", story, "risky wallet_empty: a unknown, from lm, by zb");
}

#[test]
fn an_own_key_that_fails_falls_to_the_house_only_where_the_customer_allows_it() {
    for (plan, story, expected) in [
        ("lm+ |", "", "try lm own"),
        ("lm+ |", "lm own: not_found", "not_found none"),
        ("lm+ |", "lm own: key_rejected", "try lm"),
        ("lm+ |", "lm own: provider_out_of_credits", "try lm"),
        ("lm+ |", "lm own: timeout", "failed providers_unavailable"),
        ("lm+ |", "lm own: key_rejected; lm: not_found", "not_found none"),
        ("lm+ |", "lm own: key_rejected; lm: key_rejected", "failed providers_unavailable"),
        ("lm+ |", "lm own: key_rejected; lm: unaffordable", "skipped wallet_empty"),
        ("lm+ |", "lm own: key_rejected; run 2", "try lm own"),
        ("lm+ pr |", "lm own: key_rejected; lm: unavailable breaker_open", "try pr"),
        ("lm |", "lm own: key_rejected", "skipped key_rejected"),
        ("lm | zb+", "lm: found a; zb own a: key_rejected", "try zb a"),
        ("lm | zb+", "lm: found a; zb own a: key_rejected; zb a: valid", "verified none: a valid, from lm, by zb"),
    ] {
        check(plan, story, expected);
    }
}
