//! The decision for copy: the pages first, each once, then one model.

use crate::domain::About;
use crate::domain::Attempt;
use crate::domain::Brief;
use crate::domain::Dialect;
use crate::domain::Ending;
use crate::domain::Lead;
use crate::domain::LeadId;
use crate::domain::Operation;
use crate::domain::Outcome;
use crate::domain::Page;
use crate::domain::PageUrl;
use crate::domain::Product;
use crate::domain::Query;
use crate::domain::Reason;
use crate::domain::Status;
use crate::domain::Step;
use crate::domain::Unwritten;
use crate::domain::Writing;
use crate::domain::fill;
use crate::waterfall::Keys;
use crate::waterfall::Moment;
use crate::waterfall::Next;
use crate::waterfall::Trail;
use crate::waterfall::standing::Setback;
use crate::waterfall::standing::Standing;
use crate::waterfall::standing::standing;
use std::borrow::Cow;
use std::sync::Arc;

/// A copy job as it applies to one lead.
#[derive(Clone, Debug)]
pub struct CopyPlan {
    /// What is asked for.
    pub brief: Arc<Brief>,
    /// For whom.
    pub lead: Lead,
    /// Its id, which templates may name.
    pub id: LeadId,
    /// Who reads pages.
    pub scrape: ScrapeStep,
    /// Who writes; `None` when the model has gone from the configuration.
    pub write: Option<WriteStep>,
}

/// The step that reads pages.
#[derive(Clone, Debug)]
pub struct ScrapeStep {
    /// Which step.
    pub step: Step,
    /// With whose keys; `None` when nobody can read pages for this workspace.
    pub keys: Option<Keys>,
}

/// The step that writes.
#[derive(Clone, Debug)]
pub struct WriteStep {
    /// Which step.
    pub step: Step,
    /// With whose keys.
    pub keys: Keys,
    /// How its provider is spoken to.
    pub dialect: Dialect,
}

impl CopyPlan {
    /// The pages to read, in order, each once; `None` where the lead has no address for the template.
    fn pages(&self) -> Vec<Option<PageUrl>> {
        let mut pages: Vec<Option<PageUrl>> = Vec::new();
        for template in &self.brief.pages {
            let page = fill(template, &self.lead, &self.id).and_then(|url| PageUrl::parse(&url));
            if !pages.contains(&page) {
                pages.push(page);
            }
        }
        pages
    }

    /// What the model is told; `None` when that is too much for this lead.
    pub(super) fn told(&self) -> Option<String> {
        self.brief.told(&self.lead, &self.id)
    }

    /// What the model is given besides, with the pages that could be read.
    pub(super) fn writing(&self, told: String, dialect: Dialect, trail: &Trail) -> Writing {
        let read = |url: PageUrl| text_of(trail, &url).map(|text| Page { url, text });
        Writing {
            model: self.brief.model.clone(),
            max_output_tokens: self.brief.max_output_tokens,
            instructions: told,
            lead: self.lead.clone(),
            pages: self.pages().into_iter().flatten().filter_map(read).collect(),
            dialect,
        }
    }
}

/// What to do next for the lead with this plan and this trail. A page that cannot be had does not stop the
/// copy, and an outage of who reads it is not waited for.
pub(super) fn next(plan: &CopyPlan, trail: &Trail, now: Moment) -> Next {
    let decided = act(plan, trail);
    let asks = matches!(decided, Next::Try(..) | Next::TryAfterOutage(..));
    if asks && now >= trail.deadline {
        return finish(Status::Failed, Reason::Deadline);
    }
    decided
}

/// How the lead ends when its job is cancelled now.
pub(super) fn cancel(plan: &CopyPlan, trail: &Trail) -> Ending {
    match act(plan, trail) {
        Next::Finish(ending) => ending,
        Next::Try(..) | Next::TryAfterOutage(..) | Next::PassOver(..) => {
            Ending::without_address(Status::Skipped, Reason::Cancelled)
        }
    }
}

fn act(plan: &CopyPlan, trail: &Trail) -> Next {
    match (model_answer(trail), &plan.write) {
        (Some(outcome), _) => Next::Finish(answered(outcome)),
        // No page is bought for copy that nobody writes, or that nobody can be asked for.
        (None, None) => finish(Status::Skipped, Reason::NoSteps),
        (None, Some(write)) => match plan.told() {
            Some(told) => read_page(plan, trail).unwrap_or_else(|| write_copy(plan, write, told, trail)),
            None => finish(Status::Skipped, Reason::InvalidInput),
        },
    }
}

/// What a model made of it, whichever it was: its answer was billed, so no other is asked and no page is bought
/// any more.
fn model_answer(trail: &Trail) -> Option<Outcome> {
    let is_billed = |outcome: &Outcome| matches!(outcome, Outcome::Written | Outcome::Unwritten(_));
    let mut writes = trail.attempts.iter().rev().filter(|attempt| attempt.step.operation == Operation::WriteCopy);
    writes.find_map(|attempt| attempt.outcome().filter(is_billed))
}

/// The first page that can be asked for, or is to be passed over.
fn read_page(plan: &CopyPlan, trail: &Trail) -> Option<Next> {
    let ScrapeStep { step, keys } = &plan.scrape;
    for page in plan.pages() {
        // What was read is not read again, also where another provider reads by now.
        if page.as_ref().is_some_and(|url| text_of(trail, url).is_some()) {
            continue;
        }
        let about = page.clone().map(About::Page);
        let Standing::Open(key) = standing(trail, step, keys.unwrap_or(Keys::HOUSE), about.as_ref()) else { continue };
        return Some(match page {
            Some(url) if keys.is_some() => Next::Try(step.clone(), key, Query::Scrape(url)),
            Some(_) | None => Next::PassOver(step.clone(), about),
        });
    }
    None
}

/// All pages are read, or cannot be had.
fn write_copy(plan: &CopyPlan, write: &WriteStep, told: String, trail: &Trail) -> Next {
    let WriteStep { step, keys, dialect } = write;
    let question = || Query::Write(Arc::new(plan.writing(told, dialect.clone(), trail)));
    let asked = without_earlier_rejections(trail);
    match standing(&asked, step, *keys, None) {
        Standing::Open(key) => Next::Try(step.clone(), key, question()),
        Standing::AfterOutage(key) => Next::TryAfterOutage(step.clone(), key, question()),
        // Its provider did not accept the request: what a model has answered was seen before.
        Standing::Answered(_) | Standing::Closed(Setback::Unavailable) => {
            finish(Status::Failed, Reason::ProvidersUnavailable)
        }
        Standing::Closed(setback) => finish(Status::Skipped, setback.reason()),
        Standing::PassedOver => finish(Status::Skipped, Reason::NoSteps),
    }
}

/// The trail without the requests for copy that a provider did not accept in earlier runs. No model was asked and
/// nothing was paid, and what was not accepted may be by now: another key, or the model's name.
fn without_earlier_rejections(trail: &Trail) -> Cow<'_, Trail> {
    let run = trail.run;
    let is_rejection = |attempt: &Attempt| {
        let is_write = attempt.step.operation == Operation::WriteCopy;
        is_write && attempt.run != run && attempt.outcome() == Some(Outcome::BadRequest)
    };
    if !trail.attempts.iter().any(is_rejection) {
        return Cow::Borrowed(trail);
    }
    let mut others = trail.clone();
    others.attempts.retain(|attempt| !is_rejection(attempt));
    Cow::Owned(others)
}

/// How a lead ends with the model's answer. One whose text is no e-mail has declined as well.
fn answered(outcome: Outcome) -> Ending {
    if outcome == Outcome::Written {
        return Ending::without_address(Status::Written, Reason::None);
    }
    let is_truncated = outcome == Outcome::Unwritten(Unwritten::Truncated);
    let reason = if is_truncated { Reason::Truncated } else { Reason::Refused };
    Ending::without_address(Status::Failed, reason)
}

const fn finish(status: Status, reason: Reason) -> Next {
    Next::Finish(Ending::without_address(status, reason))
}

/// What the newest reading of a page says.
fn text_of(trail: &Trail, url: &PageUrl) -> Option<Arc<str>> {
    let about = |about: &Option<About>| matches!(about, Some(About::Page(page)) if page == url);
    let mut read = trail.attempts.iter().rev().filter(|attempt| about(&attempt.about)).filter_map(|it| it.end());
    read.find_map(|end| match &end.product {
        Some(Product::Text(text)) => Some(Arc::clone(text)),
        Some(Product::Copy { .. }) | None => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waterfall::Course;
    use crate::waterfall::copy_story::START;
    use crate::waterfall::copy_story::read_plan;
    use crate::waterfall::copy_story::read_trail;
    use crate::waterfall::copy_story::tell;

    #[test]
    fn no_page_is_bought_where_a_model_would_be_told_too_much() {
        let plan = |fields: usize| {
            let plan = read_plan("a | oa");
            let instructions = "{full_name}".repeat(fields);
            CopyPlan { brief: Arc::new(Brief { instructions, ..(*plan.brief).clone() }), ..plan }
        };
        // Of twelve bytes each.
        let most = 64 * 1024 / 12;
        for (fields, story, expected) in [
            (most, "", "try fc a"),
            (most + 1, "", "skipped invalid_input"),
            (most + 1, "fc a: scraped Alpha", "skipped invalid_input"),
            (most + 1, "fc a: begun", "skipped invalid_input"),
            (most + 1, "oa: bad_request refused", "failed refused"),
        ] {
            let next = Course::Copy(Box::new(plan(fields))).next(&read_trail(story), START);
            assert_eq!(tell(&next), expected, "{fields} {story}");
        }
        let trail = read_trail("oa: begun");
        let query_of = |fields| Course::Copy(Box::new(plan(fields))).query_of(&trail.attempts[0], &trail);
        assert!(query_of(most).is_some() && query_of(most + 1).is_none());
    }
}
