//! The rules for copy as tables, in the language of `copy_story`: a plan, a story, what comes next.

use crate::domain::Ending;
use crate::domain::Query;
use crate::domain::Reason;
use crate::domain::Status;
use crate::waterfall::Course;
use crate::waterfall::Next;
use crate::waterfall::copy_story::ada;
use crate::waterfall::copy_story::check;
use crate::waterfall::copy_story::decide;
use crate::waterfall::copy_story::dialect;
use crate::waterfall::copy_story::read_plan;
use crate::waterfall::copy_story::read_trail;
use std::collections::BTreeSet;

/// Every way in which a page may not be had.
const PAGE_FAULTS: [&str; 13] = [
    "unaffordable",
    "capped lead",
    "capped job",
    "key_rejected",
    "provider_out_of_credits",
    "rate_limited",
    "timeout",
    "unavailable",
    "unavailable breaker_open",
    "protocol_error",
    "not_applicable",
    "bad_request",
    "not_found",
];
/// Those of them that are answers, and so count in every run.
const PAGE_ANSWERS: [&str; 2] = ["bad_request", "not_found"];

#[test]
fn the_pages_are_read_in_order_and_then_the_copy_is_written() {
    check("| oa", "", "try oa");
    check("b a | oa", "", "try fc b");
    check("b a | oa", "fc b: scraped Beta", "try fc a");
    check("b a | oa", "fc b: scraped Beta; fc a: scraped Alpha", "try oa from b=Beta a=Alpha");
    check("b a | oa", "fc b: scraped Beta; fc a: scraped Alpha; oa: written", "written none");
}

#[test]
fn the_same_page_from_two_templates_is_read_once() {
    check("{domain} acme b {domain} | oa", "", "try fc acme");
    check("{domain} acme b {domain} | oa", "fc acme: scraped Acme", "try fc b");
    let both = "fc acme: scraped Acme; fc b: scraped Beta";
    check("{domain} acme b {domain} | oa", both, "try oa from acme=Acme b=Beta");
}

#[test]
fn templates_that_the_lead_cannot_fill_are_passed_over_once_for_all() {
    check("{company} a {linkedin_url} | oa", "", "pass over fc");
    check("{company} a {linkedin_url} | oa", "fc: not_applicable", "try fc a");
    check("{company} a {linkedin_url} | oa", "fc: not_applicable; fc a: scraped Alpha", "try oa from a=Alpha");
    check("{company} | oa", "fc: not_applicable; oa: timeout; run 2", "pass over fc");
    // Filled, but a person's name is no host.
    check("{full_name} | oa", "", "pass over fc");
}

#[test]
fn where_nobody_reads_each_page_is_passed_over_and_the_copy_is_written() {
    check("a b by nobody | oa", "", "pass over fc a");
    check("a b by nobody | oa", "fc a: not_applicable", "pass over fc b");
    check("a b by nobody | oa", "fc a: not_applicable; fc b: not_applicable", "try oa");
    check("a b by nobody | oa", "fc a: not_applicable; fc b: not_applicable; oa: written", "written none");
    check("a b by nobody | oa", "jr a: scraped Alpha; fc b: not_applicable", "try oa from a=Alpha");
}

#[test]
fn a_page_that_cannot_be_had_does_not_stop_the_copy() {
    for fault in PAGE_FAULTS {
        check("a b | oa", &format!("fc a: {fault}"), "try fc b");
        check("a b | oa", &format!("fc a: {fault}; fc b: scraped Beta"), "try oa from b=Beta");
        check("a b by fc! | oa", &format!("fc own a: {fault}"), "try fc own b");
        let neither = format!("fc a: {fault}; fc b: {fault}");
        check("a b | oa", &neither, "try oa");
        check("a b | oa", &format!("{neither}; oa: written"), "written none");
        // Nor does it say how the lead ends.
        check("a b | oa", &format!("{neither}; oa: capped job"), "skipped job_cap");
        check("a b | oa", &format!("{neither}; oa: protocol_error"), "failed providers_unavailable");
    }
}

#[test]
fn a_page_is_read_by_the_houses_key_where_the_own_one_fails_and_the_customer_allows_it() {
    check("a by fc+ | oa", "", "try fc own a");
    for fault in ["key_rejected", "provider_out_of_credits"] {
        check("a by fc+ | oa", &format!("fc own a: {fault}"), "try fc a");
        check("a by fc+ | oa", &format!("fc own a: {fault}; fc a: {fault}"), "try oa");
        check("a by fc! | oa", &format!("fc own a: {fault}"), "try oa");
    }
    check("a by fc+ | oa", "fc own a: timeout", "try oa");
}

#[test]
fn a_page_whose_hold_was_given_back_is_tried_again_until_the_third_pause_in_a_run() {
    let pauses = |n| vec!["fc a: rate_limited given_back"; n].join("; ");
    check("a b | oa", &pauses(1), "try fc a");
    check("a b | oa", &pauses(2), "try fc a");
    check("a b | oa", &pauses(3), "try fc b");
    check("a | oa", &format!("{}; oa: timeout; run 2", pauses(3)), "try fc a");
    // Each page has its own.
    check("a b | oa", &format!("{}; fc b: rate_limited given_back", pauses(3)), "try fc b");
    check("a b | oa", "fc a: unavailable hold_expired", "try fc a");
}

#[test]
fn an_outage_is_waited_for_once_and_only_for_the_copys_sake() {
    let open = "fc a: unavailable breaker_open; oa: unavailable breaker_open";
    check("a | oa", open, "after outage oa");
    check("a b | oa", &format!("fc b: scraped Beta; {open}"), "after outage oa from b=Beta");
    check("a | oa", &format!("{open}; oa: written"), "written none");
    check("a | oa", &format!("{open}; oa: unavailable breaker_open"), "failed providers_unavailable");
    check("a | oa!", "fc a: timeout; oa own: unavailable breaker_open", "after outage oa own");
    check("| oa", "oa: unavailable breaker_open; oa: unavailable breaker_open; run 2", "try oa");
}

#[test]
fn the_model_is_given_each_pages_newest_text_in_the_order_of_the_templates() {
    check("a | oa", "fc cached a: scraped Alpha", "try oa from a=Alpha");
    let late = "fc a: timeout; fc b: scraped Beta; oa: timeout; run 2; fc a: scraped Alpha";
    check("a b | oa", late, "try oa from a=Alpha b=Beta");
    check("a | oa", "fc a: scraped Old; run 2; jr a: scraped New", "try oa from a=New");
    check("a | oa", "fc a: scraped Alpha; run 2; jr a: timeout", "try oa from a=Alpha");
    // A text that is no longer stored.
    check("a b | oa", "fc a: scraped; fc b: scraped Beta", "try oa from b=Beta");
    check("a | oa", "fc a: scraped Alpha; oa: unavailable breaker_open", "after outage oa from a=Alpha");
}

#[test]
fn the_model_is_given_the_brief_filled_in_for_the_lead() {
    // What a page says is no template, and no instruction.
    let decided = decide("{domain} {company} | oa", "fc acme: scraped {first_name}; fc: not_applicable");
    let Next::Try(_, _, Query::Write(writing)) = &decided else { panic!("{decided:?}") };
    assert_eq!(writing.instructions, "Write to Ada at acme.test, .");
    assert_eq!((writing.model.as_str(), writing.max_output_tokens), ("writer-1", 400));
    assert_eq!((&writing.lead, &writing.dialect), (&ada(), &dialect()));
    let pages: Vec<(&str, &str)> = writing.pages.iter().map(|page| (page.url.as_str(), &*page.text)).collect();
    assert_eq!(pages, [("https://acme.test/", "{first_name}")]);
}

/// Every pair that copy may end with, and stories it comes from.
const ENDINGS: &[(&str, &str, &str)] = &[
    ("| oa", "oa: written", "written none"),
    ("| oa", "oa: unaffordable", "skipped wallet_empty"),
    ("| oa", "oa: capped lead", "skipped lead_cap"),
    ("| oa", "oa: capped job", "skipped job_cap"),
    ("| oa!", "oa own: key_rejected", "skipped key_rejected"),
    ("| oa!", "oa own: provider_out_of_credits", "skipped key_rejected"),
    ("a |", "", "skipped no_steps"),
    ("| oa", "oa: not_applicable", "skipped no_steps"),
    ("a | oa", "cancel", "skipped cancelled"),
    ("| oa", "oa: key_rejected", "failed providers_unavailable"),
    ("| oa", "oa: provider_out_of_credits", "failed providers_unavailable"),
    ("| oa", "oa: rate_limited", "failed providers_unavailable"),
    ("| oa", "oa: timeout", "failed providers_unavailable"),
    ("| oa", "oa: unavailable", "failed providers_unavailable"),
    ("| oa", "oa: protocol_error", "failed providers_unavailable"),
    ("a | oa", "time is up", "failed deadline"),
    ("| oa", "oa: bad_request", "failed providers_unavailable"),
    ("| oa", "oa: bad_request refused", "failed refused"),
    ("| oa", "oa: bad_request no_email", "failed refused"),
    ("| oa", "oa: bad_request truncated", "failed truncated"),
];

/// `invalid_input` is intake's, or that of instructions too long for a story; nothing uses up platform credits yet.
#[test]
fn every_pair_that_copy_may_end_with_comes_about_and_no_other() {
    let mut told = BTreeSet::new();
    for (plan, story, expected) in ENDINGS {
        check(plan, story, expected);
        told.insert((*expected).to_owned());
    }
    let statuses = [Status::Written, Status::Skipped, Status::Failed];
    let pairs = statuses.into_iter().flat_map(|status| Reason::ALL.iter().map(move |&reason| (status, reason)));
    let allowed: BTreeSet<String> = pairs
        .filter(|(_, reason)| !matches!(reason, Reason::InvalidInput | Reason::CreditsExhausted))
        .filter(|&(status, reason)| Ending::without_address(status, reason).is_allowed())
        .map(|(status, reason)| format!("{status} {reason}"))
        .collect();
    assert_eq!(told, allowed);
}

#[test]
fn an_own_key_that_fails_falls_to_the_house_only_where_the_customer_allows_it() {
    for (plan, story, expected) in [
        ("| oa!", "", "try oa own"),
        ("| oa!", "oa own: timeout", "failed providers_unavailable"),
        ("| oa+", "", "try oa own"),
        ("| oa+", "oa own: written", "written none"),
        ("| oa+", "oa own: key_rejected", "try oa"),
        ("| oa+", "oa own: provider_out_of_credits", "try oa"),
        ("| oa+", "oa own: timeout", "failed providers_unavailable"),
        ("| oa+", "oa own: bad_request", "failed providers_unavailable"),
        ("| oa+", "oa own: bad_request refused", "failed refused"),
        ("| oa+", "oa own: key_rejected; oa: written", "written none"),
        ("| oa+", "oa own: key_rejected; oa: key_rejected", "failed providers_unavailable"),
        ("| oa+", "oa own: key_rejected; oa: unaffordable", "skipped wallet_empty"),
        ("| oa+", "oa own: key_rejected; oa: unavailable breaker_open", "after outage oa"),
        ("| oa+", "oa own: key_rejected; oa: unaffordable; run 2", "try oa own"),
    ] {
        check(plan, story, expected);
    }
}

/// As the name of a model that the provider does not have, or a prompt beyond its window.
#[test]
fn a_request_for_copy_that_was_not_accepted_is_no_answer_and_is_made_again_in_a_later_run() {
    for (plan, story, expected) in [
        ("| oa", "oa: bad_request; run 2", "try oa"),
        ("| oa!", "oa own: bad_request; run 2", "try oa own"),
        ("| oa+", "oa own: bad_request; run 2", "try oa own"),
        ("a | oa", "fc a: scraped Alpha; oa: bad_request; run 2", "try oa from a=Alpha"),
        ("| oa", "oa: bad_request; run 2; oa: bad_request", "failed providers_unavailable"),
        ("| oa", "oa: bad_request; run 2; oa: bad_request; run 3", "try oa"),
        ("| oa", "oa: bad_request; run 2; oa: unaffordable", "skipped wallet_empty"),
        ("| oa", "oa: bad_request; run 2; oa: unavailable breaker_open", "after outage oa"),
        ("| oa", "oa: bad_request; run 2; oa: written", "written none"),
        ("| oa", "oa: bad_request; run 2; oa: bad_request no_email", "failed refused"),
        ("| oa", "oa: bad_request; time is up", "failed providers_unavailable"),
        ("| oa", "oa: bad_request; cancel", "failed providers_unavailable"),
        // Of a page it is the answer.
        ("a | oa", "fc a: bad_request; oa: bad_request; run 2", "try oa"),
    ] {
        check(plan, story, expected);
    }
}

#[test]
fn a_writer_that_pauses_is_waited_for_until_the_third_pause_in_a_run() {
    let pauses = |n| vec!["oa: rate_limited given_back"; n].join("; ");
    check("| oa", &pauses(2), "try oa");
    check("| oa", &pauses(3), "failed providers_unavailable");
    check("| oa", "oa: unavailable hold_expired", "try oa");
}

#[test]
fn a_step_that_was_begun_goes_on() {
    check("a b | oa", "fc a: begun", "try fc a");
    check("a b | oa", "fc a: begun; run 2", "try fc a");
    check("a by fc+ | oa", "fc own a: begun", "try fc own a");
    check("a | oa", "fc a: scraped Alpha; oa: begun", "try oa from a=Alpha");
    check("| oa+", "oa own: key_rejected; oa: begun", "try oa");
}

#[test]
fn what_was_begun_is_asked_again_in_the_same_words_unless_its_step_has_gone() {
    let trail = read_trail("fc a: scraped Alpha; fc b: begun; oa: begun");
    let query_of = |plan, n: usize| Course::Copy(Box::new(read_plan(plan))).query_of(&trail.attempts[n], &trail);
    let reading = query_of("a b | oa", 1);
    assert!(matches!(&reading, Some(Query::Scrape(url)) if url.as_str() == "https://b.test/"), "{reading:?}");
    let Next::Try(_, _, writing) = decide("a b | oa", "fc a: scraped Alpha; fc b: timeout") else { panic!() };
    assert_eq!(query_of("a b | oa", 2), Some(writing));
    assert_eq!(query_of("a b | an", 2), None);
    assert_eq!(query_of("a b |", 2), None);
}

#[test]
fn a_later_run_asks_for_what_is_unanswered_before_it_writes() {
    let one = "fc a: scraped Alpha; fc b: unaffordable; oa: unaffordable; run 2";
    check("a b | oa", one, "try fc b");
    check("a b | oa", &format!("{one}; fc b: scraped Beta"), "try oa from a=Alpha b=Beta");
    check("a b | oa", &format!("{one}; fc b: unaffordable"), "try oa from a=Alpha");
    check("a b | oa", &format!("{one}; fc b: scraped Beta; oa: written"), "written none");
    check("a b | oa", &format!("{one}; fc b: unaffordable; oa: unaffordable"), "skipped wallet_empty");
    for fault in PAGE_FAULTS {
        let expected = if PAGE_ANSWERS.contains(&fault) { "try oa" } else { "try fc a" };
        check("a | oa", &format!("fc a: {fault}; oa: timeout; run 2"), expected);
    }
}

#[test]
fn at_the_deadline_nothing_more_is_asked() {
    check("a | oa", "time is up", "failed deadline");
    check("a | oa", "fc a: scraped Alpha; time is up", "failed deadline");
    check("a | oa", "fc a: unaffordable; time is up", "failed deadline");
    check("a | oa", "fc a: rate_limited given_back; time is up", "failed deadline");
    check("| oa", "oa: unavailable breaker_open; time is up", "failed deadline");
    check("| oa+", "oa own: key_rejected; time is up", "failed deadline");
    // One that is decided ends as it was.
    check("a | oa", "fc a: scraped Alpha; oa: written; time is up", "written none");
    check("| oa", "oa: bad_request refused; time is up", "failed refused");
    check("| oa", "oa: bad_request no_email; time is up", "failed refused");
    check("| oa", "oa: bad_request truncated; time is up", "failed truncated");
    check("| oa", "oa: unaffordable; time is up", "skipped wallet_empty");
    check("| oa", "oa: timeout; time is up", "failed providers_unavailable");
    check("a |", "time is up", "skipped no_steps");
    // A note is no question.
    check("a by nobody | oa", "time is up", "pass over fc a");
    check("{company} | oa", "time is up", "pass over fc");
}

#[test]
fn a_cancelled_lead_that_is_not_decided_can_be_resumed() {
    for (plan, story) in [
        ("a | oa", ""),
        ("a by nobody | oa", ""),
        ("{company} | oa", ""),
        ("a b | oa", "fc a: scraped Alpha; "),
        ("a b | oa", "fc a: scraped Alpha; fc b: rate_limited given_back; "),
        ("a | oa", "fc a: scraped Alpha; "),
        ("a | oa", "fc a: unaffordable; "),
        ("a | oa", "fc a: scraped Alpha; oa: unavailable breaker_open; "),
        ("a | oa", "fc a: scraped Alpha; oa: unavailable hold_expired; "),
        ("| oa", "oa: begun; "),
        ("| oa+", "oa own: key_rejected; "),
    ] {
        check(plan, &format!("{story}cancel"), "skipped cancelled");
    }
    check("a | oa", "fc a: scraped Alpha; oa: unavailable hold_expired; run 2", "try oa from a=Alpha");
}

#[test]
fn a_cancelled_lead_that_is_decided_has_ended_as_it_has() {
    for (plan, story, expected) in [
        ("a | oa", "fc a: scraped Alpha; oa: written", "written none"),
        ("| oa", "oa: bad_request refused", "failed refused"),
        ("| oa", "oa: bad_request truncated", "failed truncated"),
        ("| oa", "oa: unaffordable", "skipped wallet_empty"),
        ("| oa!", "oa own: key_rejected", "skipped key_rejected"),
        ("| oa", "oa: timeout", "failed providers_unavailable"),
        ("a |", "fc a: scraped Alpha", "skipped no_steps"),
    ] {
        check(plan, &format!("{story}; cancel"), expected);
    }
}

#[test]
fn no_page_is_bought_for_copy_that_nobody_writes() {
    check("a |", "", "skipped no_steps");
    check("a |", "fc a: begun", "skipped no_steps");
    check("a by nobody |", "", "skipped no_steps");
    check("a b |", "fc a: scraped Alpha; oa: unaffordable", "skipped no_steps");
    check("a b | oa", "fc a: scraped Alpha; run 2", "try fc b");
}

#[test]
fn what_was_written_and_billed_counts_whoever_writes_by_now() {
    for (answer, expected) in [
        ("written", "written none"),
        ("bad_request refused", "failed refused"),
        ("bad_request no_email", "failed refused"),
        ("bad_request truncated", "failed truncated"),
    ] {
        for plan in ["a | oa", "a | an", "a | an!", "a |"] {
            check(plan, &format!("fc a: scraped Alpha; oa: {answer}"), expected);
            check(plan, &format!("fc a: scraped Alpha; oa: {answer}; cancel"), expected);
            check(plan, &format!("fc a: scraped Alpha; oa: {answer}; time is up"), expected);
            // Nor is a page bought that was not to be had for it.
            check(plan, &format!("fc a: unaffordable; oa: {answer}; run 2"), expected);
        }
    }
}

#[test]
fn a_writer_that_took_anothers_place_is_asked_as_if_nobody_had_been() {
    for fault in ["unaffordable", "timeout", "key_rejected", "unavailable breaker_open", "bad_request"] {
        check("a | an", &format!("fc a: scraped Alpha; oa: {fault}"), "try an from a=Alpha");
        check("a | an", &format!("fc a: scraped Alpha; oa: {fault}; run 2"), "try an from a=Alpha");
    }
    let both = "fc a: timeout; oa: unaffordable; run 2; fc a: timeout; an: timeout";
    check("a | an", both, "failed providers_unavailable");
}

#[test]
fn a_reader_that_took_anothers_place_is_asked_for_what_was_not_read() {
    check("a b by jr | oa", "fc a: scraped Alpha; fc b: timeout; oa: timeout; run 2", "try jr b");
    check("a b by jr | oa", "fc a: scraped Alpha; fc b: not_found; oa: timeout; run 2", "try jr b");
    check("a b by jr | oa", "fc a: scraped Alpha; fc b: scraped Beta; run 2", "try oa from a=Alpha b=Beta");
    check("a by jr | oa", "fc a: timeout; jr a: timeout", "try oa");
}
